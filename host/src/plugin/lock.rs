//! `plugfit.lock`: the plug-ins that may be loaded, by the digest of their files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{LoadOptions, Refusal, ownership, vet};
use crate::data::text::of_path;
use crate::data::write_atomically;
use crate::{Error, Result};

/// The version of the file's form.
const VERSION: u32 = 1;

/// The plug-ins that may be loaded. Nothing of any other file runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    plugins: Vec<Locked>,
}

/// A plug-in in a [`Lock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The ABI it was built for.
    pub abi: u32,
    /// The SHA-256 of its file, as `sha256sum` prints it.
    pub sha256: String,
    /// Where it was.
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
    /// What the file is called.
    pub const NAME: &str = "plugfit.lock";

    /// Locks these plug-ins; `path` is where the lock is to be.
    pub fn new(path: impl Into<PathBuf>, plugins: Vec<Locked>) -> Self {
        Lock { path: path.into(), plugins }
    }

    /// Reads the lock that is there, if there is one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn at(path: &Path) -> Result<Option<Self>> {
        // A link that leads nowhere is a lock that is lost, and not that there is none.
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => Self::read(path).map(Some),
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// It can't be read, isn't one, is of a version that isn't known, or someone else could have written it.
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

    /// Writes it where it is to be, whole or not at all.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self) -> Result<()> {
        let file = File { version: VERSION, plugins: self.plugins.clone() };
        let text = toml::to_string(&file).map_err(|error| Error::failure(error.to_string()))?;
        let head = "# The plug-ins that may be loaded; `plugfit lock` writes it.\n";
        write_atomically(&self.path, |writer| write!(writer, "{head}{text}"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The plug-ins.
    pub fn plugins(&self) -> &[Locked] {
        &self.plugins
    }

    /// Refuses a file that isn't among them; `bytes` is all of it.
    pub(super) fn check(&self, path: &Path, bytes: &[u8]) -> std::result::Result<(), Refusal> {
        let digest = sha256(bytes);
        if self.plugins.iter().any(|plugin| plugin.sha256 == digest) {
            return Ok(());
        }
        let lock = of_path(&self.path);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Err(match self.plugins.iter().find(|plugin| plugin.from == absolute) {
            Some(was) => Refusal::new(format!(
                "isn't the {} {} that {lock} names: its sha256 is {digest}, not {}",
                was.name, was.version, was.sha256
            )),
            None => Refusal::new(format!("isn't in {lock}: its sha256 is {digest}")),
        }
        .hint("if it is to be loaded, `plugfit lock` takes it in"))
    }
}

impl Locked {
    /// A plug-in of a file that may be loaded; no code of it runs.
    ///
    /// # Errors
    /// Why it would be refused.
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

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
