//! One process at a time writes into a run's folder.

use std::fs::File;
use std::path::Path;

use crate::{Error, Result};

/// An advisory lock on a folder. It is released when this is dropped and when the process ends, even if it is killed.
///
/// On Unix the folder itself is locked (`flock`), so that there is no lock file. On a file system without such locks, such as some network
/// file systems, no lock is taken and the run goes on.
#[derive(Debug)]
pub struct FolderLock {
    _held: File,
}

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// Another process has locked it, or it can't be opened.
    pub fn acquire(folder: &Path) -> Result<Self> {
        match platform::lock(folder) {
            Ok(Some(held)) => Ok(FolderLock { _held: held }),
            Ok(None) => Err(Error::failure(format!("another process is training in {}", folder.display()))
                .hint("wait until it has ended, or name another folder with --out")),
            Err(error) => Err(Error::failure(format!("cannot open the folder {}: {error}", folder.display()))),
        }
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;

    /// The locked folder; none if another process has locked it.
    pub fn lock(folder: &Path) -> io::Result<Option<File>> {
        let opened = File::open(folder)?;
        // Any other error means that the file system has no locks.
        if let Err(Errno::WOULDBLOCK) = flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            return Ok(None);
        }
        // The process that held the lock may have removed the folder.
        let (ours, there) = (opened.metadata()?, fs::metadata(folder)?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed meanwhile"));
        }
        Ok(Some(opened))
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    /// An open file in the folder, which nobody else can open; none if another process has it.
    pub fn lock(folder: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;
            const DELETE_ON_CLOSE: u32 = 0x0400_0000;
            const SHARING_VIOLATION: i32 = 32;
            options.share_mode(0).custom_flags(DELETE_ON_CLOSE);
            match options.open(folder.join(super::super::run_contents::LOCK_FILE)) {
                Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => return Ok(None),
                other => return other.map(Some),
            }
        }
        #[cfg(not(windows))]
        options.open(folder.join(super::super::run_contents::LOCK_FILE)).map(Some)
    }
}
