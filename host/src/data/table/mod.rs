//! Files of rows with named columns.

mod cell;
mod csv_file;
mod input_column;
mod read;
mod target_column;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

pub use self::csv_file::missing_words;
pub use self::input_column::{InputCells, PlannedInput, ReadColumn};
pub use self::read::{Columns, Kind, TableInputs, TablePlan, read_table};
pub use self::target_column::{Classes, PlannedTarget};
use crate::text::nearest;
use crate::{Error, Result};

/// A file that is read row by row.
pub trait Table {
    /// Returns the path of the file.
    fn path(&self) -> &Path;
    /// Returns the names of the columns.
    fn header(&self) -> &[String];
    /// Returns why a column can't be used, or `None` if its cells can be read.
    fn unusable(&self, _column: usize) -> Option<&Unusable> {
        None
    }
    /// Selects the columns to read from now on. None of them may be unusable, except for dates.
    fn select(&mut self, columns: &[usize]) -> Result<()>;
    /// Advances to the next row. Returns false at the end.
    fn read_row(&mut self) -> Result<bool>;
    /// Returns a cell of the current row.
    fn cell(&self, column: usize) -> Cell<'_>;
    /// Returns a cell of the current row as text.
    fn text(&self, column: usize) -> Cow<'_, str>;
    /// Returns the position of the current row: "digits.csv:7".
    fn place(&self) -> String;
}

/// The value of a cell.
pub enum Cell<'a> {
    Number(f64),
    /// A value of an integer type, or a number written without decimal point or exponent.
    Integer(i128),
    /// An integer of more than 128 bits, rounded.
    Huge(f64),
    /// A boolean, or the word "true" or "false" in a CSV.
    Boolean(bool),
    /// A date or timestamp of a Parquet file, as seconds since 1970. In a CSV, dates are words.
    Date(f64),
    Word(&'a str),
    /// Bytes that aren't UTF-8 text.
    Bytes(&'a [u8]),
    Missing,
}

const BYTES: &str = "bytes that aren't text";

/// Why a column can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The column contains dates or timestamps. Only an input can.
    Date,
    /// The column contains times of day.
    Time,
    /// The column contains durations.
    Duration,
    /// The column contains several values per row.
    Lists,
    /// The column contains bytes that aren't text.
    Bytes,
    /// The column has an unsupported type: the name of the type, or the error.
    Type(String),
}

impl Unusable {
    /// The error for a column that is used.
    pub fn error(&self, name: &str, path: &Path) -> Error {
        let what = match self {
            Unusable::Date | Unusable::Time => "dates or times",
            Unusable::Duration => "durations",
            Unusable::Lists => "lists",
            Unusable::Bytes => BYTES,
            Unusable::Type(_) => "values of a type that can't be read",
        };
        let error = Error::usage(format!("the column \"{name}\" contains {what}"));
        let error = error.with("in", path.display().to_string());
        let (error, instead) = match self {
            Unusable::Date | Unusable::Time => (error, "store it as a number, such as days since a fixed date"),
            Unusable::Duration => (error, "store it as a number, such as seconds"),
            Unusable::Lists => (error, "store each value in a column of its own"),
            Unusable::Bytes => (error, "store it as numbers, booleans or text in UTF-8"),
            Unusable::Type(found) => (error.with("found", found.clone()), "store it as numbers, booleans or text"),
        };
        error.hint(format!("{instead}, or leave it out: `inputs` names the columns to use"))
    }
}

impl dyn Table + '_ {
    /// Returns the index of a column by name. The column must be usable.
    fn find(&self, name: &str) -> Result<usize> {
        let column = find(self.header(), name, self.path())?;
        match self.unusable(column) {
            None => Ok(column),
            Some(unusable) => Err(unusable.error(name, self.path())),
        }
    }

    fn find_all(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.find(name)).collect()
    }

    /// Returns the indices of input columns by name. They must be usable, or dates.
    fn find_inputs<'n>(&self, names: impl Iterator<Item = &'n String>) -> Result<Vec<usize>> {
        // A table may have thousands of columns.
        let indices: HashMap<&String, usize> = self.header().iter().zip(0..).collect();
        let index = |name: &String| match indices.get(name) {
            Some(&column) if matches!(self.unusable(column), None | Some(Unusable::Date)) => Ok(column),
            _ => self.find(name),
        };
        names.map(index).collect()
    }
}

/// Returns the index of a column by name.
fn find(header: &[String], name: &str, path: &Path) -> Result<usize> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let error = Error::usage(format!("{} has no column \"{name}\"", path.display()));
        let near = nearest(name, header.iter().map(String::as_str));
        if near.is_empty() {
            const SHOWN: usize = 12;
            let more = if header.len() > SHOWN { ", …" } else { "" };
            error.with("has", header[..header.len().min(SHOWN)].join(", ") + more)
        } else {
            error.with("near", near.join(", "))
        }
    })
}

/// Parses "true" or "false", in any case.
fn parse_bool(word: &str) -> Option<bool> {
    match word {
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
