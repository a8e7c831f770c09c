//! Loads a library from a private copy on disk, for systems without sealed memory files.

use std::io::Write;
use std::path::Path;

/// Loads a library from its bytes. `path` is the file that they were read from.
#[cfg(not(target_os = "linux"))]
pub fn open(bytes: &[u8], path: &Path, _: &[String], in_place: bool) -> Result<libloading::Library, String> {
    let load = |path: &Path| {
        // SAFETY: loading runs the library's initialisers, which is what loading a plug-in means; the bytes have been
        // vetted.
        unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
    };
    if in_place { load(path) } else { with_private_copy(bytes, load) }
}

/// Calls `load` with the path of a copy in a new temporary folder, and then deletes the copy. Windows can't delete a
/// library that is loaded, so the copy stays there.
pub fn with_private_copy<T>(bytes: &[u8], load: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
    let copy = || {
        let folder = tempfile::Builder::new().prefix("plugfit-").tempdir()?;
        let path = folder.path().join(format!("plugin{}", std::env::consts::DLL_SUFFIX));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(bytes)?;
        Ok((folder, path))
    };
    let (_folder, path) = copy().map_err(|error: std::io::Error| error.to_string())?;
    load(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_copy_is_deleted_once_it_is_loaded() {
        let load = |path: &Path| Ok((path.to_owned(), std::fs::read(path).expect("it is there")));
        let (path, bytes) = with_private_copy(b"library", load).expect("it can be written");
        assert_eq!(bytes, b"library");
        assert!(!path.exists() && !path.parent().expect("a folder").exists(), "{path:?}");
    }
}
