//! The kinds of input values.

use serde::{Deserialize, Serialize};

/// The kind of the values in an input column of a `.csv` or `.parquet`, or in an array of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Only numbers.
    Number,
    /// Only booleans.
    Boolean,
    /// Both numbers and booleans.
    Mixed,
    /// Words; only in tables.
    Word,
    /// Dates or timestamps; only in tables.
    Date,
}
