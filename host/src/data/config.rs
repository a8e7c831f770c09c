//! The `[data]` table of a run's file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What to train on: the `[data]` table. Paths are seen from the folder that it is loaded with, and may be patterns
/// such as `part-*.csv`, whose files are read in sorted order. A `file://` URL, percent-encoded, names one file and is never a pattern.
///
/// Files mean the same in every format:
/// - Inputs and weights are float32. A number that is too large for it is refused, with its row and column, as NaN, infinity and missing
///   values are.
/// - An integer that float32 rounds, such as the id 16777217, is refused as an input, unless the inputs are multiplied by `scale`, which
///   makes it a quantity. A number is an integer by its column's or array's type; in a `.csv`, if it is written without a point and an
///   exponent.
/// - Integers of a target are kept exactly, up to 64 bits.
/// - A boolean is 0 or 1, as an input, a target or a weight; in a `.csv` the words "true" and "false" are booleans, in any case. Only in
///   a target that has other words as well they are the names of classes, and so are its numbers. Text of a `.parquet` is words, whatever
///   the words are. A target that mixes booleans and numbers, and has no other words, is refused.
/// - The columns of a `.parquet` may be integers, floating-point numbers, decimals, booleans, text, or any of these within a struct,
///   whose columns are named "struct.column". A column of dates, times, durations, lists, bytes that aren't text or other types is refused
///   where it is used, and left out where `inputs` isn't given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The only file, `.csv`, `.parquet`, `.npy` or `.npz`; its last part is for validation if there is a `validation_split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<OneOrMany>,
    /// Instead of `file`: what to train on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<OneOrMany>,
    /// What to validate on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<OneOrMany>,
    /// The target: a column (`.csv`, `.parquet`), an array (`.npz`, "y" unless told) or a file (`.npy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetConfig>,
    /// The input columns (`.csv`, `.parquet`; every other numeric column unless told) or the input array (`.npz`, "x" unless
    /// told).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<OneOrMany>,
    /// The column (`.csv`, `.parquet`), array (`.npz`) or file (`.npy`) of the samples' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_weight: Option<String>,
    /// Whether the inputs are read into memory, or left on disk and read batch by batch; where it isn't said, those of up to 256 MiB
    /// are read. Targets and weights always are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_memory: Option<bool>,
    /// Multiplied into the inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// The share of the samples, the last ones, that is for validation; at least 0 and below 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_split: Option<f64>,
}

/// A name, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(name) => std::slice::from_ref(name),
            OneOrMany::Many(names) => names,
        }
    }
}

impl From<&str> for OneOrMany {
    fn from(name: &str) -> Self {
        OneOrMany::One(name.to_owned())
    }
}

/// The target of the only output, or of each output by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a name, a list of names, or a table of output and name")]
pub enum TargetConfig {
    /// Of the only output; several columns make `[N, columns]`.
    Columns(OneOrMany),
    /// Of each output.
    Outputs(BTreeMap<String, OneOrMany>),
}

impl From<&str> for TargetConfig {
    fn from(name: &str) -> Self {
        TargetConfig::Columns(name.into())
    }
}

impl TargetConfig {
    /// Each target's name and its columns. A target of one column that belongs to no named output bears the column's
    /// name, one of several columns is called "target".
    pub(super) fn named(&self) -> Vec<(String, Vec<String>)> {
        match self {
            TargetConfig::Columns(columns) => {
                let columns = columns.as_slice();
                let name = if let [only] = columns { only.as_str() } else { "target" };
                vec![(name.to_owned(), columns.to_vec())]
            }
            TargetConfig::Outputs(outputs) => {
                outputs.iter().map(|(name, columns)| (name.clone(), columns.as_slice().to_vec())).collect()
            }
        }
    }
}

/// How many bytes of inputs are read into memory, where it is said, or isn't.
pub(super) fn memory_limit(in_memory: Option<bool>) -> usize {
    match in_memory {
        Some(true) => usize::MAX,
        Some(false) => 0,
        None => 256 << 20,
    }
}
