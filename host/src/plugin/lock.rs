//! `plugfit.lock`: the plug-ins that may be loaded, by the digests of their files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Refusal, ownership, sha256};
use crate::files::write_atomically;
use crate::text::printable_path;
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
        // A dangling link is an error: there was a lock, and it is lost.
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
        let shown = printable_path(path);
        let text = ownership::read_text(path).map_err(|refusal| Error::from(refusal.at(path)))?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            Error::failure(format!("{shown} can't be parsed: {}", error.message()))
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
        let lock = printable_path(&self.path);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Err(match self.plugins.iter().find(|plugin| plugin.from == absolute) {
            Some(locked) => Refusal::new(format!(
                "isn't the {} {} that {lock} names: its sha256 is {digest}, not {}",
                locked.name, locked.version, locked.sha256
            )),
            None => Refusal::new(format!("isn't in {lock}: its sha256 is {digest}")),
        }
        .hint("to allow it, run `plugfit lock` again"))
    }
}
