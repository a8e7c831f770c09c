//! Reads an input column as float32.

use super::{Cell, Table};
use crate::Result;
use crate::data::float32::{ROUNDED, ROUNDED_HINT};
use crate::data::input_kind::InputKind;

/// An input column and the kinds of the cells read so far.
pub struct InputColumn {
    /// The required kind, if any.
    known: Option<InputKind>,
    booleans: bool,
    numbers: bool,
}

impl InputColumn {
    pub fn new(known: Option<InputKind>) -> Self {
        InputColumn { known, booleans: false, numbers: false }
    }

    /// Reads the cell of this column in the current row, multiplied by `scale`. An integer that isn't exact in float32
    /// is an error, because it may be an id, unless it is scaled, which makes it a quantity.
    pub fn read(&mut self, file: &dyn Table, column: usize, scale: f64) -> Result<f32> {
        let cell = file.cell(column);
        if !self.record(&cell) {
            let (was, other) = match self.known {
                Some(InputKind::Boolean) => ("booleans", "a number that is neither 0 nor 1"),
                _ => ("numbers", "a boolean"),
            };
            return Err(file.bad_cell(&format!("a column of {was} has {other}"), column).hint(format!(
                "the run was trained on {was} in \"{}\": correct the file, or name one like the run's",
                file.header()[column]
            )));
        }
        let float = file.float32(file.number(&cell, column)? * scale, column)?;
        let is_rounded = match cell {
            Cell::Integer(integer) => !is_exact_f32(integer),
            Cell::Huge(_) => true,
            _ => false,
        };
        if is_rounded && scale == 1.0 {
            return Err(file.bad_cell(ROUNDED, column).hint(ROUNDED_HINT));
        }
        Ok(float)
    }

    /// Records a cell. Returns false if the cell isn't of the required kind.
    fn record(&mut self, cell: &Cell<'_>) -> bool {
        let is_boolean = matches!(cell, Cell::Boolean(_));
        self.booleans |= is_boolean;
        self.numbers |= !is_boolean;
        match (self.known, cell) {
            (Some(InputKind::Number), Cell::Boolean(_)) => false,
            (Some(InputKind::Boolean), Cell::Number(number)) => *number == 0.0 || *number == 1.0,
            (Some(InputKind::Boolean), Cell::Integer(integer)) => matches!(integer, 0 | 1),
            _ => true,
        }
    }

    /// Returns the kind of all cells read.
    pub fn kind(&self) -> InputKind {
        match (self.booleans, self.numbers) {
            (true, false) => InputKind::Boolean,
            (true, true) => InputKind::Mixed,
            (false, _) => InputKind::Number,
        }
    }
}

/// Returns whether an integer is exact in float32.
fn is_exact_f32(integer: i128) -> bool {
    // An integer is exact if it has at least as many trailing zeros as it has bits beyond the mantissa.
    let bits = i128::BITS - integer.unsigned_abs().leading_zeros();
    integer.trailing_zeros() + f32::MANTISSA_DIGITS >= bits
}
