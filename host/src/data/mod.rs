//! Training data and predictions: loading, splitting, shuffling, batching and writing.
//!
//! [`DataConfig`] is the `[data]` table of a run file. It loads [`Dataset`]s, describes how the columns of tables become
//! features, and learns their encodings from the training rows. [`Schema`] stores what was learnt. Consecutive rows are
//! borrowed as slices (`dataset.inputs().rows(0..32, &mut buffer)`); rows in any order are gathered into a reusable batch
//! ([`Dataset::gather_into`]). A batch is itself a small `Dataset`.

mod array;
mod columns;
mod config;
mod dataset;
mod float32;
mod format;
#[cfg(test)]
mod formats_tests;
mod input_kind;
mod inputs;
mod load;
mod number;
mod numpy;
mod order;
mod parquet;
mod schema;
#[cfg(test)]
mod settings_for_tests;
mod split;
mod table;
mod write;

pub use array::{Array, Rows};
pub use columns::{
    Categories, ColumnConfig, ColumnDescription, ColumnSettings, ColumnSummary, ColumnTable, Dates, Encoder, Encoding,
    LearntColumn, LeftOut, Missing, MissingValue, NumberSummary, Numbers, RawValue, Treatment, Unencodable,
};
pub use config::{DataConfig, InputsConfig, OneOrMany, TargetConfig, ValidationConfig};
pub use dataset::{Dataset, FurtherInput, MAX_FURTHER, Target};
pub use input_kind::InputKind;
pub use inputs::{DiskRows, Inputs};
pub use load::{LoadedData, TableProfile};
pub use order::shuffled_order;
pub use schema::{Schema, TargetSchema};
pub use split::{Split, SplitConfig, SplitMethod};
pub use table::missing_words;
pub use write::{PredictedOutput, write_predictions};
