//! The data that is trained on: read from files, cut, shuffled and gathered into batches; and predictions, written.
//!
//! [`DataConfig`] is the `[data]` table of a run's file. It loads [`Dataset`]s, whose rows are either lent as slices
//! in order (`dataset.inputs().rows(0..32, &mut buffer)`) or gathered in any order into a reusable batch
//! ([`Dataset::gather_into`]); a batch is a small `Dataset` itself.

mod array;
mod atomic;
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
pub(crate) mod names;
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
pub(crate) mod text;
mod thrift;
mod write;

pub use array::{Array, ArrayRef, Rows};
pub use atomic::{is_temporary, write_atomically, write_privately};
pub use config::{DataConfig, OneOrMany, TargetConfig};
pub use dataset::{Dataset, Target};
pub use inputs::{DiskRows, Inputs};
pub use load::LoadedData;
pub(crate) use npy::write_npy_doubles;
pub use order::shuffled_order;
pub use schema::{InputKind, Schema, TargetSchema};
pub use write::write_predictions;
