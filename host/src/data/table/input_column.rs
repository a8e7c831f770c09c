//! Reads the cells of an input column as raw numbers: numbers and booleans, the ids of words, or dates.

use super::{BYTES, Cell, Table};
use crate::data::columns::{Later, Missing, Words, parse_date};
use crate::data::float32::{ROUNDED, ROUNDED_HINT};
use crate::data::input_kind::InputKind;
use crate::{Error, Result};

/// An input column to read.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedInput {
    pub name: String,
    pub cells: InputCells,
    pub missing: Missing,
    /// Whether a cell that is refused counts as missing.
    pub is_lenient: bool,
}

/// How the cells of an input column become raw numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum InputCells {
    /// Numbers and booleans. `known` is the kind that they must have, if any. `factor` is what they are going to be
    /// multiplied by. Unless it is 1 and they aren't shifted, they are quantities, and integers may be rounded.
    Numbers { known: Option<InputKind>, factor: f64, are_quantities: bool },
    /// The ids of words. At most this number of distinct words is kept; `None` if the words are known, and the raw
    /// number is 1 + the id, or 0 for other words.
    Words { words: Words, most: Option<usize> },
    /// Dates, as seconds since 1970.
    Dates,
}

/// An input column and what was found in it.
pub struct ReadColumn {
    plan: PlannedInput,
    booleans: bool,
    numbers: bool,
    /// Whether there were more words than are kept.
    more: bool,
    later: Later,
    /// The number of cells that are refused, and the first error.
    refused: Option<(usize, Error)>,
}

impl ReadColumn {
    pub fn new(plan: PlannedInput) -> Self {
        ReadColumn { plan, booleans: false, numbers: false, more: false, later: Later::default(), refused: None }
    }

    /// Reads the cell of this column in the current row as a raw number; NaN is a missing value.
    pub fn read(&mut self, file: &dyn Table, column: usize) -> Result<f64> {
        match self.read_cell(file, column) {
            Err(error) if self.plan.is_lenient => {
                self.refused.get_or_insert((0, error)).0 += 1;
                Ok(f64::NAN)
            }
            read => read,
        }
    }

    fn read_cell(&mut self, file: &dyn Table, column: usize) -> Result<f64> {
        let cell = file.cell(column);
        let is_missing = match cell {
            Cell::Missing => true,
            Cell::Word(word) => word.is_empty(),
            _ => false,
        };
        if is_missing {
            return match self.plan.missing {
                Missing::Fill => {
                    self.later.record_missing(|| file.place());
                    Ok(f64::NAN)
                }
                Missing::Error => file.number(&Cell::Missing, column),
            };
        }
        match self.plan.cells {
            InputCells::Numbers { known, factor, are_quantities } => {
                self.read_number(file, &cell, column, (known, factor, are_quantities))
            }
            InputCells::Words { .. } => self.read_word(file, &cell, column),
            InputCells::Dates => match cell {
                Cell::Date(seconds) => Ok(seconds),
                Cell::Word(word) => parse_date(word).ok_or_else(|| no_date(file, column)),
                _ => Err(no_date(file, column)),
            },
        }
    }

    /// An integer that isn't exact in float32 is an error, because it may be an id, unless it is a quantity.
    fn read_number(
        &mut self,
        file: &dyn Table,
        cell: &Cell<'_>,
        column: usize,
        (known, factor, are_quantities): (Option<InputKind>, f64, bool),
    ) -> Result<f64> {
        if !self.record(cell, known) {
            let (was, other) = match known {
                Some(InputKind::Boolean) => ("booleans", "a number that is neither 0 nor 1"),
                _ => ("numbers", "a boolean"),
            };
            return Err(file.bad_cell(&format!("a column of {was} has {other}"), column).hint(format!(
                "the run was trained on {was} in \"{}\": correct the file, or name one like the run's",
                file.header()[column]
            )));
        }
        if let Cell::Word(_) | Cell::Bytes(_) | Cell::Date(_) = cell {
            let name = &self.plan.name;
            let error = file.bad_cell("a cell isn't a number", column);
            return Err(error.hint(format!(
                "correct it, or say in [data.columns] what the column is: `{name} = \"one_hot\"` makes its values \
                 categories, `{name} = \"drop\"` leaves it out"
            )));
        }
        let number = file.number(cell, column)?;
        file.float32(number * factor, column)?;
        let is_rounded = match *cell {
            Cell::Integer(integer) => !is_exact_f32(integer),
            Cell::Huge(_) => true,
            _ => false,
        };
        if is_rounded && !are_quantities {
            return Err(file.bad_cell(ROUNDED, column).hint(ROUNDED_HINT));
        }
        Ok(number)
    }

