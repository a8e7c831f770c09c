//! Converts cells to numbers, and creates the errors for cells that can't be used.

use super::{Cell, Table};
use crate::data::float32::TOO_LARGE;
use crate::{Error, Result};

impl dyn Table + '_ {
    /// Converts a cell of this column to a finite number.
    pub(super) fn number(&self, cell: &Cell<'_>, column: usize) -> Result<f64> {
        match *cell {
            Cell::Number(number) | Cell::Huge(number) if number.is_finite() => Ok(number),
            Cell::Integer(integer) => Ok(integer as f64),
            Cell::Boolean(value) => Ok(f64::from(u8::from(value))),
            Cell::Number(_) => Err(self.bad_cell("a number is infinite", column)),
            Cell::Huge(_) => Err(self.bad_cell(TOO_LARGE, column)),
            Cell::Missing => Err(self
                .bad_cell("a value is missing", column)
                .hint("fill it in, leave the row out, or name the columns to use with `inputs`")),
            Cell::Word(_) | Cell::Bytes(_) | Cell::Date(_) => Err(self
                .bad_cell("a cell isn't a number", column)
                .hint("correct it, or, if the column isn't to be used, name the others with `inputs`")),
        }
    }

    /// Converts a number in this column to float32.
    pub(super) fn float32(&self, number: f64, column: usize) -> Result<f32> {
        let number = number as f32;
        if number.is_finite() { Ok(number) } else { Err(self.bad_cell(TOO_LARGE, column)) }
    }

    /// Creates an error for a cell of the current row.
    pub(super) fn bad_cell(&self, what: &str, column: usize) -> Error {
        Error::failure(what)
            .with("in", format!("{}, column \"{}\"", self.place(), self.header()[column]))
            .with("found", format!("\"{}\"", self.text(column)))
    }
}
