//! The folder of a run: `weights.safetensors`, `history.json`, `checkpoint.safetensors`, `config.toml` and `run.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::folder_lock::FolderLock;
use super::history::History;
use super::run_contents::{
    self, CHECKPOINT, CONFIG, HISTORY, LOCK_FILE, PREVIOUS, UNFINISHED, WEIGHTS, is_reserved, place_of,
};
use super::run_record::{RECORD, RunRecord, has_run, read_record};
use super::run_toml::to_toml;
use super::weights_file::save_weights;
use crate::files::{is_temporary, name_of, path_of, write_atomically};
use crate::network::Network;
use crate::{Error, Result};

/// The folder of one run.
///
/// [`create`](Self::create) creates it or uses an empty one. A run overwrites and deletes only files that it has
/// written. The process that writes to a folder holds a lock on it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The folder to write to: `path`, or a subfolder of it while the run in `path` is being replaced.
    work: PathBuf,
    /// The folders that were created for the run, outermost first.
    created: Vec<PathBuf>,
    /// The files that [`discard`](Self::discard) restores, with their contents.
    restore_on_discard: Vec<(PathBuf, Vec<u8>)>,
    written: Mutex<Written>,
    /// Whether the run was resumed from its previous checkpoint and hasn't saved one since.
    resumed_from_previous: AtomicBool,
    _lock: Option<FolderLock>,
}

/// The files that the run has written.
#[derive(Debug, Default)]
struct Written {
    record: Option<RunRecord>,
    outputs: Vec<String>,
    /// The folders that were created for outputs, each after its parent.
    created: Vec<PathBuf>,
    /// Whether every file in the folder may be an output, because the record of an older version lists none.
    unlisted: bool,
}

impl Written {
    /// Returns the files that the run with this record has written.
    fn from_record(record: &RunRecord) -> Self {
        let outputs = record.outputs.clone();
        Written { unlisted: outputs.is_none(), outputs: outputs.unwrap_or_default(), ..Written::default() }
    }
}

/// The kind of contents of a folder.
enum Contents {
    Nothing,
    Run,
    /// Other contents, for example this file.
    Other(String),
}

impl Contents {
    fn of(path: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| Error::failure(format!("cannot read {}: {error}", path.display()));
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return Ok(Contents::Nothing);
            }
            Err(error) => return Err(cannot(error)),
        };
        if has_run(path) || has_run(&path.join(UNFINISHED)) {
            return Ok(Contents::Run);
        }
        for entry in entries {
            let name = entry.map_err(cannot)?.file_name();
            // A killed process may have left these files.
            let is_leftover = name == LOCK_FILE || is_temporary(&name, |target| target == RECORD);
            if !is_leftover {
                return Ok(Contents::Other(name.to_string_lossy().into_owned()));
            }
        }
        Ok(Contents::Nothing)
    }
}

impl RunFolder {
    fn new(path: &Path, work: PathBuf) -> Self {
        let (created, restore_on_discard, written) = (Vec::new(), Vec::new(), Mutex::default());
        RunFolder {
            path: path.to_owned(),
            work,
            created,
            restore_on_discard,
            written,
            resumed_from_previous: false.into(),
            _lock: None,
        }
    }

