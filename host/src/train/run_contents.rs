//! The files that a run writes to its folder: their names, and how to find, remove and move them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::run_record::{RECORD, read_record};
use crate::files::path_of;
use crate::files::{is_temporary, write_atomically};
use crate::{Error, Result};

pub(super) const CONFIG: &str = "config.toml";
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// The checkpoint before the last one.
pub(super) const PREVIOUS: &str = "checkpoint-previous.safetensors";
pub(super) const HISTORY: &str = "history.json";
/// A folder of SVG files.
const CURVES: &str = "curves";
/// The subfolder of a run that replaces the one in the folder, until the new run has ended.
pub(super) const UNFINISHED: &str = ".unfinished";
/// The subfolder of an unfinished run for files whose final path is outside the run folder.
const ELSEWHERE: &str = ".elsewhere";
/// The lock file, on systems where folders can't be locked.
pub(super) const LOCK_FILE: &str = ".lock";

/// The files that every run writes; the record is last, so that it is moved last.
const FILES: [&str; 8] = [CONFIG, WEIGHTS, CHECKPOINT, PREVIOUS, HISTORY, "report.html", LOCK_FILE, RECORD];

/// Returns whether every run uses this name, so that callbacks can't write to it.
pub(super) fn is_reserved(name: &str) -> bool {
    FILES.contains(&name) || [CURVES, UNFINISHED, ELSEWHERE].contains(&name)
}

/// Returns the path of an output relative to the folder of an unfinished run; `None` if it contains `.` or `..`.
pub(super) fn place_of(output: &str) -> Option<PathBuf> {
    let path = path_of(output, Path::new(""));
    let mut place = if path.is_absolute() { PathBuf::from(ELSEWHERE) } else { PathBuf::new() };
    for part in path.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::Prefix(_) => {}
            Component::CurDir | Component::ParentDir => return None,
        }
    }
    Some(place)
}

/// The files that an unfinished run has written, relative to its folder.
struct RunFiles {
    /// Complete files; the record is last.
    complete: Vec<PathBuf>,
    /// Temporary files that a killed process left.
    temporary: Vec<PathBuf>,
    /// The folders that may contain such files; each folder comes after its parent.
    folders: BTreeSet<PathBuf>,
}

impl RunFiles {
    fn find(folder: &Path, outputs: &[String]) -> io::Result<Self> {
        let outputs = outputs.iter().filter_map(|output| place_of(output));
        let known: BTreeSet<PathBuf> = FILES.iter().map(PathBuf::from).chain(outputs).collect();
        let curves = Path::new(CURVES);
        let folders = known.iter().flat_map(|name| name.ancestors().skip(1)).chain([curves]);
        let folders: BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
        let (mut complete, mut temporary) = (Vec::new(), Vec::new());
        // Skip symbolic links, whose targets aren't in the folder.
        let is_inside = |inside: &&PathBuf| inside.ancestors().all(|part| is_folder(&folder.join(part)));
        for inside in folders.iter().filter(is_inside) {
            let is_known = |name: &Path| {
                known.contains(name) || inside == curves && name.extension().is_some_and(|extension| extension == "svg")
            };
            for entry in fs::read_dir(folder.join(inside))? {
                let name = inside.join(entry?.file_name());
                if is_folder(&folder.join(&name)) {
                    continue;
                }
                if is_known(&name) {
                    complete.push(name);
                } else if is_temporary(name.file_name().unwrap_or_default(), |target| is_known(&inside.join(target))) {
                    temporary.push(name);
                }
            }
        }
        complete.sort_by_key(|name| name == Path::new(RECORD));
        Ok(RunFiles { complete, temporary, folders })
    }

