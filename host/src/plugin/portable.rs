//! Loads from a private copy on disk, where there is no sealed memory.

use std::io::Write;
use std::path::PathBuf;

/// Loads these bytes; `path` is where they are from.
#[cfg(not(target_os = "linux"))]
pub fn open(bytes: &[u8], path: &std::path::Path, _: &[String], in_place: bool) -> Result<libloading::Library, String> {
    let path = if in_place { path.to_owned() } else { private_copy(bytes).map_err(|error| error.to_string())? };
    // SAFETY: initialisers of the library run here. That is what loading a plug-in is; its bytes have been vetted.
    unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
}

/// A copy in a folder of this process's own, whose name never repeats.
pub fn private_copy(bytes: &[u8]) -> std::io::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("plugfit-").tempdir()?;
    let path = folder.path().join(format!("plugin{}", std::env::consts::DLL_SUFFIX));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(bytes)?;
    // It stays for as long as the process does: a library is never unloaded.
    let _ = folder.keep();
    Ok(path)
}
