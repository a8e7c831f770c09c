//! Watches plug-in folders, so that plug-ins added while a program runs are loaded.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{Error, Result};

/// Time without changes before the folders are scanned: copying a file causes many events.
const QUIET: Duration = Duration::from_millis(200);

/// The folders are scanned after this time even if changes continue, so that one busy writer doesn't delay other files.
const LONGEST: Duration = Duration::from_secs(2);

/// Rescans a host's folders whenever something changes there, until it is dropped; see
/// [`Host::watch`](crate::Host::watch).
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
    /// Watches these folders, and calls `rescan` on a thread of its own when something has changed in them.
    pub(crate) fn new(folders: Vec<PathBuf>, rescan: impl Fn() + Send + 'static) -> Result<Self> {
        let (sender, messages) = channel();
        let failed = |error: String| Error::failure(format!("cannot watch the folders of plug-ins: {error}"));
        let watcher = watcher(&folders, &sender).map_err(|error| failed(error.to_string()))?;
        // Load what changed before the watcher started.
        rescan();
        let event_sender = sender.clone();
        let thread = std::thread::Builder::new()
            .name("plugfit-watch".into())
            .spawn(move || rescan_when_quiet(&rescan, &folders, watcher, &event_sender, &messages))
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
    rescan: &dyn Fn(),
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
        // Recreate the watcher before the scan: a path may now refer to a different folder.
        if let Ok(next) = watcher(folders, sender) {
            current = next;
        }
        rescan();
    }
    drop(current);
}

/// Watches the folders and all their ancestors, so that folders that are created or replaced later are noticed.
fn watcher(folders: &[PathBuf], sender: &Sender<Message>) -> notify::Result<RecommendedWatcher> {
    let mut all: Vec<PathBuf> = folders.to_vec();
    // Some systems report paths with symbolic links resolved.
    all.extend(folders.iter().filter_map(|folder| folder.canonicalize().ok()));
    let (sender, relevant) = (sender.clone(), all);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| matters(&event, &relevant)) {
            let _ = sender.send(Message::Changed);
        }
    })?;
    let mut paths: Vec<PathBuf> = folders.iter().flat_map(|folder| folder.ancestors()).map(ToOwned::to_owned).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        match watcher.watch(&path, RecursiveMode::NonRecursive) {
            // An ancestor may be unreadable. A plug-in folder that is unreadable can't be scanned either.
            Err(error) if !matches!(error.kind, notify::ErrorKind::PathNotFound | notify::ErrorKind::Io(_)) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(watcher)
}

/// Returns whether an event concerns a plug-in folder, something inside it, or one of its ancestors.
fn matters(event: &Event, folders: &[PathBuf]) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        // A scan reads the files; reading is no change.
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
    fn reads_and_neighbouring_folders_do_not_matter() {
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
