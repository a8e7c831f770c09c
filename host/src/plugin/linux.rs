//! Loads from a sealed copy in memory: what was vetted is what runs, and a rewrite of the file harms nobody.

use std::fs::File;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::image;
use super::portable::private_copy;

/// Loads these bytes; `path` is where they are from.
pub fn open(bytes: &[u8], path: &Path, in_place: bool) -> Result<libloading::Library, String> {
    if in_place {
        return load(path);
    }
    match sealed_copy(bytes) {
        Ok(name) => load(Path::new(&name)),
        // Hardened kernels refuse memfd.
        Err(_) => load(&private_copy(bytes).map_err(|error| error.to_string())?),
    }
}

fn load(path: &Path) -> Result<libloading::Library, String> {
    // SAFETY: initialisers of the library run here. That is what loading a plug-in is; its bytes have been vetted.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into).map_err(|error| error.to_string())
}

/// The name of a copy that nobody can write any more.
fn sealed_copy(bytes: &[u8]) -> std::io::Result<String> {
    let mut file = File::from(memfd_create("plugfit", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(&bytes[..image::mapped(bytes)])?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // Kept open for ever: the loader knows libraries by name, and a number used again would name the old one.
    // Not /proc/self, since a debugger that follows it would open a descriptor of its own.
    Ok(format!("/proc/{}/fd/{}", std::process::id(), file.into_raw_fd()))
}
