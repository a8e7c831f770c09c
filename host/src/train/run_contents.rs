//! The files that a run writes into its folder: their names, and how they are found, removed and moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::run_record::{RECORD, read_record};
use crate::data::names::path_of;
use crate::data::{is_temporary, write_atomically};
use crate::{Error, Result};

pub(super) const CONFIG: &str = "config.toml";
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// The checkpoint before the last one.
pub(super) const PREVIOUS: &str = "checkpoint-previous.safetensors";
pub(super) const HISTORY: &str = "history.json";
/// A folder of SVG files.
const CURVES: &str = "curves";
/// Where a run that is to replace the one in the folder is written until it has ended.
pub(super) const UNFINISHED: &str = ".unfinished";
/// Where an unfinished run writes the files that have a place outside the run's folder.
const ELSEWHERE: &str = ".elsewhere";
/// The file that is locked where folders themselves can't be locked.
pub(super) const LOCK_FILE: &str = ".lock";

/// The files that every run writes; the record is last.
const FILES: [&str; 8] = [CONFIG, WEIGHTS, CHECKPOINT, PREVIOUS, HISTORY, "report.html", LOCK_FILE, RECORD];

/// Whether every run uses this name itself, so that no callback can write to it.
pub(super) fn is_reserved(name: &str) -> bool {
    FILES.contains(&name) || [CURVES, UNFINISHED, ELSEWHERE].contains(&name)
}

/// Where the folder of an unfinished run has this output; none if the name leads out of the folder.
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

/// The files in the folder of an unfinished run that the run has written, seen from it.
struct OwnFiles {
    /// The record is last.
    whole: Vec<PathBuf>,
    /// What a killed process had begun to write.
    temporary: Vec<PathBuf>,
    /// The folders that such files may be in, a folder after its parent.
    folders: BTreeSet<PathBuf>,
}

impl OwnFiles {
    fn find(folder: &Path, outputs: &[String]) -> io::Result<Self> {
        let outputs = outputs.iter().filter_map(|output| place_of(output));
        let known: BTreeSet<PathBuf> = FILES.iter().map(PathBuf::from).chain(outputs).collect();
        let curves = Path::new(CURVES);
        let folders = known.iter().flat_map(|name| name.ancestors().skip(1)).chain([curves]);
        let folders: BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
        let (mut whole, mut temporary) = (Vec::new(), Vec::new());
        // What a symbolic link leads to isn't in the folder.
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
                    whole.push(name);
                } else if is_temporary(name.file_name().unwrap_or_default(), |of| is_known(&inside.join(of))) {
                    temporary.push(name);
                }
            }
        }
        whole.sort_by_key(|name| name == Path::new(RECORD));
        Ok(OwnFiles { whole, temporary, folders })
    }

    /// Removes the folders that held the files, if they are empty now, and the folder itself. Returns the name of what else it has.
    fn remove_folders(&self, folder: &Path) -> io::Result<Option<String>> {
        for parent in self.folders.iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            // One that isn't empty stays.
            let _ = fs::remove_dir(folder.join(parent));
        }
        if let Some(other) = fs::read_dir(folder)?.next() {
            return Ok(Some(other?.file_name().to_string_lossy().into_owned()));
        }
        fs::remove_dir(folder)?;
        Ok(None)
    }
}

/// Whether it is a folder, and no symbolic link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Removes a folder of an unfinished run: the files that the run has written, and the folder if it has nothing else.
///
/// # Errors
/// The folder has something else, which stays, or the file system refuses.
pub(super) fn clear(folder: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::failure(format!("cannot remove {}: {error}", folder.display()));
    let outputs = read_record(folder)?.outputs.unwrap_or_default();
    if !is_folder(folder) {
        return Err(Error::failure(format!("{} is no folder", folder.display())).hint("move it elsewhere"));
    }
    let own = OwnFiles::find(folder, &outputs).map_err(failed)?;
    for name in own.whole.iter().chain(&own.temporary) {
        fs::remove_file(folder.join(name)).map_err(failed)?;
    }
    match own.remove_folders(folder).map_err(failed)? {
        None => Ok(()),
        Some(other) => Err(Error::failure(format!("{} has a file that no run has written", folder.display()))
            .with("has", other)
            .hint("move it elsewhere")),
    }
}

/// Moves the files of a run from the folder in which it was trained to that of the run which it replaces, and removes the former if it
/// is empty then. The checkpoints of the replaced run are removed, files of the same names are replaced, all others stay.
///
/// A second call completes a move that was interrupted. The target has no record in the meantime.
///
/// # Errors
/// The target has a file of the same name that the replaced run hasn't written, or the file system refuses.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        Error::failure(format!("cannot move the new run from {} to {}: {error}", from.display(), to.display()))
    };
    let outputs = read_record(from)?.outputs.unwrap_or_default();
    let own = OwnFiles::find(from, &outputs).map_err(failed)?;
    // A record of an older version has no list: every file may be the run's.
    let replaced = read_record(to).ok().map(|record| record.outputs);
    let mut targets = BTreeMap::new();
    for output in &outputs {
        let Some(place) = place_of(output) else { continue };
        let target = path_of(output, to);
        let is_replaced = match &replaced {
            // An earlier call has moved a part.
            None => true,
            Some(None) => target.starts_with(to),
            Some(Some(names)) => names.contains(output),
        };
        if !is_replaced && own.whole.contains(&place) && target.symlink_metadata().is_ok() {
            return Err(Error::failure(format!("{} is there already, and no run has written it", target.display()))
                .hint(format!("move it elsewhere, and go on with `plugfit fit --resume {}`", to.display())));
        }
        targets.insert(place, target);
    }
    if to.join(RECORD).symlink_metadata().is_ok() {
        // The record goes last: if there is none, the checkpoints in the target may be the new run's.
        for name in [CHECKPOINT, PREVIOUS, RECORD] {
            match fs::remove_file(to.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    for name in &own.temporary {
        fs::remove_file(from.join(name)).map_err(failed)?;
    }
    for name in &own.whole {
        let target = targets.remove(name).unwrap_or_else(|| to.join(name));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        move_file(&from.join(name), &target)?;
    }
    // Other files in the folder stay there.
    own.remove_folders(from).map_err(failed)?;
    Ok(())
}

/// Moves a file, also to another file system. A file that is there is replaced.
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
