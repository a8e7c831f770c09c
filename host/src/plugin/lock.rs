//! `plugfit.lock`: the plug-ins that may be loaded, by the digests of their files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{LoadOptions, Refusal, ownership, vet};
use crate::files::write_atomically;
use crate::text::of_path;
use crate::{Error, Result};

/// The version of the file format.
const VERSION: u32 = 1;

/// The plug-ins that may be loaded. No code of any other file runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    plugins: Vec<Locked>,
}

/// A plug-in in a [`Lock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The plug-in's name.
    pub name: String,
    /// The plug-in's version.
    pub version: String,
    /// The ABI version that it was built for.
    pub abi: u32,
    /// The SHA-256 of its file, as `sha256sum` prints it.
    pub sha256: String,
    /// The path of its file when it was locked.
    pub from: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<Locked>,
}

impl Lock {
    /// The file's name.
    pub const NAME: &str = "plugfit.lock";

    /// Creates a lock of these plug-ins, to be written to `path`.
    pub fn new(path: impl Into<PathBuf>, plugins: Vec<Locked>) -> Self {
        Lock { path: path.into(), plugins }
    }

    /// Reads the lock at `path`, or returns `None` if there is none.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn at(path: &Path) -> Result<Option<Self>> {
        // A dangling link counts as a lost lock and not as no lock.
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => Self::read(path).map(Some),
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, isn't a lock, has an unknown version, or could have been written by
    /// another user.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = of_path(path);
        let text = ownership::read_text(path).map_err(|refusal| Error::from(refusal.at(path)))?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            Error::failure(format!("{shown} can't be understood: {}", error.message()))
                .with("in", format!("{shown}:{line}"))
        })?;
        if file.version != VERSION {
            return Err(Error::failure(format!(
                "{shown} is of version {}; this program reads {VERSION}",
                file.version
            ))
            .hint("update plugfit, or write it again with `plugfit lock`"));
        }
        Ok(Lock { path: path.to_owned(), plugins: file.plugins })
    }

    /// Writes the lock to its path atomically.
    ///
    /// # Errors
    /// Returns an error if the file can't be written.
    pub fn write(&self) -> Result<()> {
        let file = File { version: VERSION, plugins: self.plugins.clone() };
        let text = toml::to_string(&file).map_err(|error| Error::failure(error.to_string()))?;
        let header = "# The plug-ins that may be loaded; `plugfit lock` writes it.\n";
        write_atomically(&self.path, |writer| write!(writer, "{header}{text}"))
    }

    /// Returns the lock's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the locked plug-ins.
    pub fn plugins(&self) -> &[Locked] {
        &self.plugins
    }

    /// Refuses a file that isn't locked; `bytes` are the whole file.
    pub(super) fn check(&self, path: &Path, bytes: &[u8]) -> std::result::Result<(), Refusal> {
        let digest = sha256(bytes);
        if self.plugins.iter().any(|plugin| plugin.sha256 == digest) {
            return Ok(());
        }
        let lock = of_path(&self.path);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Err(match self.plugins.iter().find(|plugin| plugin.from == absolute) {
            Some(locked) => Refusal::new(format!(
                "isn't the {} {} that {lock} names: its sha256 is {digest}, not {}",
                locked.name, locked.version, locked.sha256
            )),
            None => Refusal::new(format!("isn't in {lock}: its sha256 is {digest}")),
        }
        .hint("if it is to be loaded, `plugfit lock` takes it in"))
    }
}

impl Locked {
    /// Creates the entry for a file that may be loaded, without running any of its code.
    ///
    /// # Errors
    /// Returns a refusal if the file could not be loaded.
    pub fn of(path: &Path, options: &LoadOptions) -> std::result::Result<Self, Refusal> {
        let read = || {
            let bytes = options.read(path, true)?.bytes;
            let manifest = vet::plugin(&bytes, false)?.manifest;
            let from = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if from.to_str().is_none() {
                return Err(
                    Refusal::new("has a name that isn't UTF-8, as all of a lock is").hint("call it something else")
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

/// Returns the SHA-256 of the bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
