//! What a run leaves behind: `weights.safetensors`, `history.json`, `checkpoint.safetensors`, `config.toml` and `run.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::folder_lock::FolderLock;
use super::history::History;
use super::run_contents::{
    self, CHECKPOINT, CONFIG, HISTORY, LOCK_FILE, PREVIOUS, UNFINISHED, WEIGHTS, is_reserved, place_of,
};
use super::run_record::{RECORD, RunRecord, has_run, read_record};
use super::weights::save_weights;
use crate::data::names::{name_of, path_of};
use crate::data::{is_temporary, write_atomically};
use crate::network::Network;
use crate::{Error, Result};

/// A folder of one run.
///
/// A run has its own folder. [`create`](Self::create) makes it or takes an empty one. A run overwrites and deletes only files that it has
/// written. The process that writes to a folder holds a lock on it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Where files are written: `path`, or a subfolder of it while the run in `path` is being replaced.
    work: PathBuf,
    /// The folders that were created for the run, outermost first.
    created: Vec<PathBuf>,
    /// The files that [`discard`](Self::discard) restores, with their contents.
    before: Vec<(PathBuf, Vec<u8>)>,
    written: Mutex<Written>,
    /// Whether the run was resumed from its previous checkpoint and has saved none since.
    went_back: AtomicBool,
    _lock: Option<FolderLock>,
}

#[derive(Debug, Default)]
struct Written {
    record: Option<RunRecord>,
    outputs: Vec<String>,
    /// The folders that were created for outputs, each after its parent.
    created: Vec<PathBuf>,
    /// Whether every file in the folder may be an output: an older version has recorded none.
    unlisted: bool,
}

impl Written {
    /// What a run has written before.
    fn by(record: &RunRecord) -> Self {
        let outputs = record.outputs.clone();
        Written { unlisted: outputs.is_none(), outputs: outputs.unwrap_or_default(), ..Written::default() }
    }
}

/// What a folder holds.
enum Contents {
    Nothing,
    Run,
    /// Something else, such as this.
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
            // A killed process may have left these.
            let ours = name == LOCK_FILE || is_temporary(&name, |of| of == RECORD);
            if !ours {
                return Ok(Contents::Other(name.to_string_lossy().into_owned()));
            }
        }
        Ok(Contents::Nothing)
    }
}

impl RunFolder {
    fn new(path: &Path, work: PathBuf) -> Self {
        let (created, before, written) = (Vec::new(), Vec::new(), Mutex::default());
        RunFolder { path: path.to_owned(), work, created, before, written, went_back: false.into(), _lock: None }
    }

    /// Creates `runs/NAME-1`, or the next number that is free, in the folder `parent`.
    ///
    /// # Errors
    /// It can't be created.
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
                // Another run that failed has removed the parent that it had created.
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
    /// As [`create`](Self::create).
    pub fn check(path: &Path, overwrite: bool) -> Result<()> {
        let shown = path.display();
        if path.exists() && !path.is_dir() {
            return Err(Error::usage(format!("{shown} is no folder")).hint("name a folder with --out"));
        }
        match Contents::of(path)? {
            Contents::Nothing => Ok(()),
            Contents::Run if overwrite => Ok(()),
            Contents::Run => Err(Error::usage(format!("{shown} holds a run already"))
                .hint("name another folder, go on with the run with --resume, or replace it with --overwrite")),
            Contents::Other(name) => Err(Error::usage(format!("{shown} isn't empty, and is no folder of a run"))
                .with("has", name)
                .hint("a run has a folder of its own: name one that is empty, or isn't there yet")),
        }
    }

