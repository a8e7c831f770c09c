//! Loads a library from a private copy on disk, for systems without sealed memory files.

use std::io::Write;
use std::path::PathBuf;

/// Loads a library from its bytes. `path` is the file that they were read from.
#[cfg(not(target_os = "linux"))]
pub fn open(bytes: &[u8], path: &std::path::Path, _: &[String], in_place: bool) -> Result<libloading::Library, String> {
    let path = if in_place { path.to_owned() } else { private_copy(bytes).map_err(|error| error.to_string())? };
    // SAFETY: loading runs the library's initialisers, which is what loading a plug-in means; the bytes have been
    // vetted.
    unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
}

/// Writes a copy to a new temporary folder with a unique name, and returns its path.
pub fn private_copy(bytes: &[u8]) -> std::io::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("plugfit-").tempdir()?;
    let path = folder.path().join(format!("plugin{}", std::env::consts::DLL_SUFFIX));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(bytes)?;
    // Keep the folder: a library is never unloaded.
    let _ = folder.keep();
    Ok(path)
}
