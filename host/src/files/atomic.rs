//! Writes that replace a file as a whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Follows the target's name in the name of a temporary file, and precedes a random part.
const INFIX: &str = ".plugfit-";
/// The end of the name of a temporary file.
const SUFFIX: &str = ".tmp";

/// Writes a file atomically: into a temporary file beside it, which is synced and then renamed. A symbolic link is followed: its target is
/// replaced.
///
/// # Errors
/// Returns an error if the file can't be written, or if `write` fails. The previous file is unchanged then.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_with(path, 0o666, true, write)
}

/// As [`write_atomically`], but an existing file is an error.
pub(crate) fn write_new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_with(path, 0o666, false, write)
}

/// As [`write_atomically`], with a file that only its owner may read and write.
pub(crate) fn write_privately(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_with(path, 0o600, true, write)
}

fn write_with(
    path: &Path,
    mode: u32,
    replaces: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let replace = || {
        let file = create_beside(&target, mode)?;
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        write(&mut writer)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        let persisted = if replaces { file.persist(&target) } else { file.persist_noclobber(&target) };
        persisted.map_err(|error| error.error)
    };
    replace().map_err(|error| {
        Error::failure(format!("cannot write {}: {error}", path.display()))
            .hint("what was there before, if anything, is unchanged")
    })?;
    sync_folder(&target);
    Ok(())
}

/// Creates a temporary file in the folder of `target`, and so in its file system. It is removed when it is dropped.
fn create_beside(target: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(INFIX);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder.tempfile_in(folder_of(target))
}

/// Whether this is the name of a temporary file of [`write_atomically`] for a target that `is_target` accepts. A killed process leaves such a
/// file. Earlier versions used a process id and a counter ("1-2") for the random part.
pub(crate) fn is_temporary(name: &OsStr, is_target: impl FnOnce(&OsStr) -> bool) -> bool {
    let target = || {
        let name = name.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
        let (target, is_ours) = match name.rsplit_once(INFIX) {
            Some((target, random)) => {
                (target, random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            }
            None => {
                let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let (target, numbers) = name.rsplit_once('.')?;
                (
                    target,
                    numbers.split_once('-').is_some_and(|(process, counter)| is_number(process) && is_number(counter)),
                )
            }
        };
        is_ours.then_some(OsStr::new(target))
    };
    target().is_some_and(is_target)
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder, so that the rename survives a power cut. Not every file system supports this.
fn sync_folder(target: &Path) {
    if let Ok(folder) = File::open(folder_of(target)) {
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
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        for text in ["one", "two"] {
            write_atomically(&path, |writer| writer.write_all(text.as_bytes())).expect("it can be written");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
        }
        assert_eq!(names_in(folder.path()), ["a.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owners_alone_and_another_has_the_usual_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).expect("it is there").permissions().mode() & 0o777;
        write_privately(&path("private"), |_| Ok(())).expect("it can be written");
        write_atomically(&path("public"), |_| Ok(())).expect("it can be written");
        File::create(path("usual")).expect("it can be created");
        assert_eq!((mode("private"), mode("public")), (0o600, mode("usual")));
    }

    #[test]
    fn a_temporary_file_is_recognised_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = create_beside(&folder.path().join("a.b.txt"), 0o666).expect("it can be created");
        let name = file.path().file_name().expect("it has a name");
        for name in [name, OsStr::new(".a.b.txt.12-3.tmp")] {
            assert!(is_temporary(name, |target| target == "a.b.txt"));
            assert!(!is_temporary(name, |target| target == "b.txt"));
        }
        for other in [
            "a.b.txt",
            ".a.b.txt.tmp",
            ".a.b.txt.1-.tmp",
            ".a.b.txt.x-1.tmp",
            "a.b.txt.1-1.tmp",
            ".1-1.tmp",
            ".a.abcdef.tmp",
            ".a.plugfit-abcde.tmp",
            ".a.plugfit-abcdef.tmq",
        ] {
            assert!(!is_temporary(OsStr::new(other), |_| true), "{other}");
        }
    }

    #[test]
    fn a_new_file_never_replaces_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        write_new(&path, |writer| writer.write_all(b"one")).expect("it can be written");
        write_new(&path, |writer| writer.write_all(b"two")).expect_err("it exists");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "one");
        assert_eq!(names_in(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_write_leaves_the_previous_file_and_nothing_beside_it() {
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