    /// Creates this folder, or takes one that is empty; with `overwrite` also one that holds a run, which
    /// [`replace`](Self::replace) replaces.
    ///
    /// # Errors
    /// It can't be created, holds something else, or another process trains in it.
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
                    return Err(Error::failure(format!("{} holds what is no run", folder.work.display()))
                        .with("has", name)
                        .hint("move it elsewhere"));
                }
            }
            fs::create_dir_all(&folder.work).map_err(failed)?;
            // The new run may replace what the old one has written.
            if let Ok(record) = read_record(path) {
                let mut written = Written::by(&record);
                written.outputs.retain(|name| path_of(name, path).exists());
                folder.written = Mutex::new(written);
            }
        }
        Ok(RunFolder { created, _lock: Some(lock), ..folder })
    }

    /// Opens the folder of a kept run for reading.
    ///
    /// # Errors
    /// It holds no run.
    pub fn open(path: &Path) -> Result<(Self, RunRecord)> {
        let path = &*canonical(path)?;
        let record = read_record(path).map_err(|error| match has_run(&path.join(UNFINISHED)) {
            true => Error::failure(format!("the run in {} was being replaced and isn't complete", path.display()))
                .hint(format!("go on with `plugfit fit --resume {}`", path.display())),
            false => error,
        })?;
        Ok((Self::new(path, path.to_owned()), record))
    }

    /// Opens and locks the folder of a kept run to continue it. If a replacement of the run was begun, that is continued.
    ///
    /// # Errors
    /// It holds no run, or another process trains in it.
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
                folder.before.push((file, bytes));
            }
        }
        folder.written = Mutex::new(Written::by(&record));
        Ok((RunFolder { _lock: Some(lock), ..folder }, record))
    }

    /// Undoes what was written before the first batch. Of a new run, its record is removed, and its folder if it was created for the run and
    /// is empty. Of a resumed run, the record of before is restored.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn discard(self) -> Result<()> {
        for (file, bytes) in &self.before {
            write_atomically(file, |writer| writer.write_all(bytes))?;
        }
        if !self.before.is_empty() {
            for folder in self.written().created.iter().rev() {
                // One that isn't empty stays.
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
            // One that isn't empty stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its files are written: another folder than [`path`](Self::path) while a run is being replaced.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// What a run is resumed from.
    pub fn checkpoint(&self) -> PathBuf {
        self.file(CHECKPOINT)
    }

    /// The checkpoint before, if it was kept.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.file(PREVIOUS)
    }

    /// The weights.
    pub fn weights(&self) -> PathBuf {
        self.file(WEIGHTS)
    }

    /// The history of every epoch.
    pub fn history(&self) -> PathBuf {
        self.file(HISTORY)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checkpoint that the run went on from or saved last.
    pub fn last_checkpoint(&self) -> PathBuf {
        if self.went_back.load(Ordering::Relaxed) { self.previous_checkpoint() } else { self.checkpoint() }
    }

    /// Keeps the current checkpoint under another name before it is replaced, as a hard link. None is kept if the disk has room for fewer
    /// than eight checkpoints. After [`go_back`](Self::go_back) the previous checkpoint stays, and the current one is replaced.
    pub(super) fn keep_checkpoint(&self) {
        if self.went_back.swap(false, Ordering::Relaxed) {
            return;
        }
        let (current, previous) = (self.checkpoint(), self.previous_checkpoint());
        let Ok(length) = fs::metadata(&current).map(|metadata| metadata.len()) else { return };
        let _ = fs::remove_file(&previous);
        if has_room(&self.work, length.saturating_mul(8)) {
            // On a file system without hard links, none is kept.
            let _ = fs::hard_link(&current, &previous);
        }
    }

    /// Continues from the previous checkpoint: the next one that is saved replaces the current one.
    pub fn go_back(&self) {
        self.went_back.store(true, Ordering::Relaxed);
    }

    /// Writes what is known before training.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        let mut written = self.written();
        written.record = Some(record.clone());
        self.write_written(&written)?;
        let config = without_nulls(record.config.clone());
        let text = toml::to_string(&config).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file(CONFIG), |writer| writer.write_all(text.as_bytes()))
    }

    fn write_written(&self, written: &Written) -> Result<()> {
        let Some(record) = &written.record else { return Ok(()) };
        let record = RunRecord { outputs: Some(written.outputs.clone()), ..record.clone() };
        let text = serde_json::to_string_pretty(&record).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file(RECORD), |writer| writer.write_all(text.as_bytes()))
    }

    /// The path of a file that a callback will write: in the run's folder, unless the name is an absolute path. Folders in the run's
    /// folder are created. The file is recorded as the run's, so that a resumed run may write it again. While a run is being replaced,
    /// the path is in the folder of the unfinished run.
    ///
    /// # Errors
    /// The file exists and this run hasn't written it, or its name is one that every run uses.
    pub fn claim(&self, name: &str) -> Result<PathBuf> {
        let named = without_links(&straight(&path_of(name, &self.path)));
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
        let may_be_ours = written.unlisted && named.starts_with(&self.path);
        if named.symlink_metadata().is_ok() && !may_be_ours {
            return Err(Error::usage(format!("{} is there already, and this run hasn't written it", named.display()))
                .hint("move it elsewhere, or name another file"));
        }
        written.outputs.push(key);
        self.write_written(&written)?;
        Ok(path)
    }

    /// Writes what was trained so far.
    ///
    /// # Errors
    /// A file can't be written; those of before stay.
    pub fn write_progress(&self, network: &dyn Network, history: &History) -> Result<()> {
        save_weights(network, &self.weights())?;
        let text =
            serde_json::to_string_pretty(&history.to_json()).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.history(), |writer| writer.write_all(text.as_bytes()))
    }

    /// Moves a run whose weights are complete to where the run that it replaces is. Files of the same names are replaced, the old run's
    /// checkpoints are removed, and all other files stay.
    ///
    /// # Errors
    /// A file of the user's has the name of one that is to be moved, or the file system refuses.
    pub fn replace(&mut self) -> Result<()> {
        if self.work == self.path {
            return Ok(());
        }
        run_contents::move_to(&self.work, &self.path)?;
        self.work.clone_from(&self.path);
        Ok(())
    }
}

/// Completes the move of a replacement that was killed while its files were moved.
fn complete_move(path: &Path) -> Result<()> {
    let unfinished = path.join(UNFINISHED);
    match has_run(&unfinished) && !path.join(RECORD).exists() {
        true => run_contents::move_to(&unfinished, path),
        false => Ok(()),
    }
}

/// The folder's path without symbolic links, `.` and `..`, so that one folder has one path; as it is if there is no such folder.
fn canonical(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::failure(format!("cannot open the folder {}: {error}", path.display())))
        }
        found => Ok(found.unwrap_or_else(|_| path.to_owned())),
    }
}

/// A path that needn't exist, with the folders that do by their own paths.
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

/// A path without `.` and `..`, resolved lexically.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                straight.pop();
            }
            Component::CurDir => {}
            part => straight.push(part),
        }
    }
    straight
}

/// Whether the file system of this folder has this many free bytes.
#[cfg(unix)]
fn has_room(folder: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) >= bytes)
}

#[cfg(not(unix))]
fn has_room(_: &Path, _: u64) -> bool {
    true
}

/// TOML has no null: what is null is left out, in lists it is false to none.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => table
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