    fn read_word(&mut self, file: &dyn Table, cell: &Cell<'_>, column: usize) -> Result<f64> {
        /// Every id up to this one is exact in float32, and so is 1 + the id.
        const MOST_WORDS: usize = (1 << f32::MANTISSA_DIGITS) - 1;
        if let Cell::Bytes(_) = cell {
            return Err(file
                .bad_cell(&format!("a category contains {BYTES}"), column)
                .hint("write it as text in UTF-8, or leave the column out"));
        }
        let InputCells::Words { words, most } = &mut self.plan.cells else { return Ok(f64::NAN) };
        let word = &*file.text(column);
        match most {
            None => Ok(match words.id(word) {
                Some(id) => f64::from(id) + 1.0,
                None => {
                    self.later.record_unseen(|| (word.to_owned(), file.place()));
                    0.0
                }
            }),
            Some(most) => match words.id_or_add(word, (*most).min(MOST_WORDS)) {
                Some(id) => Ok(f64::from(id)),
                None if *most > MOST_WORDS => {
                    Err(file.bad_cell("a column has more than 16,777,215 categories", column))
                }
                None => {
                    self.more = true;
                    Ok(0.0)
                }
            },
        }
    }

    /// Records a cell. Returns false if the cell isn't of the required kind.
    fn record(&mut self, cell: &Cell<'_>, known: Option<InputKind>) -> bool {
        let is_boolean = matches!(cell, Cell::Boolean(_));
        self.booleans |= is_boolean;
        self.numbers |= !is_boolean;
        match (known, cell) {
            (Some(InputKind::Number), Cell::Boolean(_)) => false,
            (Some(InputKind::Boolean), Cell::Number(number)) => *number == 0.0 || *number == 1.0,
            (Some(InputKind::Boolean), Cell::Integer(integer)) => matches!(integer, 0 | 1),
            _ => true,
        }
    }

    /// Returns the kind of all numbers and booleans read.
    pub fn number_kind(&self) -> InputKind {
        match (self.booleans, self.numbers) {
            (true, false) => InputKind::Boolean,
            (true, true) => InputKind::Mixed,
            (false, _) => InputKind::Number,
        }
    }

    /// Returns the missing values, and the words that aren't known.
    pub fn later(&self) -> &Later {
        &self.later
    }

    /// Returns how many cells are refused, and the first error; `None` if there is no such cell.
    pub fn refused(&self) -> Option<&(usize, Error)> {
        self.refused.as_ref()
    }

    /// Returns the words read, if the column is read as words, and whether there were more.
    pub fn into_words(self) -> (Option<Words>, bool) {
        match self.plan.cells {
            InputCells::Words { words, .. } => (Some(words), self.more),
            InputCells::Numbers { .. } | InputCells::Dates => (None, false),
        }
    }
}

fn no_date(file: &dyn Table, column: usize) -> Error {
    let name = &file.header()[column];
    file.bad_cell("a cell isn't a date such as 2024-02-29 or 2024-02-29T17:30:00", column)
        .hint(format!("correct it, or leave the column out with `{name} = \"drop\"` in [data.columns]"))
}

/// Returns whether an integer is exact in float32.
fn is_exact_f32(integer: i128) -> bool {
    // An integer is exact if it has at least as many trailing zeros as it has bits beyond the mantissa.
    let bits = i128::BITS - integer.unsigned_abs().leading_zeros();
    integer.trailing_zeros() + f32::MANTISSA_DIGITS >= bits
}
