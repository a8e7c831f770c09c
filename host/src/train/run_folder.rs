//! What a run leaves behind: `weights.safetensors`, `history.json`, `checkpoint.safetensors`, `config.toml` and `run.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::History;
use super::weights::save_weights;
use crate::data::{Schema, write_atomically};
use crate::network::Network;
use crate::{Error, Result};

/// What `evaluate` and `predict` need to know of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of plugfit that wrote it.
    pub plugfit: String,
    /// The plug-ins that were loaded: name and version, and where from.
    pub plugins: Vec<(String, String)>,
    /// The SHA-256 of each plug-in's file.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// The run's configuration, defaults filled in, its paths absolute.
    pub config: Value,
    /// How the data were read.
    pub schema: Schema,
}

/// A folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates `runs/NAME-1`, or the next number that is free, in the folder `parent`.
    ///
    /// # Errors
    /// It can't be created.
    pub fn create_next(parent: &Path, name: &str) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::failure(format!("cannot create a run folder in {}: {error}", parent.display()))
                .hint("name another one with --out")
        };
        std::fs::create_dir_all(parent).map_err(failed)?;
        let mut number = 1_u32;
        loop {
            let path = parent.join(format!("{name}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Creates this folder.
    ///
    /// # Errors
    /// It can't be created, or holds a run already.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = RunFolder { path: path.to_owned() };
        if folder.file("run.json").exists() {
            return Err(Error::usage(format!("{} holds a run already", path.display()))
                .hint("name another folder, or remove it"));
        }
        std::fs::create_dir_all(path)
            .map_err(|error| Error::failure(format!("cannot create {}: {error}", path.display())))?;
        Ok(folder)
    }

    /// A folder that a run was kept in.
    ///
    /// # Errors
    /// It holds no run.
    pub fn open(path: &Path) -> Result<(Self, RunRecord)> {
        let folder = RunFolder { path: path.to_owned() };
        let file = folder.file("run.json");
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::usage(format!("{} is no folder of a run: run.json: {error}", path.display()))
                .hint("`plugfit fit` makes one and says its name in its last line")
        })?;
        let record = serde_json::from_str(&text)
            .map_err(|error| Error::failure(format!("{} can't be read: {error}", file.display())))?;
        Ok((folder, record))
    }

    /// Takes away the folder of a run that didn't begin.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn discard(self) -> Result<()> {
        std::fs::remove_dir_all(&self.path)
            .map_err(|error| Error::failure(format!("cannot remove {}: {error}", self.path.display())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a run is resumed from.
    pub fn checkpoint(&self) -> PathBuf {
        self.file("checkpoint.safetensors")
    }

    /// The weights.
    pub fn weights(&self) -> PathBuf {
        self.file("weights.safetensors")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes what is known before training.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        let text = serde_json::to_string_pretty(record).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file("run.json"), |writer| writer.write_all(text.as_bytes()))?;
        let config = without_nulls(record.config.clone());
        let text = toml::to_string(&config).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file("config.toml"), |writer| writer.write_all(text.as_bytes()))
    }

    /// Writes what was trained so far.
    ///
    /// # Errors
    /// A file can't be written; those of before stay.
    pub fn write_progress(&self, network: &dyn Network, history: &History) -> Result<()> {
        save_weights(network, &self.weights())?;
        let text =
            serde_json::to_string_pretty(&history.to_json()).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&self.file("history.json"), |writer| writer.write_all(text.as_bytes()))
    }
}

/// TOML has no null: what is null is left out, in lists it is false to none.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => table
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
