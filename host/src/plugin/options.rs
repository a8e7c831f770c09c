//! How plug-ins are loaded, and which files may be.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trust::TrustedKeys;
use super::{Isolation, Lock, Locked, Refusal, image, ownership, sha256, vet};
use crate::text::printable_path;

/// How plug-ins are loaded. A host's options are fixed when it is created; nothing can loosen them later.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Load the file itself instead of a checked copy, so that the loader finds libraries beside it.
    pub load_in_place: bool,
    /// Load only files that are in each of these locks.
    pub locks: Vec<Arc<Lock>>,
    /// Load only files that are signed with one of these keys.
    pub signed_by: Option<Arc<TrustedKeys>>,
    /// Run each plug-in in its own process.
    pub isolate: Option<Isolation>,
    /// Read only manifests: components can be inspected but not created, and no code of a plug-in runs.
    pub manifests_only: bool,
}

impl LoadOptions {
    /// Returns what limits the files that may be loaded, if anything does: the path of a lock, or `--require-signed`.
    pub fn limit(&self) -> Option<String> {
        let lock = self.locks.first().map(|lock| printable_path(lock.path()));
        lock.or_else(|| self.signed_by.as_ref().map(|_| "--require-signed".into()))
    }

    /// Reads a library that may be loaded: the whole file, or only the relevant parts.
    pub(super) fn read(&self, path: &Path, whole: bool) -> Result<Library, Refusal> {
        if let (true, Some(limit)) = (self.load_in_place, self.limit()) {
            return Err(Refusal::invalid_request(format!("can't be loaded in place with {limit}"))
                .hint("a file that is loaded in place may change after the check"));
        }
        // The signature is read first, since that is quick: without one, the library need not be read.
        let signature = self.signed_by.as_ref().map(|keys| keys.signature(path)).transpose()?;
        let library = Library::read(path, whole || self.limit().is_some())?;
        for lock in &self.locks {
            lock.check(path, &library.bytes)?;
        }
        if let Some(signature) = signature {
            signature.check(&library.bytes)?;
        }
        Ok(library)
    }
}

impl Locked {
    /// Creates the entry for a file that may be loaded, without running any of its code.
    ///
    /// # Errors
    /// Returns a refusal if the file could not be loaded.
    pub fn of(path: &Path, options: &LoadOptions) -> Result<Self, Refusal> {
        let read = || {
            let bytes = options.read(path, true)?.bytes;
            let manifest = vet::plugin(&bytes, false)?.manifest;
            let from = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if from.to_str().is_none() {
                return Err(
                    Refusal::new("has a path that isn't UTF-8, and a lock contains only UTF-8").hint("rename it")
                );
            }
            Ok(Locked {
                sha256: sha256(&bytes),
                name: manifest.name,
                version: manifest.version,
                abi: plugfit_abi::ABI_VERSION,
                from,
            })
        };
        read().map_err(|refusal: Refusal| refusal.at(path))
    }
}

/// Maximum size of a library, in bytes; a sparse file can claim any size.
const MAX_LENGTH: usize = 1 << 31;

/// A library that was read but not loaded.
pub struct Library {
    pub bytes: Vec<u8>,
    /// The canonical path of the file.
    pub real: PathBuf,
}

impl Library {
    /// Reads a file: the whole of it, or only the parts that are loaded or vetted.
    pub fn read(path: &Path, whole: bool) -> Result<Self, Refusal> {
        let failed = |error: std::io::Error| Refusal::new(format!("cannot be read: {error}"));
        let ownership::Opened { mut file, length, real } = ownership::open(path)?;
        let bytes = match usize::try_from(length) {
            Ok(length) if length <= MAX_LENGTH && whole => {
                let mut bytes = Vec::with_capacity(length);
                file.take(MAX_LENGTH as u64).read_to_end(&mut bytes).map_err(failed)?;
                bytes
            }
            Ok(length) if length <= MAX_LENGTH => image::read(&mut file, length).map_err(failed)?,
            _ => return Err(Refusal::new("is larger than 2 GiB").hint("build it in release mode")),
        };
        Ok(Library { bytes, real })
    }
}
