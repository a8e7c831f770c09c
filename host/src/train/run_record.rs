//! `run.json`: what is known about a run before training.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::Schema;
use crate::{Error, Result};

/// The file's name.
pub(super) const RECORD: &str = "run.json";

/// The information about a run that `evaluate` and `predict` need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of plugfit that wrote the record.
    pub plugfit: String,
    /// The loaded plug-ins: name and version, and origin.
    pub plugins: Vec<(String, String)>,
    /// Digests of the loaded files: of plug-ins by name and version, of libraries with C functions by path.
    #[serde(default, rename = "loaded_digests")]
    pub digests: BTreeMap<String, String>,
    /// The `plugfit.lock` that applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The configuration of the run, with defaults filled in and absolute paths.
    pub config: Value,
    /// How the data were read.
    pub schema: Schema,
    /// The files that callbacks have written; those in the run folder are relative to it. Absent in runs of older
    /// versions of plugfit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<String>>,
}

/// Returns whether a folder contains a run.
pub(super) fn has_run(folder: &Path) -> bool {
    read_record(folder).is_ok()
}

/// Reads the record of the run in a folder.
pub(super) fn read_record(folder: &Path) -> Result<RunRecord> {
    let file = folder.join(RECORD);
    let text = fs::read_to_string(&file).map_err(|error| {
        Error::usage(format!("{} isn't a folder of a run: {RECORD}: {error}", folder.display()))
            .hint("`plugfit fit` creates one and prints its path in the last line")
    })?;
    serde_json::from_str(&text).map_err(|error| Error::failure(format!("{} can't be read: {error}", file.display())))
}