    /// Creates `runs/NAME-1`, or the next free number, in the folder `parent`.
    ///
    /// # Errors
    /// Returns an error if the folder can't be created.
    pub fn create_next(parent: &Path, name: &str) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::failure(format!("cannot create a run folder in {}: {error}", parent.display()))
                .hint("name another one with --out")
        };
        let mut created = create_folders(parent).map_err(failed)?;
        let mut number = 1_u32;
        loop {
            let path = parent.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let path = canonical(&path)?;
                    let lock = FolderLock::acquire(&path)?;
                    created.push(path.clone());
                    return Ok(RunFolder { created, _lock: Some(lock), ..Self::new(&path, path.clone()) });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                // Another run that failed may have removed the parent it had created.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    created = create_folders(parent).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Checks whether [`create`](Self::create) would succeed, without changing anything.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`create`](Self::create).
    pub fn check(path: &Path, overwrite: bool) -> Result<()> {
        let shown = path.display();
        if path.exists() && !path.is_dir() {
            return Err(Error::usage(format!("{shown} isn't a folder")).hint("name a folder with --out"));
        }
        match Contents::of(path)? {
            Contents::Nothing => Ok(()),
            Contents::Run if overwrite => Ok(()),
            Contents::Run => Err(Error::usage(format!("{shown} already contains a run"))
                .hint("name another folder, continue the run with --resume, or replace it with --overwrite")),
            Contents::Other(name) => Err(Error::usage(format!("{shown} isn't empty, and isn't a folder of a run"))
                .with("has", name)
                .hint("each run needs its own folder: name one that is empty or doesn't exist")),
        }
    }

    /// Creates this folder, or uses an empty one. With `overwrite`, also uses a folder with a run, which
    /// [`replace`](Self::replace) replaces.
    ///
    /// # Errors
    /// Returns an error if the folder can't be created, if it contains anything else, or if another process trains in
    /// it.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let failed = |error: std::io::Error| Error::failure(format!("cannot create {}: {error}", path.display()));
        Self::check(path, overwrite)?;
        let created = create_folders(path).map_err(failed)?;
        let path = &*canonical(path)?;
        let lock = FolderLock::acquire(path)?;
        // Another process may have used the folder before it was locked.
        Self::check(path, overwrite)?;
        complete_move(path)?;
        let mut folder = Self::new(path, path.to_owned());
        if let Contents::Run = Contents::of(path)? {
            folder.work = path.join(UNFINISHED);
            match Contents::of(&folder.work)? {
                Contents::Nothing => {}
                // An earlier replacement was killed.
                Contents::Run => run_contents::clear(&folder.work)?,
                Contents::Other(name) => {
                    return Err(Error::failure(format!(
                        "{} contains something that isn't a run",
                        folder.work.display()
                    ))
                    .with("has", name)
                    .hint("move it elsewhere"));
                }
            }
            fs::create_dir_all(&folder.work).map_err(failed)?;
            // The new run may replace the files that the old one has written.
            if let Ok(record) = read_record(path) {
                let mut written = Written::from_record(&record);
                written.outputs.retain(|name| path_of(name, path).exists());
                folder.written = Mutex::new(written);
            }
        }
        Ok(RunFolder { created, _lock: Some(lock), ..folder })
    }

    /// Opens the folder of a saved run for reading.
    ///
    /// # Errors
    /// Returns an error if the folder contains no run.
    pub fn open(path: &Path) -> Result<(Self, RunRecord)> {
        let path = &*canonical(path)?;
        let record = read_record(path).map_err(|error| match has_run(&path.join(UNFINISHED)) {
            true => Error::failure(format!("the run in {} was being replaced and isn't complete", path.display()))
                .hint(format!("continue with `plugfit fit --resume {}`", path.display())),
            false => error,
        })?;
        Ok((Self::new(path, path.to_owned()), record))
    }

    /// Opens and locks the folder of a saved run to continue it, or to continue an unfinished replacement of it.
    ///
    /// # Errors
    /// Returns an error if the folder contains no run, or if another process trains in it.
    pub fn resume(path: &Path) -> Result<(Self, RunRecord)> {
        let path = &*canonical(path)?;
        let path = if path.ends_with(UNFINISHED) { path.parent().unwrap_or(path) } else { path };
        let unfinished = path.join(UNFINISHED);
        if !has_run(&unfinished) {
            read_record(path)?;
        }
        let lock = FolderLock::acquire(path)?;
        // The process that held the lock may have finished the replacement.
        complete_move(path)?;
        let work = if has_run(&unfinished) { unfinished } else { path.to_owned() };
        let record = read_record(&work)?;
        let mut folder = Self::new(path, work);
        for name in [RECORD, CONFIG] {
            let file = folder.file(name);
            if let Ok(bytes) = fs::read(&file) {
                folder.restore_on_discard.push((file, bytes));
            }
        }
        folder.written = Mutex::new(Written::from_record(&record));
        Ok((RunFolder { _lock: Some(lock), ..folder }, record))
    }

    /// Undoes what was written before the first batch. For a new run, removes its record, and its folder if it was
    /// created for the run and is empty. For a resumed run, restores the previous record.
    ///
    /// # Errors
    /// Returns an error if a file system operation fails.
    pub fn discard(self) -> Result<()> {
        for (file, bytes) in &self.restore_on_discard {
            write_atomically(file, |writer| writer.write_all(bytes))?;
        }
        if !self.restore_on_discard.is_empty() {
            for folder in self.written().created.iter().rev() {
                // Folders that aren't empty stay.
                let _ = fs::remove_dir(folder);
            }
            return Ok(());
        }
        for name in [RECORD, CONFIG] {
            let file = self.file(name);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::failure(format!("cannot remove {}: {error}", file.display())));
                }
                _ => {}
            }
        }
        let staged = (self.work != self.path).then_some(&self.work);
        for folder in self.written().created.iter().rev().chain(staged).chain(self.created.iter().rev()) {
            // Folders that aren't empty stay.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder to write to; differs from [`path`](Self::path) while a run is being replaced.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Returns the path of the checkpoint that a run is resumed from.
    pub fn checkpoint(&self) -> PathBuf {
        self.file(CHECKPOINT)
    }

    /// Returns the path of the checkpoint before the last, which may not exist.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.file(PREVIOUS)
    }

    /// Returns the path of the weights.
    pub fn weights(&self) -> PathBuf {
        self.file(WEIGHTS)
    }

    /// Returns the path of the history of all epochs.
    pub fn history(&self) -> PathBuf {
        self.file(HISTORY)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the path of the checkpoint that the run was resumed from or saved last.
    pub fn last_checkpoint(&self) -> PathBuf {
        if self.resumed_from_previous.load(Ordering::Relaxed) { self.previous_checkpoint() } else { self.checkpoint() }
    }

    /// Keeps the current checkpoint under another name, as a hard link, before it is replaced. Skipped if the disk has
    /// room for fewer than eight checkpoints. After [`resume_from_previous`](Self::resume_from_previous), the previous
    /// checkpoint stays and the current one is replaced.
    pub(super) fn keep_checkpoint(&self) {
        if self.resumed_from_previous.swap(false, Ordering::Relaxed) {
            return;
        }
        let (current, previous) = (self.checkpoint(), self.previous_checkpoint());
        let Ok(length) = fs::metadata(&current).map(|metadata| metadata.len()) else { return };
        let _ = fs::remove_file(&previous);
        if has_room(&self.work, length.saturating_mul(8)) {
            // Fails on a file system without hard links; then there is no previous checkpoint.
            let _ = fs::hard_link(&current, &previous);
        }
    }

    /// Continues from the previous checkpoint: the next save replaces the current one.
    pub fn resume_from_previous(&self) {
        self.resumed_from_previous.store(true, Ordering::Relaxed);
    }

    /// Writes the record of the run and its configuration, before training.
    ///
    /// # Errors
    /// Returns an error if a file can't be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        let mut written = self.written();
        written.record = Some(record.clone());
        self.write_written(&written)?;
        let text = to_toml(record.config.clone())?;
        write_atomically(&self.file(CONFIG), |writer| writer.write_all(text.as_bytes()))
    }

    fn write_written(&self, written: &Written) -> Result<()> {
        let Some(record) = &written.record else { return Ok(()) };
        let record = RunRecord { outputs: Some(written.outputs.clone()), ..record.clone() };
        let text = serde_json::to_string_pretty(&record).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file(RECORD), |writer| writer.write_all(text.as_bytes()))
    }

    /// Returns the path for a file that a callback will write: in the run folder, unless `name` is an absolute path.
    /// Creates missing folders inside the run folder. Records the file as written by the run, so that a resumed run may
    /// write it again. While a run is being replaced, the path is in the folder of the unfinished run.
    ///
    /// # Errors
    /// Returns an error if the file exists and this run hasn't written it, or if its name is reserved for files of
    /// every run.
    pub fn claim(&self, name: &str) -> Result<PathBuf> {
        let named = without_links(&normalized(&path_of(name, &self.path)));
        let key = match named.strip_prefix(&self.path) {
            Ok(inside) => {
                let first = inside.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
                if first.is_none_or(|first| is_reserved(&first)) {
                    return Err(Error::usage(format!("\"{name}\" is a name that every run uses itself"))
                        .hint("name another file"));
                }
                name_of(inside)
            }
            Err(_) => name_of(&named),
        };
        let staged = (self.work != self.path).then(|| place_of(&key)).flatten();
        let path = staged.map_or_else(|| named.clone(), |place| self.work.join(place));
        if let Some(parent) = path.parent().filter(|parent| parent.starts_with(&self.path)) {
            let created = create_folders(parent)
                .map_err(|error| Error::failure(format!("cannot create {}: {error}", parent.display())))?;
            self.written().created.extend(created);
        }
        let mut written = self.written();
        if written.outputs.contains(&key) {
            return Ok(path);
        }
        let may_be_output = written.unlisted && named.starts_with(&self.path);
        if named.symlink_metadata().is_ok() && !may_be_output {
            return Err(Error::usage(format!("{} already exists and wasn't written by this run", named.display()))
                .hint("move it elsewhere, or name another file"));
        }
        written.outputs.push(key);
        self.write_written(&written)?;
        Ok(path)
    }

    /// Writes the current weights and history.
    ///
    /// # Errors
    /// Returns an error if a file can't be written; its previous version is unchanged then.
    pub fn write_progress(&self, network: &dyn Network, history: &History) -> Result<()> {
        save_weights(network, &self.weights())?;
        let text =
            serde_json::to_string_pretty(&history.to_json()).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.history(), |writer| writer.write_all(text.as_bytes()))
    }

    /// Moves a run with complete weights to the place of the run that it replaces. Replaces files of the same names,
    /// removes the old run's checkpoints, and leaves all other files.
    ///
    /// # Errors
    /// Returns an error if a file of the user has the name of a file to be moved, or if a file system operation fails.
    pub fn replace(&mut self) -> Result<()> {
        if self.work == self.path {
            return Ok(());
        }
        run_contents::move_to(&self.work, &self.path)?;
        self.work.clone_from(&self.path);
        Ok(())
    }
}

