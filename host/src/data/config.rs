//! The `[data]` table of a run file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::columns::{Categories, ColumnConfig, ColumnSettings, Dates, Missing, Numbers};
use super::split::SplitConfig;

/// The data of a run: the `[data]` table of a run file.
///
/// Paths are relative to the folder passed to [`load`](DataConfig::load). A path may be a glob pattern such as
/// `part-*.csv`, whose files are read in sorted order. A percent-encoded `file://` URL names one file and is never a
/// pattern.
///
/// The same rules hold for every format:
/// - Inputs and weights are float32. A number too large for float32, NaN, infinity or a missing value is an error,
///   which reports the row and column; only the inputs of tables may be missing.
/// - An integer that isn't exact in float32, such as the id 16777217, is an error as an input, unless it is scaled by
///   `scale`, "standard" or "minmax". The type of the column or array decides whether a number is an integer; in a
///   `.csv`, a number without a decimal point and exponent is an integer.
/// - Integer targets are exact, up to 64 bits.
/// - A boolean is 0 or 1, as an input, a target or a weight. In a `.csv` the words "true" and "false", in any case, are
///   booleans. If a target also contains other words, all its values, including booleans and numbers, are class names.
///   Text in a `.parquet` is always words. A target that mixes booleans and numbers, and contains no other words, is an
///   error.
/// - The columns of a `.parquet` may be integers, floating-point numbers, decimals, booleans, text, dates, timestamps,
///   or any of these within a struct, whose columns are named "struct.column". Using a column of times of day,
///   durations, lists, non-text bytes or other types is an error; if `inputs` isn't set, such a column is left out.
///
/// The columns of a table (`.csv`, `.parquet`) become features by these rules. `numbers`, `categories`, `dates` and
/// `missing` hold for all columns of a kind, and `columns` for single columns.
/// - The kind of a column is that of its first value: a number, a boolean, a date such as 2024-02-29 or
///   2024-02-29T17:30:00Z, or else a word. A later word among numbers is an error.
/// - A number is standardised; a boolean is 0 or 1. If all training rows have the same number, it becomes 0.
/// - Words are categories: one-hot if the training rows have at most 32, else an embedding of as many numbers as the
///   root of the number of categories, from 2 to 16. If a column has more than 32 distinct words, and more than half as
///   many as values, or more than 100,000, they are ids or free text: it is left out unless `columns` names its
///   treatment.
/// - A category that no training row has is encoded as no category: zeros, or the id 0 of the embedding, which is also
///   that of missing values and of the categories of a single training row.
/// - Dates are left out, unless they are "cyclic". Times are in UTC.
/// - An empty cell, and in a `.csv` the words NA, N/A, NaN, null, none and ? in any case, are missing values. The median
///   of the training rows takes the place of a number, boolean or date, and a missing word is a category of its own. If
///   values are missing in the training rows, a further feature is 1 where one is missing.
/// - With `scale`, or `numbers = "none"`, tables of numbers without missing values are read in one pass, and a missing
///   value in a later file is an error.
/// - A column without values in the training rows is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The only file or files, `.csv`, `.parquet`, `.npy` or `.npz`; `validation_split` splits off the last samples for
    /// validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<OneOrMany>,
    /// The training files, instead of `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<OneOrMany>,
    /// The validation files, or how samples of the only files are split off for validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationConfig>,
    /// The target: a column (`.csv`, `.parquet`), an array (`.npz`, default "y") or a file (`.npy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetConfig>,
    /// The input columns (`.csv`, `.parquet`; default: all other numeric columns) or the input array (`.npz`, default
    /// "x"). A table gives losses and metrics inputs of their own: `inputs = { group = "query" }` is the column "query"
    /// as the input "group"; its key `x` are the inputs of the network. For `.npy`, such an input is a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputsConfig>,
    /// The sample weights: a column (`.csv`, `.parquet`), an array (`.npz`) or a file (`.npy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_weight: Option<String>,
    /// Whether to read the inputs into memory, or leave them on disk and read them batch by batch. By default, inputs
    /// of up to 256 MiB are read into memory. Targets and weights are always in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_memory: Option<bool>,
    /// A factor that the inputs are multiplied by. Numbers of a table are then not standardised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// How the numbers of a table are scaled: "standard" (the default), "minmax" or "none".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// How the words of a table are encoded: "auto" (the default), "one_hot", "embed" or "drop".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Categories>,
    /// How the dates of a table are encoded: "cyclic" or "drop" (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dates: Option<Dates>,
    /// What is done about missing inputs in a table: "fill" (the default) or "error".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// How single columns of a table are encoded, instead of the defaults above: `age = "minmax"`, `city = { embed = 8
    /// }`, `signup = "cyclic"`, `id = "drop"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnConfig>,
    /// The fraction of the samples, taken from the end, for validation; at least 0 and below 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_split: Option<f64>,
}

