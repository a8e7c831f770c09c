//! Training data and predictions: loading, splitting, shuffling, batching and writing.
//!
//! [`DataConfig`] is the `[data]` table of a run file. It loads [`Dataset`]s. Consecutive rows are borrowed as slices
//! (`dataset.inputs().rows(0..32, &mut buffer)`); rows in any order are gathered into a reusable batch
//! ([`Dataset::gather_into`]). A batch is itself a small `Dataset`.

mod array;
mod config;
mod csv_file;
mod dataset;
mod float32;
#[cfg(test)]
mod formats_tests;
mod guarded;
mod inputs;
mod load;
#[cfg(test)]
mod load_tests;
mod npy;
mod npy_header;
mod npz;
mod order;
mod parquet_cells;
#[cfg(test)]
mod parquet_damaged_tests;
mod parquet_file;
mod parquet_pages;
#[cfg(test)]
mod parquet_structs_tests;
#[cfg(test)]
mod parquet_tests;
mod schema;
mod table;
mod target_column;
mod thrift;
mod write;

pub use array::{Array, ArrayRef, Rows};
pub use config::{DataConfig, OneOrMany, TargetConfig};
pub use dataset::{Dataset, Target};
pub use inputs::{DiskRows, Inputs};
pub use load::LoadedData;
pub(crate) use npy::write_npy_doubles;
pub use order::shuffled_order;
pub use schema::{InputKind, Schema, TargetSchema};
pub use write::write_predictions;
