//! Loads a library from a sealed copy in memory, so that the code that runs is the code that was vetted, and a later
//! change of the file has no effect.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::image;
use super::portable::with_private_copy;

/// Loads a library from its bytes. `path` is the file that they were read from, and `needed` are the libraries that
/// they need.
pub fn open(bytes: &[u8], path: &Path, needed: &[String], in_place: bool) -> Result<libloading::Library, String> {
    if in_place {
        return load(path);
    }
    needed.iter().try_for_each(|name| ensure_loaded(name))?;
    match sealed_copy(bytes) {
        Ok(name) => load(Path::new(&name)),
        // Hardened kernels refuse memfd_create.
        Err(_) => with_private_copy(bytes, load),
    }
}

fn load(path: &Path) -> Result<libloading::Library, String> {
    // SAFETY: loading runs the library's initialisers, which is what loading a plug-in means; the bytes have been
    // vetted.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into).map_err(|error| error.to_string())
}

/// Ensures that a library of the C runtime is loaded, so that the loader doesn't search for it. Since glibc 2.34 some
/// of these libraries are empty, and only plug-ins that were built on an older system need them; such a library is
/// loaded from the folder of the C library.
fn ensure_loaded(name: &str) -> Result<(), String> {
    let lacks = || format!("it needs {name}, which this program doesn't have");
    let c_name = CString::new(name).map_err(|_| lacks())?;
    // SAFETY: with RTLD_NOLOAD nothing is loaded.
    if !unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) }.is_null() {
        return Ok(());
    }
    let beside = c_library().map(|path| path.with_file_name(name)).filter(|path| path.is_file());
    let library = load(&beside.ok_or_else(lacks)?)?;
    std::mem::forget(library);
    Ok(())
}

/// Returns the path of this process's C library.
fn c_library() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `dladdr` accepts any address; `found` is initialised if the result isn't 0, and `dli_fname` lives as long
    // as the C library.
    let name = unsafe {
        if libc::dladdr(libc::getpid as *const libc::c_void, found.as_mut_ptr()) == 0 {
            return None;
        }
        CStr::from_ptr(found.assume_init().dli_fname)
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    path.is_absolute().then(|| path.to_owned())
}

/// Returns the path of a copy in memory that nobody can change.
fn sealed_copy(bytes: &[u8]) -> std::io::Result<String> {
    let mut file = File::from(memfd_create("plugfit", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(&bytes[..image::mapped_length(bytes)])?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // The descriptor is never closed: the loader identifies libraries by name, and a reused number would name the old
    // one. The path isn't in /proc/self, since a debugger that follows it would open a descriptor of its own process.
    Ok(format!("/proc/{}/fd/{}", std::process::id(), file.into_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_loaded_or_come_from_the_folder_of_the_c_library() {
        ensure_loaded("libc.so.6").expect("it is there");
        if c_library().is_some_and(|path| path.with_file_name("libdl.so.2").is_file()) {
            ensure_loaded("libdl.so.2").expect("it is beside it");
        }
        let reason = ensure_loaded("libnowhere.so.1").expect_err("it is nowhere");
        assert_eq!(reason, "it needs libnowhere.so.1, which this program doesn't have");
    }
}
