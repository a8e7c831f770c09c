//! The results of all groups as a table of numbers.

use datafusion::common::ScalarValue;
use plugfit::{Error, Result};
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
    /// The replicates of each number, if there is a bootstrap.
    pub replicates: Vec<Vec<Option<f64>>>,
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
    /// The differences between the groups that `--compare` pairs.
    pub differences: Option<Box<Differences>>,
}

/// Differences between groups.
#[derive(Clone, Debug)]
pub struct Differences {
    /// The column of `--compare` and the value from which the others differ.
    pub compare: String,
    pub baseline: ScalarValue,
    pub table: Table,
}

impl Table {
    /// Creates the table. `level` is that of the confidence intervals, in percent.
    pub fn new(metrics: &[Scored], arguments: &Arguments, groups: Vec<Group>, level: f64) -> Self {
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
            let mut cells: Vec<Cell> = places.iter().zip(&group.values).flat_map(of_metric).collect();
            let of_metric = |(parts, replicates): (&Vec<String>, &Vec<Value>)| {
                let found: Vec<_> = replicates.iter().map(flatten).collect();
                let number = |part: &String, found: &Vec<(String, Option<f64>)>| {
                    found.iter().find(|(other, _)| other == part).and_then(|(_, number)| *number)
                };
                let of_part = |part: &String| found.iter().map(|found| number(part, found)).collect::<Vec<_>>();
                parts.iter().map(of_part).collect::<Vec<_>>()
            };
            let replicates: Vec<Vec<Option<f64>>> = places.iter().zip(&group.replicates).flat_map(of_metric).collect();
            for (cell, replicates) in cells.iter_mut().zip(&replicates) {
                cell.interval = interval(replicates, level).filter(|_| cell.value.is_some());
            }
            Row { by: group.by, rows: group.rows, skipped: group.skipped, cells, replicates }
        };
        let rows = groups.into_iter().map(row).collect();
        let by = arguments.by.iter().map(|text| alias(text).to_owned()).collect();
        Table { by, names, rows, partial: false, counts_skipped: false, small: 0, differences: None }
    }

    /// Adds the differences from the groups whose value of column number `at` is the baseline: the one that is given as a
    /// text, or the first.
    ///
    /// # Errors
    /// Returns an error if no group has that value.
    pub fn compare(&mut self, at: usize, baseline: Option<&str>, level: f64) -> Result<()> {
        let compare = self.by.get(at).cloned().unwrap_or_default();
        let values = || self.rows.iter().filter_map(|row| row.by.get(at));
        let found = match baseline {
            Some(text) => values().find(|value| by_text(value) == text).cloned(),
            None => values().next().cloned(),
        };
        let Some(found) = found else {
            let Some(text) = baseline else { return Ok(()) };
            let mut all: Vec<String> = values().map(by_text).collect();
            all.dedup();
            return Err(Error::usage(format!("no group has {compare} = {text}, which --baseline names"))
                .with("has", all.join(", ")));
        };
        let others = |row: &Row| -> Vec<ScalarValue> {
            row.by.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, value)| value.clone()).collect()
        };
        let is_baseline = |row: &&Row| row.by.get(at) == Some(&found);
        let mut rows = Vec::new();
        for row in self.rows.iter().filter(|row| !is_baseline(row)) {
            let Some(base) = self.rows.iter().filter(is_baseline).find(|base| others(base) == others(row)) else {
                continue;
            };
            let difference = |(own, base): (&Option<f64>, &Option<f64>)| own.zip(*base).map(|(own, base)| own - base);
            let replicates: Vec<Vec<Option<f64>>> = row
                .replicates
                .iter()
                .zip(&base.replicates)
                .map(|(own, base)| own.iter().zip(base).map(difference).collect())
                .collect();
            let cells = row.cells.iter().zip(&base.cells).enumerate().map(|(at, (own, base))| {
                let value = difference((&own.value, &base.value));
                // Without a bootstrap there are no replicates.
                let interval = replicates.get(at).and_then(|replicates| interval(replicates, level));
                Cell { value, interval: interval.filter(|_| value.is_some()) }
            });
            rows.push(Row { cells: cells.collect(), replicates, ..row.clone() });
        }
        let table = Table { rows, differences: None, ..self.clone() };
        self.differences = Some(Box::new(Differences { compare, baseline: found, table }));
        Ok(())
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

/// Returns the interval between percentiles of the replicates. There is none if one is NaN, or if fewer than half are
/// defined.
fn interval(replicates: &[Option<f64>], level: f64) -> Option<(f64, f64)> {
    let mut defined: Vec<f64> = replicates.iter().flatten().copied().collect();
    if defined.is_empty() || 2 * defined.len() < replicates.len() || defined.iter().any(|number| number.is_nan()) {
        return None;
    }
    defined.sort_by(f64::total_cmp);
    // The share of numbers below the place p (n + 1) is p on average; a percentile of the numbers themselves is nearer
    // to their middle, and the interval would be too short.
    let (count, last) = (defined.len() as f64, (defined.len() - 1) as f64);
    let at = |part: f64| {
        let place = (part * (count + 1.0) - 1.0).clamp(0.0, last);
        let (low, high) = (*defined.get(place.floor() as usize)?, *defined.get(place.ceil() as usize)?);
        Some(if low == high { low } else { low + (high - low) * place.fract() })
    };
    let outside = (1.0 - level / 100.0) / 2.0;
    at(outside).zip(at(1.0 - outside))
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
