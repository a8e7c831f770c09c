//! The encoding of one column, as it was learnt from the training rows.

use serde::{Deserialize, Serialize};

use super::dates;
use super::settings::Numbers;
use super::statistics::ColumnSummary;
use crate::data::InputKind;

/// A column of a table and how it becomes features, as learnt from the training rows.
///
/// The features of a column are those of its [`encoding`](Self::encoding), followed by the indicator of missing values
/// if [`missing`](Self::missing) has one: 1 where the value is missing, else 0. All are computed in float64 from the
/// raw number of a cell, and then rounded to float32. The raw number is the number itself; 0 or 1 for a boolean; the
/// seconds since 1970 in UTC for a date; and, for a category, 1 + its index in `categories`, or 0 if it isn't among
/// them. NaN stands for a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearntColumn {
    /// The name of the column.
    pub name: String,
    /// The kind of its values.
    pub kind: InputKind,
    /// How its values become features.
    pub encoding: Encoding,
    /// How missing values are encoded.
    pub missing: MissingValue,
    /// A summary of the values in the training rows; absent if nothing was learnt from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ColumnSummary>,
}

/// How the values of a column become features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Encoding {
    /// One feature: `(x - shift) * factor`.
    Number {
        /// The number that becomes 0: the mean, the minimum, or 0.
        shift: f64,
        /// 1 / deviation, 1 / (maximum - minimum), 1, or `data.scale`; 0 for a constant column.
        factor: f64,
        /// How `shift` and `factor` were chosen; absent for `data.scale`.
        scaling: Option<Numbers>,
    },
    /// A feature for each category, in order: 1 for the category of the row, else 0. All are 0 for other categories.
    OneHot {
        /// The categories of the training rows, sorted.
        categories: Vec<String>,
    },
    /// One feature: 1 + the index of the category, or 0 for other categories and missing values. The network replaces
    /// it by a trained vector.
    Embedding {
        /// The categories that occur in at least two training rows, sorted; if there are none, all categories.
        categories: Vec<String>,
        /// The length of the vector.
        dim: usize,
    },
    /// The features `(year - shift) * factor`, sin and cos of a = 2π (month - 1) / 12, and of a = 2π weekday / 7, where
    /// Monday is 0; if `times` is set, also of a = 2π seconds since midnight / 86400.
    Cyclic {
        /// The mean of the years.
        shift: f64,
        /// 1 / deviation of the years; 0 if all years are equal.
        factor: f64,
        /// Whether the time of day is encoded.
        times: bool,
    },
}

/// How the missing values of a column are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingValue {
    /// A missing value is an error.
    Error,
    /// Like this raw number.
    Fill {
        /// The median of the training rows; 0 for categories.
        value: f64,
        /// Whether a feature indicates missing values. It does if values were missing in the training rows.
        indicator: bool,
    },
}

/// Why a raw number can't be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unencodable {
    /// It is missing.
    Missing,
    /// A feature is too large for float32.
    TooLarge,
    /// The date has no year in the calendar.
    NoDate,
}

impl LearntColumn {
    /// Creates a column whose numbers are multiplied by `factor`, and which has no missing values.
    pub fn scaled(name: String, kind: InputKind, factor: f64, scaling: Option<Numbers>) -> Self {
        let encoding = Encoding::Number { shift: 0.0, factor, scaling };
        LearntColumn { name, kind, encoding, missing: MissingValue::Error, summary: None }
    }

    /// Returns the number of features.
    pub fn width(&self) -> usize {
        let own = match &self.encoding {
            Encoding::Number { .. } | Encoding::Embedding { .. } => 1,
            Encoding::OneHot { categories } => categories.len(),
            Encoding::Cyclic { times, .. } => 1 + dates::part_names(*times).len(),
        };
        own + usize::from(self.has_indicator())
    }

    /// Returns the names of the features, such as "age", "city=Paris", "signup month sin" or "age is missing".
    pub fn feature_names(&self) -> Vec<String> {
        let name = &self.name;
        let mut names = match &self.encoding {
            Encoding::Number { .. } | Encoding::Embedding { .. } => vec![name.clone()],
            Encoding::OneHot { categories } => categories.iter().map(|category| format!("{name}={category}")).collect(),
            Encoding::Cyclic { times, .. } => {
                let parts = dates::part_names(*times).iter();
                std::iter::once(format!("{name} year")).chain(parts.map(|part| format!("{name} {part}"))).collect()
            }
        };
        if self.has_indicator() {
            names.push(format!("{name} is missing"));
        }
        names
    }

    /// Returns the categories, if the values are encoded as categories.
    pub fn categories(&self) -> Option<&[String]> {
        match &self.encoding {
            Encoding::OneHot { categories } | Encoding::Embedding { categories, .. } => Some(categories),
            Encoding::Number { .. } | Encoding::Cyclic { .. } => None,
        }
    }

    fn has_indicator(&self) -> bool {
        matches!(self.missing, MissingValue::Fill { indicator: true, .. })
    }

