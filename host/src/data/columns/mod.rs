//! The columns of tables: how numbers, words and dates become the features of a network.
//!
//! A column of a `.csv` or `.parquet` file is first read as raw numbers of float64: a number or a boolean itself, the
//! id of a word, or the seconds of a date; NaN is a missing value. [`learn`](learn::learn) then decides from the raw
//! numbers of the training rows how each column is encoded, and [`LearntColumn`] encodes raw numbers as float32.

mod dates;
mod describe;
mod encoder;
mod encoding;
mod leak;
mod learn;
#[cfg(test)]
mod learn_tests;
mod notes;
mod raw;
mod settings;
mod statistics;
mod words;

pub use self::dates::{format_date, parse_date};
pub use self::describe::ColumnDescription;
pub use self::encoder::{Encoder, RawValue};
pub use self::encoding::{Encoding, LearntColumn, MissingValue, Unencodable};
pub use self::leak::TargetValues;
pub use self::learn::{LeftOut, RawColumn, learn};
pub use self::notes::{Later, listed_names, notes_of_later};
pub use self::raw::{RawBuilder, RawRows};
pub use self::settings::{
    Categories, ColumnConfig, ColumnSettings, ColumnTable, Dates, Missing, Numbers, Treatment, Use,
};
pub use self::statistics::{ColumnSummary, NumberSummary};
pub use self::words::Words;
