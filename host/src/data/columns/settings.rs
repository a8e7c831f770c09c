//! The settings for the columns of tables: the keys `numbers`, `categories`, `dates`, `missing` and `columns` of the
//! `[data]` table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::InputKind;
use crate::{Error, Result};

/// How numbers are scaled. What it needs is learnt from the training rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// To mean 0 and standard deviation 1: (x - mean) / deviation, where the deviation is that of the population, as in
    /// Keras's `Normalization`.
    Standard,
    /// To the range from 0 to 1: (x - minimum) / (maximum - minimum). Later numbers may lie outside of it.
    Minmax,
    /// Not at all.
    None,
}

/// How words are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Categories {
    /// As one-hot for at most 32 categories, else as an embedding. Ids and free text are left out.
    Auto,
    /// As a feature for each category: 1 for the category of the row, else 0.
    OneHot,
    /// As a trained vector for each category.
    Embed,
    /// Such columns are left out.
    Drop,
}

/// How dates are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dates {
    /// As the year, standardised, and the sine and cosine of the month, of the day of the week and, if there are
    /// times, of the time of day.
    Cyclic,
    /// Such columns are left out.
    Drop,
}

/// What is done about missing values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A number, boolean or date is replaced by the median of the training rows; a missing word is a category of its
    /// own. If values are missing in the training rows, another feature is 1 where one is missing.
    Fill,
    /// A missing value is an error.
    Error,
}

/// How one column is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// [`Numbers::Standard`]
    Standard,
    /// [`Numbers::Minmax`]
    Minmax,
    /// [`Numbers::None`]
    None,
    /// [`Categories::OneHot`]; the values of any column may be categories.
    OneHot,
    /// [`Categories::Embed`]; the values of any column may be categories.
    Embed,
    /// [`Dates::Cyclic`]
    Cyclic,
    /// The column is left out.
    Drop,
}

/// The settings of one column: a treatment, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"standard\", \"minmax\", \"none\", \"one_hot\", \"embed\", \"cyclic\" or \"drop\", or a \
                 table such as { embed = 8 } or { as = \"minmax\", missing = \"error\" }"
)]
pub enum ColumnConfig {
    /// A treatment.
    Treatment(Treatment),
    /// A treatment and further settings.
    Table(ColumnTable),
}

/// The settings of one column as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnTable {
    /// The treatment.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<Treatment>,
    /// The length of the vector of an embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<usize>,
    /// What is done about missing values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// How the columns of a table are encoded: the defaults for each kind of column, and the settings of single columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnSettings {
    /// The default for numbers; if absent, [`Numbers::Standard`], or [`Numbers::None`] with `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The default for words; if absent, [`Categories::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Categories>,
    /// The default for dates; if absent, [`Dates::Drop`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<Dates>,
    /// The default for missing values; if absent, [`Missing::Fill`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The settings of single columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnConfig>,
}

/// What is done with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Its numbers or booleans are scaled. `None` is the factor `scale`.
    Number(Option<Numbers>),
    /// Its values are categories.
    Category {
        /// How they are encoded.
        how: Categories,
        /// The length of the vectors of an embedding, if it is given.
        dim: Option<usize>,
        /// Whether the settings name the column, so that it is kept even if it holds ids or free text.
        is_named: bool,
    },
    /// Its dates are split into parts.
    Date,
    /// It is left out.
    Drop,
}

impl Use {
    /// Creates the use of a column that the settings name.
    pub fn category(how: Categories, dim: Option<usize>) -> Self {
        Use::Category { how, dim, is_named: true }
    }
}

impl ColumnSettings {
    /// Returns whether no setting is given.
    pub fn is_default(&self) -> bool {
        *self == ColumnSettings::default()
    }

    /// Returns the key of the first setting that is given.
    pub fn first_key(&self) -> Option<&'static str> {
        let given = [
            ("numbers", self.numbers.is_some()),
            ("categories", self.categories.is_some()),
            ("dates", self.dates.is_some()),
            ("missing", self.missing.is_some()),
            ("columns", !self.columns.is_empty()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
    }

    /// Returns the key of the first setting that differs.
    pub fn first_difference(&self, other: &ColumnSettings) -> &'static str {
        match self {
            _ if self.numbers != other.numbers => "numbers",
            _ if self.categories != other.categories => "categories",
            _ if self.dates != other.dates => "dates",
            _ if self.missing != other.missing => "missing",
            _ => "columns",
        }
    }

    /// Returns the treatment that a column is given by name.
    pub fn treatment(&self, column: &str) -> Option<Treatment> {
        match self.columns.get(column)? {
            ColumnConfig::Treatment(treatment) => Some(*treatment),
            ColumnConfig::Table(table) => table.treatment.or(table.embed.map(|_| Treatment::Embed)),
        }
    }

    /// Returns what is done about missing values of a column.
    pub fn missing(&self, column: &str) -> Missing {
        let own = match self.columns.get(column) {
            Some(ColumnConfig::Table(table)) => table.missing,
            _ => None,
        };
        own.or(self.missing).unwrap_or(Missing::Fill)
    }

