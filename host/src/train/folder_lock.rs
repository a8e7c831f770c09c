//! A lock that lets only one process at a time write to a run folder.

use std::fs::File;
use std::path::Path;

use crate::{Error, Result};

/// An advisory lock on a folder. Dropping the value releases it, and so does the end of the process, even by a kill.
///
/// On Unix the folder itself is locked (`flock`), so there is no lock file. On a file system without locks, such as
/// some network file systems, no lock is taken and the run continues.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// Returns an error if another process holds the lock, or if the folder can't be opened.
    pub fn acquire(folder: &Path) -> Result<Self> {
        match platform::lock(folder) {
            Ok(Some(file)) => Ok(FolderLock { _file: file }),
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

    /// Locks a folder and returns its handle; `None` if another process holds the lock.
    pub fn lock(folder: &Path) -> io::Result<Option<File>> {
        let opened = File::open(folder)?;
        // Any other error means that the file system has no locks.
        if let Err(Errno::WOULDBLOCK) = flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            return Ok(None);
        }
        // The process that held the lock may have removed the folder.
        let (locked, current) = (opened.metadata()?, fs::metadata(folder)?);
        if (locked.dev(), locked.ino()) != (current.dev(), current.ino()) {
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

    /// Opens a file in the folder that no other process can open; `None` if another process has it open.
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
