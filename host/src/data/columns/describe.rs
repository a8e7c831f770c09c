//! Describes columns for people: one line for each.

use serde_json::{Value, json};

use super::dates::format_date;
use super::encoding::{Encoding, LearntColumn, MissingValue};
use super::learn::LeftOut;
use super::settings::Numbers;
use super::statistics::ColumnSummary;
use crate::Error;
use crate::data::InputKind;
use crate::text::grouped;

/// A column for display.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDescription {
    /// The name of the column.
    pub name: String,
    /// "numbers", "integers", "booleans", "words" or "dates"; empty if it wasn't read.
    pub kind: &'static str,
    /// The number of missing values; empty if it isn't known.
    pub missing: String,
    /// The number of distinct values.
    pub distinct: String,
    /// The range of numbers and dates, or the most frequent words.
    pub values: String,
    /// What is done with the column: "standardised".
    pub treatment: String,
    /// The same and more for programs.
    pub json: Value,
}

impl ColumnDescription {
    /// The titles of the cells.
    pub const TITLES: [&'static str; 6] = ["column", "kind", "missing", "distinct", "values", "input"];

    /// Returns the cells for a table with these titles.
    pub fn cells(&self) -> [String; 6] {
        let ColumnDescription { name, kind, missing, distinct, values, treatment, .. } = self;
        [name, &(*kind).to_owned(), missing, distinct, values, treatment].map(String::clone)
    }

    /// Describes a column by its kind, its values, and what is done with it.
    pub fn of(name: &str, kind: Option<InputKind>, summary: Option<&ColumnSummary>, treatment: String) -> Self {
        let kind = match kind {
            Some(InputKind::Number) if summary.and_then(|summary| summary.numbers).is_some_and(|all| all.integers) => {
                "integers"
            }
            Some(InputKind::Number) => "numbers",
            Some(InputKind::Boolean) => "booleans",
            Some(InputKind::Mixed) => "numbers and booleans",
            Some(InputKind::Word) => "words",
            Some(InputKind::Date) => "dates",
            None => "",
        };
        let count = |summary: &ColumnSummary| {
            let distinct = grouped(summary.distinct);
            if summary.more { format!("over {distinct}") } else { distinct }
        };
        let values = match summary {
            Some(ColumnSummary { numbers: Some(numbers), .. }) => {
                let number = |number: f64| if kind == "dates" { format_date(number) } else { short_number(number) };
                match numbers.min == numbers.max {
                    true => number(numbers.min),
                    false => format!("{} to {}", number(numbers.min), number(numbers.max)),
                }
            }
            Some(summary) => {
                const SHOWN: usize = 3;
                let top = summary.top.iter().take(SHOWN);
                let top = top.map(|(word, rows)| format!("{} ({})", short_word(word), grouped(*rows)));
                let top = top.collect::<Vec<_>>().join(", ");
                if summary.distinct > SHOWN { top + ", …" } else { top }
            }
            None => String::new(),
        };
        let json = json!({"name": name, "kind": kind, "summary": summary, "input": treatment});
        ColumnDescription {
            name: name.to_owned(),
            kind,
            missing: summary.map(|summary| grouped(summary.missing)).unwrap_or_default(),
            distinct: summary.map(count).unwrap_or_default(),
            values,
            treatment,
            json,
        }
    }
}

impl ColumnDescription {
    /// Adds that a run refuses this many cells, the first with this error.
    pub fn refuse(&mut self, cells: usize, error: &Error) {
        let place = error.details().iter().find(|(label, _)| *label == "in").map_or("", |(_, text)| text.as_str());
        // The name of the column is known, and the folder too.
        let place = place.rsplit_once(", column ").map_or(place, |(file, _)| file);
        let place = place.rsplit(std::path::MAIN_SEPARATOR).next().unwrap_or(place);
        let what = format!("{}, {place}", error.message());
        self.treatment = match cells {
            1 => format!("refused: {what}"),
            cells => format!("refused: {what}, and {} more", grouped(cells - 1)),
        };
        self.json["refused"] = json!({"cells": cells, "first": what});
        self.json["input"] = json!(self.treatment);
    }
}

impl LearntColumn {
    /// Describes the column.
    pub fn description(&self) -> ColumnDescription {
        let mut treatment = match &self.encoding {
            Encoding::Number { factor: 0.0, .. } => "0, since it is constant".to_owned(),
            Encoding::Number { scaling: Some(Numbers::Standard), .. } => "standardised".to_owned(),
            Encoding::Number { scaling: Some(Numbers::Minmax), .. } => "scaled to 0 to 1".to_owned(),
            Encoding::Number { factor: 1.0, .. } => "unchanged".to_owned(),
            Encoding::Number { factor, .. } => format!("multiplied by {}", short_number(*factor)),
            Encoding::OneHot { categories } => format!("one-hot of {}", grouped(categories.len())),
            Encoding::Embedding { categories, dim } => {
                format!("embedding of {} in {} numbers", grouped(categories.len()), grouped(*dim))
            }
            Encoding::Cyclic { times: false, .. } => "year, month, weekday".to_owned(),
            Encoding::Cyclic { times: true, .. } => "year, month, weekday, time of day".to_owned(),
        };
        let is_category = self.categories().is_some();
        match self.missing {
            MissingValue::Fill { indicator: true, .. } if is_category => treatment += ", 1 if missing",
            MissingValue::Fill { indicator: true, value } => {
                let median = if self.kind == InputKind::Date { format_date(value) } else { short_number(value) };
                treatment += &format!(", {median} and an indicator if missing");
            }
            MissingValue::Fill { .. } | MissingValue::Error => {}
        }
        let mut described = ColumnDescription::of(&self.name, Some(self.kind), self.summary.as_ref(), treatment);
        described.json["encoding"] = json!(self.encoding);
        described.json["features"] = json!(self.width());
        described
    }
}

impl LeftOut {
    /// Describes the column.
    pub fn description(&self) -> ColumnDescription {
        let mut described =
            ColumnDescription::of(&self.name, self.kind, self.summary.as_ref(), format!("left out: {}", self.why));
        described.json["features"] = json!(0);
        described
    }
}

/// Formats a number with up to six significant digits.
fn short_number(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    match rounded.abs() {
        0.0 => "0".to_owned(),
        size if (1e-4..1e15).contains(&size) => {
            let text = rounded.to_string();
            let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
            let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
            let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
            fraction.map_or(format!("{sign}{whole}"), |fraction| format!("{sign}{whole}.{fraction}"))
        }
        _ => format!("{rounded:e}"),
    }
}

/// Shortens a word to at most 20 characters.
fn short_word(word: &str) -> String {
    const MOST: usize = 20;
    match word.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1234567.0, "1,234,570"),
            (-1234.5, "-1,234.5"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333"),
            (1e-9, "1e-9"),
            (2.5e20, "2.5e20"),
        ] {
            assert_eq!(short_number(number), text);
        }
        assert_eq!(short_word(&"ä".repeat(30)), "ä".repeat(20) + "…");
    }

    #[test]
    fn a_column_is_described_by_its_values_and_its_treatment() {
        let column = LearntColumn {
            name: "age".into(),
            kind: InputKind::Number,
            encoding: Encoding::Number { shift: 3.0, factor: 0.5, scaling: Some(Numbers::Standard) },
            missing: MissingValue::Fill { value: 2.5, indicator: true },
            summary: Some(ColumnSummary::of_numbers(vec![1.0, 4.0, f64::NAN])),
        };
        let treatment = "standardised, 2.5 and an indicator if missing";
        assert_eq!(column.description().cells(), ["age", "integers", "1", "2", "1 to 4", treatment]);
        let names = ["a", "b"].map(str::to_owned);
        let (summary, _) = ColumnSummary::of_words(&[0.0, 1.0, 1.0], &names, true);
        let left_out = LeftOut {
            name: "id".into(),
            kind: Some(InputKind::Word),
            why: "ids or free text".into(),
            summary: Some(summary),
        };
        let cells = left_out.description().cells();
        assert_eq!(cells, ["id", "words", "0", "over 2", "b (2), a (1)", "left out: ids or free text"]);
    }
}