    /// Returns what is done with a column of this kind; `scaled` says that `data.scale` is set.
    ///
    /// # Errors
    /// Returns a usage error if the treatment isn't one for columns of this kind.
    pub fn use_of(&self, column: &str, kind: InputKind, scaled: bool) -> Result<Use> {
        let dim = match self.columns.get(column) {
            Some(ColumnConfig::Table(table)) => table.embed,
            _ => None,
        };
        let wrong = |what: &str, hint: &str| {
            let key = format!("data.columns.{column}");
            Err(Error::usage(format!("the column \"{column}\" {what}")).with("in", key).hint(hint))
        };
        if dim == Some(0) {
            return wrong("has vectors of length 0", "such as embed = 8");
        }
        let treatment = self.treatment(column);
        if dim.is_some() && treatment != Some(Treatment::Embed) {
            return wrong("has a length of vectors and no embedding", "leave out one of `as` and `embed`");
        }
        let given = match treatment {
            Some(Treatment::Drop) => return Ok(Use::Drop),
            Some(Treatment::OneHot) => return Ok(Use::category(Categories::OneHot, None)),
            Some(Treatment::Embed) => return Ok(Use::category(Categories::Embed, dim)),
            Some(Treatment::Standard) => Some(Numbers::Standard),
            Some(Treatment::Minmax) => Some(Numbers::Minmax),
            Some(Treatment::None) => Some(Numbers::None),
            Some(Treatment::Cyclic) => {
                return match kind {
                    InputKind::Date => Ok(Use::Date),
                    _ => wrong("contains no dates", "\"cyclic\" is for dates such as 2024-02-29"),
                };
            }
            None => None,
        };
        match (kind, given) {
            (InputKind::Number | InputKind::Boolean | InputKind::Mixed, Some(given)) => Ok(Use::Number(Some(given))),
            (InputKind::Word | InputKind::Date, Some(_)) => {
                let what = if kind == InputKind::Word { "contains words" } else { "contains dates" };
                wrong(what, "\"standard\", \"minmax\" and \"none\" are for numbers")
            }
            // Booleans are 0 and 1 already.
            (InputKind::Boolean, None) if !scaled => Ok(Use::Number(Some(Numbers::None))),
            (InputKind::Number | InputKind::Boolean | InputKind::Mixed, None) => Ok(Use::Number(match self.numbers {
                // `load` refuses the others beside `scale`.
                _ if scaled => None,
                numbers => Some(numbers.unwrap_or(Numbers::Standard)),
            })),
            (InputKind::Word, None) => Ok(match self.categories.unwrap_or(Categories::Auto) {
                Categories::Drop => Use::Drop,
                how => Use::Category { how, dim: None, is_named: false },
            }),
            (InputKind::Date, None) => Ok(match self.dates.unwrap_or(Dates::Drop) {
                Dates::Cyclic => Use::Date,
                Dates::Drop => Use::Drop,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> ColumnSettings {
        toml::from_str(toml).expect("settings")
    }

    #[test]
    fn a_column_overrides_the_default_of_its_kind() {
        let settings = settings(
            "numbers = \"minmax\"\nmissing = \"error\"\n[columns]\nage = \"none\"\ncity = { embed = 8 }\n\
             zip = \"one_hot\"\nid = \"drop\"\nday = \"cyclic\"\nhigh = { as = \"standard\", missing = \"fill\" }",
        );
        let of = |name: &str, kind| settings.use_of(name, kind, false).expect("it fits");
        assert_eq!(of("other", InputKind::Number), Use::Number(Some(Numbers::Minmax)));
        assert_eq!(of("age", InputKind::Number), Use::Number(Some(Numbers::None)));
        assert_eq!(of("high", InputKind::Mixed), Use::Number(Some(Numbers::Standard)));
        assert_eq!(of("yes", InputKind::Boolean), Use::Number(Some(Numbers::None)));
        assert_eq!(of("city", InputKind::Word), Use::category(Categories::Embed, Some(8)));
        assert_eq!(of("zip", InputKind::Number), Use::category(Categories::OneHot, None));
        assert_eq!(of("town", InputKind::Word), Use::Category { how: Categories::Auto, dim: None, is_named: false });
        assert_eq!(of("id", InputKind::Word), Use::Drop);
        assert_eq!((of("day", InputKind::Date), of("night", InputKind::Date)), (Use::Date, Use::Drop));
        assert_eq!((settings.missing("age"), settings.missing("high")), (Missing::Error, Missing::Fill));
    }

    #[test]
    fn numbers_are_multiplied_by_scale_instead() {
        let plain = settings("[columns]\nage = \"minmax\"");
        assert_eq!(plain.use_of("size", InputKind::Number, true).expect("it fits"), Use::Number(None));
        assert_eq!(plain.use_of("yes", InputKind::Boolean, true).expect("it fits"), Use::Number(None));
        assert_eq!(plain.use_of("age", InputKind::Number, true).expect("it fits"), Use::Number(Some(Numbers::Minmax)));
    }

    #[test]
    fn a_treatment_of_another_kind_is_refused() {
        let settings =
            settings("[columns]\na = \"minmax\"\nb = \"cyclic\"\nc = { embed = 0 }\nd = { as = \"drop\", embed = 2 }");
        for (name, kind, says) in [
            ("a", InputKind::Word, "the column \"a\" contains words"),
            ("a", InputKind::Date, "the column \"a\" contains dates"),
            ("b", InputKind::Number, "the column \"b\" contains no dates"),
            ("c", InputKind::Word, "the column \"c\" has vectors of length 0"),
            ("d", InputKind::Word, "the column \"d\" has a length of vectors and no embedding"),
        ] {
            let error = settings.use_of(name, kind, false).expect_err(name).to_string();
            assert!(error.starts_with(says) && error.contains(&format!("data.columns.{name}")), "{error}");
        }
        for wrong in ["a = \"min\"", "a = { embd = 3 }", "a = 3"] {
            assert!(toml::from_str::<ColumnSettings>(&format!("[columns]\n{wrong}")).is_err(), "{wrong}");
        }
    }
}
