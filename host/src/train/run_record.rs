//! `run.json`: what is known of a run before it is trained.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::Schema;
use crate::{Error, Result};

/// The file's name.
pub(super) const RECORD: &str = "run.json";

/// What `evaluate` and `predict` need to know of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of plugfit that wrote it.
    pub plugfit: String,
    /// The plug-ins that were loaded: name and version, and where from.
    pub plugins: Vec<(String, String)>,
    /// A digest of what was loaded of each plug-in's file, by the plug-in's name and version, and of each library of a C function, by its path.
    #[serde(default, rename = "loaded_digests")]
    pub digests: BTreeMap<String, String>,
    /// The `plugfit.lock` that held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The run's configuration, defaults filled in, its paths absolute.
    pub config: Value,
    /// How the data were read.
    pub schema: Schema,
    /// The files that callbacks have written, those in the folder seen from it; none in runs of older versions of plugfit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<String>>,
}

/// Whether a folder holds a run of ours.
pub(super) fn has_run(folder: &Path) -> bool {
    read_record(folder).is_ok()
}

/// Reads the record of the run in a folder.
pub(super) fn read_record(folder: &Path) -> Result<RunRecord> {
    let file = folder.join(RECORD);
    let text = fs::read_to_string(&file).map_err(|error| {
        Error::usage(format!("{} is no folder of a run: {RECORD}: {error}", folder.display()))
            .hint("`plugfit fit` makes one and says its name in its last line")
    })?;
    serde_json::from_str(&text).map_err(|error| Error::failure(format!("{} can't be read: {error}", file.display())))
}
