//! Folders that are watched, so that what is dropped into them is loaded while a program runs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{Error, Host, Result};

/// How long it must be quiet in the folders before they are looked into: who copies a file writes it piece by piece.
const QUIET: Duration = Duration::from_millis(200);

/// After this they are looked into anyway, so that one who writes without end keeps nobody else's file away.
const LONGEST: Duration = Duration::from_secs(2);

/// The folders of a host are looked into whenever something changes there, until this is dropped; see [`Host::watch`].
#[must_use = "the folders are watched for as long as it lives"]
pub struct Watch {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Changed,
    Stop,
}

impl Watch {
    pub(crate) fn new(host: Host) -> Result<Self> {
        let folders: Vec<PathBuf> = host.reports().into_iter().map(|report| report.folder.path).collect();
        let (sender, messages) = channel();
        let failed = |error: String| Error::failure(format!("cannot watch the folders of plug-ins: {error}"));
        let watcher = watcher(&folders, &sender).map_err(|error| failed(error.to_string()))?;
        // What changed before.
        host.rescan();
        let own = sender.clone();
        let thread = std::thread::Builder::new()
            .name("plugfit-watch".into())
            .spawn(move || rescan_when_quiet(&host, &folders, watcher, &own, &messages))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Watch { messages: sender, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

fn rescan_when_quiet(
    host: &Host,
    folders: &[PathBuf],
    mut current: RecommendedWatcher,
    sender: &Sender<Message>,
    messages: &Receiver<Message>,
) {
    while let Ok(Message::Changed) = messages.recv() {
        let first = Instant::now();
        while first.elapsed() < LONGEST {
            match messages.recv_timeout(QUIET) {
                Ok(Message::Changed) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // Anew, and before they are looked into: what is at a path may be another folder by now.
        if let Ok(next) = watcher(folders, sender) {
            current = next;
        }
        host.rescan();
    }
    drop(current);
}

/// Watches the folders, and those above them, in which they may be replaced or come to be.
fn watcher(folders: &[PathBuf], sender: &Sender<Message>) -> notify::Result<RecommendedWatcher> {
    let mut all: Vec<PathBuf> = folders.to_vec();
    // Some systems tell of paths without links.
    all.extend(folders.iter().filter_map(|folder| folder.canonicalize().ok()));
    let (sender, interesting) = (sender.clone(), all);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| matters(&event, &interesting)) {
            let _ = sender.send(Message::Changed);
        }
    })?;
    let mut paths: Vec<PathBuf> = folders.iter().flat_map(|folder| folder.ancestors()).map(ToOwned::to_owned).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        match watcher.watch(&path, RecursiveMode::NonRecursive) {
            // A folder above may be nobody's to read; one of plug-ins isn't looked into if it is.
            Err(error) if !matches!(error.kind, notify::ErrorKind::PathNotFound | notify::ErrorKind::Io(_)) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(watcher)
}

/// Whether something in a folder, or on the way to one, isn't as it was.
fn matters(event: &Event, folders: &[PathBuf]) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        // Looking into them reads their files.
        EventKind::Access(_) => return false,
        _ => {}
    }
    let touches = |path: &PathBuf| folders.iter().any(|folder| path.starts_with(folder) || folder.starts_with(path));
    event.need_rescan() || event.paths.iter().any(touches)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, MetadataKind, ModifyKind};

    use super::*;

    #[test]
    fn reading_is_no_change_and_neither_is_what_lies_beside() {
        let matters = |kind: EventKind, path: &str| {
            super::matters(&Event::new(kind).add_path(path.into()), &["/srv/app/plugins".into()])
        };
        let created = EventKind::Create(CreateKind::Any);
        for path in ["/srv/app/plugins/a.so", "/srv/app/plugins", "/srv/app", "/srv"] {
            assert!(matters(created, path), "{path}");
        }
        for path in ["/srv/app/plugins-old", "/srv/app/data/a.so", "/tmp"] {
            assert!(!matters(created, path), "{path}");
        }
        let file = "/srv/app/plugins/a.so";
        assert!(matters(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), file));
        assert!(matters(EventKind::Access(AccessKind::Close(AccessMode::Write)), file));
        assert!(!matters(EventKind::Access(AccessKind::Open(AccessMode::Any)), file));
        assert!(!matters(EventKind::Access(AccessKind::Close(AccessMode::Read)), file));
        assert!(super::matters(&Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan), &[]));
    }
}
