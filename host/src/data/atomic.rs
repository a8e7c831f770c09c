//! Files that are there whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// Writes a file so that no reader, and no crash, ever sees a part of it: writes beside it, syncs, then renames.
///
/// # Errors
/// If the file can't be written, or `write` fails; what was there before stays.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_with(path, OpenOptions::new().write(true).create_new(true), write)
}

/// The same for what nobody but the user is to read or write.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_privately(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write_with(path, options.write(true).create_new(true), write)
}

fn write_with(path: &Path, options: &OpenOptions, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |error: io::Error| {
        Error::failure(format!("cannot write {}: {error}", path.display()))
            .hint("what was there before, if anything, is unchanged")
    };
    // Through a symbolic link, its target is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (file, beside) = create_beside(&target, options).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    write(&mut writer)
        .and_then(|()| writer.flush())
        .and_then(|()| writer.get_ref().sync_all())
        .and_then(|()| fs::rename(&beside.path, &target))
        .map_err(failed)?;
    beside.keep();
    sync_folder(&target);
    Ok(())
}

/// A file that is removed unless it is kept.
struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates a new file in the same folder, hence on the same file system.
fn create_beside(target: &Path, options: &OpenOptions) -> io::Result<(File, Temporary)> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    loop {
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let path = target.with_file_name(beside);
        match options.open(&path) {
            Ok(file) => return Ok((file, Temporary { path, kept: false })),
            // Left behind by a process that had the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether this is the name of a file that [`write_atomically`] writes before it is renamed to one that `is_target` holds for. A process
/// that was killed leaves such a file.
pub fn is_temporary(name: &OsStr, is_target: impl FnOnce(&OsStr) -> bool) -> bool {
    let target = || {
        let (target, ending) = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
        let (process, counter) = ending.split_once('-')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(process) && is_number(counter)).then_some(OsStr::new(target))
    };
    target().is_some_and(is_target)
}

/// Makes the rename last through a power cut. Not every file system can, and the file is whole anyway.
fn sync_folder(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        for text in ["one", "two"] {
            write_atomically(&path, |writer| writer.write_all(text.as_bytes())).expect("it can be written");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
        }
        assert_eq!(names_in(folder.path()), ["a.txt"]);
    }

    #[test]
    fn what_is_written_beside_a_file_is_known_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.b.txt");
        let mut options = OpenOptions::new();
        let (_, beside) = create_beside(&path, options.write(true).create_new(true)).expect("it can be created");
        let name = beside.path.file_name().expect("it has a name");
        assert!(is_temporary(name, |of| of == "a.b.txt"));
        assert!(!is_temporary(name, |of| of == "b.txt"));
        for other in ["a.b.txt", ".a.b.txt.tmp", ".a.b.txt.1-.tmp", ".a.b.txt.x-1.tmp", "a.b.txt.1-1.tmp", ".1-1.tmp"] {
            assert!(!is_temporary(OsStr::new(other), |_| true), "{other}");
        }
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        fs::write(&path, "before").expect("it can be written");
        let error = write_atomically(&path, |writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(error.expect_err("it fails").message().contains("the disk is full"));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "before");
        assert_eq!(names_in(folder.path()), ["a.txt"]);
        assert!(write_atomically(&folder.path().join("no/such/file"), |_| Ok(())).is_err());
    }
}
