//! The results of all groups as a table of numbers.

use datafusion::common::ScalarValue;
use serde_json::Value;

use super::aggregate::{Group, Scored};
use super::arguments::Arguments;

/// A number of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// `None` if the metric is undefined.
    pub value: Option<f64>,
    /// The ends of the confidence interval.
    pub interval: Option<(f64, f64)>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Row {
    pub by: Vec<ScalarValue>,
    pub rows: u64,
    pub skipped: u64,
    pub cells: Vec<Cell>,
}

/// The results.
#[derive(Clone, Debug)]
pub struct Table {
    /// The expressions of `--by`.
    pub by: Vec<String>,
    /// The names of the numbers: those of the metrics, and of their parts if a metric has several numbers.
    pub names: Vec<String>,
    pub rows: Vec<Row>,
    /// Whether the query was interrupted.
    pub partial: bool,
    /// Whether rows with nulls are counted.
    pub counts_skipped: bool,
    /// The number of groups that were left out because they are small.
    pub small: usize,
}

impl Table {
    /// Creates the table.
    pub fn new(metrics: &[Scored], arguments: &Arguments, groups: Vec<Group>) -> Self {
        let mut names = Vec::new();
        let mut places = Vec::new();
        for (at, metric) in metrics.iter().enumerate() {
            let mut parts: Vec<String> = Vec::new();
            for value in groups.iter().filter_map(|group| group.values.get(at)).filter(|value| !value.is_null()) {
                for (part, _) in flatten(value) {
                    if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
            }
            if parts.is_empty() {
                parts.push(String::new());
            }
            names.extend(parts.iter().map(|part| format!("{}{part}", metric.name)));
            places.push(parts);
        }
        let row = |group: Group| {
            let of_metric = |(parts, value): (&Vec<String>, &Value)| {
                let found = flatten(value);
                let number =
                    |part: &String| found.iter().find(|(other, _)| other == part).and_then(|(_, number)| *number);
                parts.iter().map(|part| Cell { value: number(part), interval: None }).collect::<Vec<_>>()
            };
            let cells = places.iter().zip(&group.values).flat_map(of_metric).collect();
            Row { by: group.by, rows: group.rows, skipped: group.skipped, cells }
        };
        let rows = groups.into_iter().map(row).collect();
        let by = arguments.by.iter().map(|text| alias(text).to_owned()).collect();
        Table { by, names, rows, partial: false, counts_skipped: false, small: 0 }
    }

    /// Returns the values of `--by` of a group as a text, which is empty without `--by`.
    pub fn group_text(&self, row: &Row) -> String {
        let pair = |(by, value): (&String, &ScalarValue)| format!("{by} = {}", by_text(value));
        self.by.iter().zip(&row.by).map(pair).collect::<Vec<_>>().join(", ")
    }

    /// Whether there are intervals.
    pub fn has_intervals(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.interval.is_some())
    }
}

/// Returns the alias of an expression, or else the expression.
fn alias(text: &str) -> &str {
    let alias = [" AS ", " as "].iter().find_map(|word| text.rsplit_once(word)).map(|(_, alias)| alias.trim());
    let is_name = |alias: &&str| alias.chars().all(|character| character.is_alphanumeric() || character == '_');
    alias.filter(is_name).unwrap_or(text)
}

/// Returns a value of `--by` as a text.
pub fn by_text(value: &ScalarValue) -> String {
    match value.is_null() {
        true => "null".into(),
        false => value.to_string(),
    }
}

/// Returns the numbers in a result, each with the part of the result that it is: nothing, `[0]`, `.precision`.
pub fn flatten(value: &Value) -> Vec<(String, Option<f64>)> {
    match value {
        Value::Array(values) => {
            let part = |(at, value): (usize, &Value)| {
                flatten(value)
                    .into_iter()
                    .map(move |(part, number)| (format!("[{at}]{part}"), number))
                    .collect::<Vec<_>>()
            };
            values.iter().enumerate().flat_map(part).collect()
        }
        Value::Object(named) => {
            let part = |(name, value): (&String, &Value)| {
                let name = name.clone();
                flatten(value)
                    .into_iter()
                    .map(move |(part, number)| (format!(".{name}{part}"), number))
                    .collect::<Vec<_>>()
            };
            named.iter().flat_map(part).collect()
        }
        Value::Number(number) => vec![(String::new(), number.as_f64())],
        Value::String(text) => {
            let number = match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            };
            vec![(String::new(), number)]
        }
        Value::Null | Value::Bool(_) => vec![(String::new(), None)],
    }
}
