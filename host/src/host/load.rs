//! Loads plug-ins into a host.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::{Host, read, write};
use crate::Result;
use crate::plugin::find::{self, FileReport, Folder, FolderReport, Source, State, Verdict};
use crate::plugin::{Origin, Plugin, Refusal};
use crate::registry::Added;
use crate::text::printable_path;

impl Host {
    /// Loads a plug-in, or every plug-in of a folder.
    ///
    /// # Errors
    /// Returns an error if the path doesn't exist, if it is a file that can't be loaded, or if other users can write to
    /// the folder. A file in a folder that can't be loaded is not an error: [`reports`](Self::reports) contains the
    /// reason.
    pub fn with_plugins(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            self.add_file(path)?;
        } else if let State::Refused(refusal) =
            self.add_folder(Folder { path: path.to_owned(), source: Source::Flag }).state
        {
            return Err(refusal.into());
        }
        Ok(self)
    }

    /// Loads one plug-in.
    ///
    /// # Errors
    /// Returns an error if the file is missing or rejected, if another plug-in of the same name and version is loaded,
    /// or if the name is that of the built-in plug-in.
    pub fn add_file(&self, path: &Path) -> Result<()> {
        match self.report_file(path).verdict {
            Verdict::Refused(refusal) => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Loads one plug-in and returns a report on the outcome.
    pub fn report_file(&self, path: &Path) -> FileReport {
        let mut report = find::file(path, &self.inner.options);
        if let Verdict::Loaded(plugin) = &report.verdict
            && let Some(verdict) = self.add_from_file(plugin.clone(), path)
        {
            report.verdict = verdict;
        }
        let mut files = write(&self.inner.files);
        files.retain(|other| other.path != report.path);
        files.push(report.clone());
        report
    }

    /// Returns the report on each file that was loaded individually.
    pub fn files(&self) -> Vec<FileReport> {
        read(&self.inner.files).clone()
    }

    /// Loads the plug-ins of a folder. Files that can't be loaded are skipped; the report says why.
    pub fn add_folder(&self, folder: Folder) -> FolderReport {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.scan(&folder, &[]);
        write(&self.inner.reports).push(report.clone());
        report
    }

    /// Scans the folders again and loads plug-ins that were added since. [`compile`](Self::compile) calls it, and so
    /// does [`watch`](Self::watch) whenever something changes.
    ///
    /// From now on the newest version of a plug-in is used; components that were created from an older version continue
    /// to use it. Libraries are never unloaded: if a file changes or is deleted, the loaded library stays in use, and
    /// if a changed file has the same version, a note is added. Files that were rejected, such as a file that was still
    /// being copied, are checked again.
    pub fn rescan(&self) {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read(&self.inner.reports).clone();
        let after = before.iter().map(|report| self.scan(&report.folder, &report.files)).collect();
        *write(&self.inner.reports) = after;
    }

    /// Watches the current folders and scans them again whenever something changes, until the returned value is
    /// dropped. A new file is loaded once it is complete and hasn't changed for a moment. Runs [`rescan`](Self::rescan)
    /// on a thread.
    ///
    /// # Errors
    /// Returns an error if the operating system can't watch more folders.
    #[cfg(feature = "watch")]
    pub fn watch(&self) -> Result<crate::Watch> {
        let host = self.clone();
        let folders = self.reports().into_iter().map(|report| report.folder.path).collect();
        crate::Watch::new(folders, move || host.rescan())
    }

    fn scan(&self, folder: &Folder, before: &[FileReport]) -> FolderReport {
        let mut report = find::scan(folder, &self.inner.options, before);
        for file in report.files.iter_mut().filter(|file| !file.is_unchanged_since(before)) {
            let Verdict::Loaded(plugin) = &file.verdict else { continue };
            let label = plugin.label().to_owned();
            let was_loaded = |other: &FileReport| {
                other.path == file.path && matches!(other.verdict, Verdict::Loaded(_) | Verdict::AlreadyLoaded(_))
            };
            // Libraries aren't unloaded: the one loaded from the old file stays in use.
            if before.iter().any(was_loaded) && self.is_loaded_from(&label, &file.path) {
                let path = printable_path(&file.path);
                self.note(format!(
                    "{path} has changed and is still {label}, which is loaded: raise its version to have it used"
                ));
                file.verdict = Verdict::AlreadyLoaded(format!("{label} is loaded from {path} already"));
                continue;
            }
            if let Some(verdict) = self.add_from_file(plugin.clone(), &file.path) {
                file.verdict = verdict;
            }
        }
        report
    }

    /// Returns whether this plug-in is loaded from this file.
    fn is_loaded_from(&self, label: &str, path: &Path) -> bool {
        let matches_plugin = |plugin: &Arc<Plugin>| {
            plugin.label() == label && matches!(plugin.origin(), Origin::File(from) if from == path)
        };
        read(&self.inner.registry).plugins().iter().any(matches_plugin)
    }

    /// Adds a plug-in that was loaded from a file. Returns the verdict if the plug-in isn't used.
    fn add_from_file(&self, plugin: Arc<Plugin>, path: &Path) -> Option<Verdict> {
        let label = plugin.label().to_owned();
        match self.add(plugin) {
            Added::New | Added::Replaced { .. } => None,
            Added::Same { place } if place == "built in" => {
                Some(Verdict::AlreadyLoaded(format!("{label} is built in already")))
            }
            Added::Same { place } => Some(Verdict::AlreadyLoaded(format!("{label} is loaded from {place} already"))),
            Added::Older { version, place } => {
                Some(Verdict::Ignored(format!("{label} is older than {version}, loaded from {place}")))
            }
            Added::Conflict { place } => Some(Verdict::Refused(Refusal::conflict(&label, &place).at(path))),
            Added::Reserved => Some(Verdict::Refused(Refusal::reserved(&label).at(path))),
        }
    }

    /// Adds a plug-in that is linked into the program.
    ///
    /// # Errors
    /// Returns an error if the plug-in isn't compatible with this host, or differs from a loaded plug-in of the same
    /// name and version.
    pub fn add_plugin(&self, root: &'static plugfit_abi::Root) -> Result<()> {
        let plugin = Plugin::built_in(root)?;
        let label = plugin.label().to_owned();
        match self.add(plugin) {
            Added::Conflict { place } => {
                Err(Refusal::conflict(&label, &place).at("a plug-in that is linked in").into())
            }
            _ => Ok(()),
        }
    }

    /// Adds a plug-in that is already loaded.
    pub fn add_loaded(&self, plugin: Arc<Plugin>) {
        self.add(plugin);
    }

    pub(crate) fn add(&self, plugin: Arc<Plugin>) -> Added {
        let label = plugin.label().to_owned();
        let origin = plugin.origin().to_string();
        let added = write(&self.inner.registry).add(plugin);
        if let Added::Replaced { version, place } | Added::Older { version, place } = &added {
            let (used, not) = match added {
                Added::Replaced { .. } => (format!("{label} ({origin})"), format!("{version} ({place})")),
                _ => (format!("{version} ({place})"), format!("{label} ({origin})")),
            };
            self.note(format!("of two versions the newest is used: {used}, not {not}"));
        }
        added
    }
}