/// The samples for validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a file, a list of files, or a table of \"fraction\", \"how\" (\"stratified\", \"shuffled\", \
                 \"grouped\" or \"last\"), \"by\" and \"seed\""
)]
pub enum ValidationConfig {
    /// Files of their own.
    Files(OneOrMany),
    /// A part of the only files.
    Split(SplitConfig),
}

/// A name, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum OneOrMany {
    /// One name.
    One(String),
    /// A list of names.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns all names.
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

/// The inputs of the network, and those of losses and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a name, a list of names, or a table of input and name")]
pub enum InputsConfig {
    /// The inputs of the network.
    Columns(OneOrMany),
    /// The inputs of the network under `x`, and the further inputs of losses and metrics by name.
    Named(BTreeMap<String, OneOrMany>),
}

impl From<&str> for InputsConfig {
    fn from(name: &str) -> Self {
        InputsConfig::Columns(name.into())
    }
}

impl InputsConfig {
    /// The key of the network's inputs.
    pub const NETWORK: &str = "x";

    /// Returns the inputs of the network, if they are named.
    pub fn network(&self) -> Option<&OneOrMany> {
        match self {
            InputsConfig::Columns(columns) => Some(columns),
            InputsConfig::Named(table) => table.get(Self::NETWORK),
        }
    }

    /// Returns the name and columns of each further input.
    pub(super) fn further(&self) -> Vec<(String, Vec<String>)> {
        match self {
            InputsConfig::Columns(_) => Vec::new(),
            InputsConfig::Named(table) => table
                .iter()
                .filter(|(name, _)| *name != Self::NETWORK)
                .map(|(name, columns)| (name.clone(), columns.as_slice().to_vec()))
                .collect(),
        }
    }
}

impl DataConfig {
    /// Returns the settings for the columns of tables.
    pub(super) fn column_settings(&self) -> ColumnSettings {
        ColumnSettings {
            numbers: self.numbers,
            categories: self.categories,
            dates: self.dates,
            missing: self.missing,
            columns: self.columns.clone(),
        }
    }

    /// Returns the inputs of the network, if they are named.
    pub(super) fn network_inputs(&self) -> Option<&OneOrMany> {
        self.inputs.as_ref().and_then(InputsConfig::network)
    }

    /// Returns the name and columns of each further input of losses and metrics.
    pub(super) fn further_inputs(&self) -> Vec<(String, Vec<String>)> {
        self.inputs.as_ref().map(InputsConfig::further).unwrap_or_default()
    }
}

/// The target of the only output, or of each output by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a name, a list of names, or a table of output and name")]
pub enum TargetConfig {
    /// The target of the only output; several columns make `[N, columns]`.
    Columns(OneOrMany),
    /// The target of each output.
    Outputs(BTreeMap<String, OneOrMany>),
}

impl From<&str> for TargetConfig {
    fn from(name: &str) -> Self {
        TargetConfig::Columns(name.into())
    }
}

impl TargetConfig {
    /// Returns the name and columns of each target. If no output is named, the target has the name of its column, or
    /// "target" if it has several columns.
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

/// Returns how many bytes of inputs may be in memory.
pub(super) fn memory_limit(in_memory: Option<bool>) -> usize {
    match in_memory {
        Some(true) => usize::MAX,
        Some(false) => 0,
        None => 256 << 20,
    }
}