/// Completes the move of a replacement if the process was killed while moving files.
fn complete_move(path: &Path) -> Result<()> {
    let unfinished = path.join(UNFINISHED);
    match has_run(&unfinished) && !path.join(RECORD).exists() {
        true => run_contents::move_to(&unfinished, path),
        false => Ok(()),
    }
}

/// Returns the path without symbolic links, `.` and `..`, so that each folder has one path; unchanged if the folder
/// doesn't exist.
fn canonical(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::failure(format!("cannot open the folder {}: {error}", path.display())))
        }
        found => Ok(found.unwrap_or_else(|_| path.to_owned())),
    }
}

/// Resolves symbolic links in the existing part of a path; the rest needn't exist.
fn without_links(path: &Path) -> PathBuf {
    let folders = path.ancestors().skip(1);
    let found = folders.filter_map(|folder| Some((fs::canonicalize(folder).ok()?, path.strip_prefix(folder).ok()?)));
    found.map(|(folder, rest)| folder.join(rest)).next().unwrap_or_else(|| path.to_owned())
}

/// Creates a folder and its missing parents; returns the created ones, outermost first.
fn create_folders(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect();
    fs::create_dir_all(path)?;
    Ok(missing.into_iter().rev().collect())
}

/// Removes `.` and `..` from a path lexically.
fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normalized.pop();
            }
            Component::CurDir => {}
            part => normalized.push(part),
        }
    }
    normalized
}

/// Returns whether the file system of this folder has this many free bytes.
#[cfg(unix)]
fn has_room(folder: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) >= bytes)
}

#[cfg(not(unix))]
fn has_room(_: &Path, _: u64) -> bool {
    true
}
