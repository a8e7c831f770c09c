//! Encodes single rows, for programs that have their cells in memory.

use super::encoding::{LearntColumn, Unencodable};
use super::words::Words;
use crate::data::InputKind;
use crate::{Error, Result};

/// The value of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RawValue<'a> {
    /// No value.
    Missing,
    /// A number; booleans are 0 and 1.
    Number(f64),
    /// A word. In a column of numbers that are categories, it is the number as text.
    Word(&'a str),
    /// A date as seconds since 1970-01-01T00:00:00 UTC.
    Date(f64),
}

/// Encodes the rows of a table as the features of the network.
#[derive(Clone, Debug)]
pub struct Encoder {
    columns: Vec<LearntColumn>,
    /// The ids of the categories of each column.
    words: Vec<Option<Words>>,
}

impl Encoder {
    /// Creates an encoder of these columns.
    pub fn new(columns: &[LearntColumn]) -> Self {
        let words = columns.iter().map(|column| column.categories().map(Words::known)).collect();
        Encoder { columns: columns.to_vec(), words }
    }

    /// Returns the columns, in the order of the values of a row.
    pub fn columns(&self) -> &[LearntColumn] {
        &self.columns
    }

    /// Returns the number of features of a row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(LearntColumn::width).sum()
    }

    /// Appends the features of one row, whose values are in the order of the columns.
    ///
    /// # Errors
    /// Returns an error if the row has another number of values, or if a value doesn't fit its column: a word in a
    /// column of numbers, a missing value where none is allowed, or a number whose feature is too large for float32.
    pub fn encode(&self, row: &[RawValue<'_>], features: &mut Vec<f32>) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::usage(format!(
                "a row has {} values; there are {} columns",
                row.len(),
                self.columns.len()
            )));
        }
        for ((column, words), value) in self.columns.iter().zip(&self.words).zip(row) {
            let wrong = |what: &str| Error::failure(format!("{what} in the column \"{}\"", column.name));
            let raw = match (*value, words) {
                (RawValue::Missing, _) => f64::NAN,
                (RawValue::Word(word), Some(words)) => words.id(word).map_or(0.0, |id| f64::from(id) + 1.0),
                (RawValue::Number(number), Some(words)) => {
                    words.id(&number.to_string()).map_or(0.0, |id| f64::from(id) + 1.0)
                }
                (RawValue::Number(number), None) if column.kind != InputKind::Date => number,
                (RawValue::Date(seconds), None) if column.kind == InputKind::Date => seconds,
                (RawValue::Number(_), None) => return Err(wrong("there is a number")),
                (RawValue::Word(_), None) => return Err(wrong("there is a word")),
                (RawValue::Date(_), _) => return Err(wrong("there is a date")),
            };
            column.push_features(raw, features).map_err(|why| {
                wrong(match why {
                    Unencodable::Missing => "a value is missing",
                    Unencodable::TooLarge => "a number is too large for float32",
                    Unencodable::NoDate => "a date is out of range",
                })
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, MissingValue};
    use super::*;
    use crate::data::InputKind;

    #[test]
    fn rows_are_encoded_column_by_column() {
        let categories = ["7", "Oslo"].map(str::to_owned).to_vec();
        let place = LearntColumn {
            name: "place".into(),
            kind: InputKind::Word,
            encoding: Encoding::OneHot { categories },
            missing: MissingValue::Error,
            summary: None,
        };
        let encoder = Encoder::new(&[LearntColumn::scaled("age".into(), InputKind::Number, 0.5, None), place]);
        let mut features = Vec::new();
        let mut encode = |row: &[RawValue<'_>]| {
            features.clear();
            encoder.encode(row, &mut features).map(|()| features.clone()).map_err(|error| error.to_string())
        };
        use RawValue::{Missing, Number, Word};
        assert_eq!(encode(&[Number(8.0), Word("Oslo")]), Ok(vec![4.0, 0.0, 1.0]));
        assert_eq!(encode(&[Number(8.0), Number(7.0)]), Ok(vec![4.0, 1.0, 0.0]));
        assert_eq!(encode(&[Number(8.0), Word("Rome")]), Ok(vec![4.0, 0.0, 0.0]));
        assert_eq!(encode(&[RawValue::Date(0.0), Missing]), Err("there is a date in the column \"age\"".into()));
        assert_eq!(encode(&[Word("x"), Missing]), Err("there is a word in the column \"age\"".into()));
        assert_eq!(encode(&[Number(1.0), Missing]), Err("a value is missing in the column \"place\"".into()));
        assert_eq!(encode(&[Number(1.0)]), Err("a row has 1 values; there are 2 columns".into()));
        assert_eq!(encoder.width(), 3);
    }
}