    /// Appends the features of a raw number.
    ///
    /// # Errors
    /// Returns why the number can't be encoded. Some features may have been appended.
    pub fn push_features(&self, raw: f64, features: &mut Vec<f32>) -> Result<(), Unencodable> {
        let is_missing = raw.is_nan();
        let value = match self.missing {
            MissingValue::Error if is_missing => return Err(Unencodable::Missing),
            MissingValue::Fill { value, .. } if is_missing => value,
            _ => raw,
        };
        let scaled = |number: f64, shift: f64, factor: f64| ((number - shift) * factor) as f32;
        match &self.encoding {
            Encoding::Number { shift, factor, .. } => {
                let feature = scaled(value, *shift, *factor);
                if !feature.is_finite() && !is_missing {
                    return Err(Unencodable::TooLarge);
                }
                features.push(feature);
            }
            Encoding::OneHot { categories } => {
                let id = value as usize;
                features.extend((1..=categories.len()).map(|category| if category == id { 1.0 } else { 0.0 }));
            }
            Encoding::Embedding { .. } => features.push(value as f32),
            Encoding::Cyclic { shift, factor, times } => {
                let year = dates::year(value).ok_or(Unencodable::NoDate)?;
                features.push(scaled(year, *shift, *factor));
                if !dates::cyclic_parts(value, *times, |part| features.push(part as f32)) {
                    return Err(Unencodable::NoDate);
                }
            }
        }
        if self.has_indicator() {
            features.push(f32::from(u8::from(is_missing)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(encoding: Encoding, missing: MissingValue) -> LearntColumn {
        LearntColumn { name: "c".into(), kind: InputKind::Number, encoding, missing, summary: None }
    }

    fn features(column: &LearntColumn, raw: f64) -> Vec<f32> {
        let mut features = Vec::new();
        column.push_features(raw, &mut features).expect("it can be encoded");
        assert_eq!((features.len(), features.len()), (column.width(), column.feature_names().len()));
        features
    }

    fn number(shift: f64, factor: f64) -> Encoding {
        Encoding::Number { shift, factor, scaling: Some(Numbers::Standard) }
    }

    #[test]
    fn numbers_are_shifted_and_scaled_in_float64() {
        let column = column(number(1_700_000_000.0, 0.5), MissingValue::Error);
        assert_eq!(features(&column, 1_700_000_001.0), [0.5]);
        let refused = |raw: f64| column.push_features(raw, &mut Vec::new()).expect_err("it is refused");
        assert_eq!((refused(f64::NAN), refused(1e300)), (Unencodable::Missing, Unencodable::TooLarge));
    }

    #[test]
    fn a_missing_value_has_an_indicator_if_training_rows_had_one() {
        let fill = |indicator| column(number(10.0, 0.1), MissingValue::Fill { value: 20.0, indicator });
        assert_eq!(features(&fill(true), f64::NAN), [1.0, 1.0]);
        assert_eq!(features(&fill(true), 10.0), [0.0, 0.0]);
        assert_eq!(features(&fill(false), f64::NAN), [1.0]);
        assert_eq!(fill(true).feature_names(), ["c", "c is missing"]);
    }

    #[test]
    fn categories_become_one_hot_or_an_id() {
        let categories = || ["Oslo", "Paris"].map(str::to_owned).to_vec();
        let fill = MissingValue::Fill { value: 0.0, indicator: true };
        let one_hot = column(Encoding::OneHot { categories: categories() }, fill);
        assert_eq!(one_hot.feature_names(), ["c=Oslo", "c=Paris", "c is missing"]);
        for (raw, want) in [(0.0, [0.0, 0.0, 0.0]), (2.0, [0.0, 1.0, 0.0]), (f64::NAN, [0.0, 0.0, 1.0])] {
            assert_eq!(features(&one_hot, raw), want);
        }
        let missing = MissingValue::Fill { value: 0.0, indicator: false };
        let embedding = column(Encoding::Embedding { categories: categories(), dim: 4 }, missing);
        assert_eq!([2.0, 0.0, f64::NAN].map(|raw| features(&embedding, raw)[0]), [2.0, 0.0, 0.0]);
    }

    #[test]
    fn dates_become_a_year_and_turns() {
        let date = super::super::parse_date("2026-04-06").expect("a Monday");
        let cyclic = |times| Encoding::Cyclic { shift: 2020.0, factor: 0.5, times };
        let column = |times| column(cyclic(times), MissingValue::Fill { value: date, indicator: true });
        let found = features(&column(false), date);
        assert_eq!((found[0], found[1], found[3], found[4]), (3.0, 1.0, 0.0, 1.0));
        assert_eq!(features(&column(true), f64::NAN)[..5], found[..5]);
        assert_eq!(column(true).width(), 8);
        assert_eq!(column(false).push_features(1e300, &mut Vec::new()), Err(Unencodable::NoDate));
    }

    #[test]
    fn a_column_is_stored_and_read_back_exactly() {
        let encodings = [
            number(0.1 + 0.2, 1.0 / 3.0),
            Encoding::OneHot { categories: vec!["a".into()] },
            Encoding::Embedding { categories: vec![], dim: 3 },
            Encoding::Cyclic { shift: 2000.0, factor: 1e-17, times: true },
        ];
        for encoding in encodings {
            let stored = LearntColumn {
                summary: Some(ColumnSummary::of_numbers(vec![0.1, 0.7, f64::NAN])),
                ..column(encoding, MissingValue::Fill { value: 0.3, indicator: true })
            };
            let text = serde_json::to_string(&stored).expect("JSON");
            assert_eq!(serde_json::from_str::<LearntColumn>(&text).expect("it is read back"), stored, "{text}");
        }
    }
}