    /// Removes the folders of these files, if they are empty, and the folder itself. If it isn't empty, returns the
    /// name of another entry.
    fn remove_folders(&self, folder: &Path) -> io::Result<Option<String>> {
        for parent in self.folders.iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            // Folders that aren't empty stay.
            let _ = fs::remove_dir(folder.join(parent));
        }
        if let Some(other) = fs::read_dir(folder)?.next() {
            return Ok(Some(other?.file_name().to_string_lossy().into_owned()));
        }
        fs::remove_dir(folder)?;
        Ok(None)
    }
}

/// Returns whether the path is a folder, and not a symbolic link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Removes a folder of an unfinished run: the files that the run has written, and the folder if it is empty then.
///
/// # Errors
/// Returns an error if the folder contains anything else, which stays, or if a file system operation fails.
pub(super) fn clear(folder: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::failure(format!("cannot remove {}: {error}", folder.display()));
    let outputs = read_record(folder)?.outputs.unwrap_or_default();
    if !is_folder(folder) {
        return Err(Error::failure(format!("{} isn't a folder", folder.display())).hint("move it elsewhere"));
    }
    let run_files = RunFiles::find(folder, &outputs).map_err(failed)?;
    for name in run_files.complete.iter().chain(&run_files.temporary) {
        fs::remove_file(folder.join(name)).map_err(failed)?;
    }
    match run_files.remove_folders(folder).map_err(failed)? {
        None => Ok(()),
        Some(other) => Err(Error::failure(format!("{} has a file that no run has written", folder.display()))
            .with("has", other)
            .hint("move it elsewhere")),
    }
}

/// Moves the files of a run from the folder in which it was trained to that of the run that it replaces. Removes the
/// former folder if it is empty then. Removes the checkpoints of the replaced run, replaces files of the same names,
/// and leaves all others.
///
/// A second call completes an interrupted move. Until the end of the move, the target has no record.
///
/// # Errors
/// Returns an error if the target has a file of the same name that the replaced run hasn't written, or if a file system
/// operation fails.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        Error::failure(format!("cannot move the new run from {} to {}: {error}", from.display(), to.display()))
    };
    let outputs = read_record(from)?.outputs.unwrap_or_default();
    let run_files = RunFiles::find(from, &outputs).map_err(failed)?;
    // The record of an older version lists no outputs: every file may belong to the run.
    let replaced = read_record(to).ok().map(|record| record.outputs);
    let mut targets = BTreeMap::new();
    for output in &outputs {
        let Some(place) = place_of(output) else { continue };
        let target = path_of(output, to);
        let is_replaced = match &replaced {
            // An earlier call was interrupted.
            None => true,
            Some(None) => target.starts_with(to),
            Some(Some(names)) => names.contains(output),
        };
        if !is_replaced && run_files.complete.contains(&place) && target.symlink_metadata().is_ok() {
            return Err(Error::failure(format!("{} already exists and wasn't written by any run", target.display()))
                .hint(format!("move it elsewhere, and continue with `plugfit fit --resume {}`", to.display())));
        }
        targets.insert(place, target);
    }
    if to.join(RECORD).symlink_metadata().is_ok() {
        // Remove the record last: without a record, the checkpoints in the target may belong to the new run.
        for name in [CHECKPOINT, PREVIOUS, RECORD] {
            match fs::remove_file(to.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    for name in &run_files.temporary {
        fs::remove_file(from.join(name)).map_err(failed)?;
    }
    for name in &run_files.complete {
        let target = targets.remove(name).unwrap_or_else(|| to.join(name));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        move_file(&from.join(name), &target)?;
    }
    // Folders with other files stay.
    run_files.remove_folders(from).map_err(failed)?;
    Ok(())
}

/// Moves a file, also across file systems. Replaces an existing file.
fn move_file(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |error: io::Error| Error::failure(format!("cannot move {} to {}: {error}", from.display(), to.display()));
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let mut file = fs::File::open(from).map_err(failed)?;
            write_atomically(to, |writer| io::copy(&mut file, writer).map(drop))?;
            fs::remove_file(from).map_err(failed)
        }
        moved => moved.map_err(failed),
    }
}
