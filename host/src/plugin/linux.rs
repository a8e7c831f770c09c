//! Loads from a sealed copy in memory: what was vetted is what runs, and a rewrite of the file harms nobody.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::image;
use super::portable::private_copy;

/// Loads these bytes; `path` is where they are from, and `needed` are the libraries that they need.
pub fn open(bytes: &[u8], path: &Path, needed: &[String], in_place: bool) -> Result<libloading::Library, String> {
    if in_place {
        return load(path);
    }
    needed.iter().try_for_each(|name| have(name))?;
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

/// Makes sure that a library of the C runtime is part of this process, so that the loader looks for it nowhere. Since glibc 2.34 some of
/// them are empty, and no program needs them any more, but for plug-ins that were built on an older system; such a one is loaded from where
/// the C library itself is.
fn have(name: &str) -> Result<(), String> {
    let lacks = || format!("it needs {name}, which this program doesn't have");
    let c_name = CString::new(name).map_err(|_| lacks())?;
    // SAFETY: a library that is there already is named; nothing is loaded.
    if !unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) }.is_null() {
        return Ok(());
    }
    let beside = c_library().map(|path| path.with_file_name(name)).filter(|path| path.is_file());
    let library = load(&beside.ok_or_else(lacks)?)?;
    std::mem::forget(library);
    Ok(())
}

/// Where the C library of this process is.
fn c_library() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: any address may be asked for; the answer is written unless there is none, and its name stays as long as the library does.
    let name = unsafe {
        if libc::dladdr(libc::getpid as *const libc::c_void, found.as_mut_ptr()) == 0 {
            return None;
        }
        CStr::from_ptr(found.assume_init().dli_fname)
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    path.is_absolute().then(|| path.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_part_of_the_process_or_comes_from_beside_the_c_library() {
        have("libc.so.6").expect("it is there");
        if c_library().is_some_and(|path| path.with_file_name("libdl.so.2").is_file()) {
            have("libdl.so.2").expect("it is beside it");
        }
        let reason = have("libnowhere.so.1").expect_err("it is nowhere");
        assert_eq!(reason, "it needs libnowhere.so.1, which this program doesn't have");
    }
}
