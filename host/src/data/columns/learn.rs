//! Learns from the training rows how each column is encoded, and encodes rows in this way.

use rayon::prelude::*;

use super::dates;
use super::encoding::{Encoding, LearntColumn, MissingValue, Unencodable};
use super::leak::{TargetValues, is_copy};
use super::notes::{Finding, Later, notes_of_later, notes_of_learning};
use super::raw::RawRows;
use super::settings::{Categories, Missing, Numbers, Use};
use super::statistics::ColumnSummary;
use super::words::Words;
use crate::data::inputs::InputsBuilder;
use crate::data::{InputKind, Inputs};
use crate::{Error, Result};

/// More categories than these aren't one-hot by default.
pub const MOST_ONE_HOT: usize = 32;

/// The vectors of an embedding aren't longer than this by default.
const MOST_DIM: usize = 16;

/// A column of raw numbers, of which nothing is learnt yet.
#[derive(Clone, Debug)]
pub struct RawColumn {
    /// The name of the column.
    pub name: String,
    /// The kind of its values.
    pub kind: InputKind,
    /// What is to be done with it.
    pub usage: Use,
    /// What is to be done about missing values.
    pub missing: Missing,
    /// The words that the raw numbers are ids of, if it is a column of categories.
    pub words: Option<Words>,
    /// Whether there are more words than `words` holds.
    pub more: bool,
}

/// A column that isn't an input, and why.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// The name of the column.
    pub name: String,
    /// The kind of its values, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<InputKind>,
    /// The reason, such as "no values".
    pub why: String,
    /// A summary of its values, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ColumnSummary>,
}

/// What was learnt from the training rows.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// The columns that are inputs.
    pub columns: Vec<LearntColumn>,
    /// For each of these columns, where its raw numbers are.
    sources: Vec<Source>,
    /// The columns that aren't inputs.
    pub left_out: Vec<LeftOut>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The raw numbers of a column.
#[derive(Clone, Debug)]
struct Source {
    /// The index of the raw column.
    column: usize,
    /// If the raw numbers are ids of words: the words, and for each id that of the encoding.
    words: Option<(Words, Vec<f64>)>,
}

/// Learns how columns are encoded from these rows. `scale` is the factor of numbers that aren't scaled otherwise. The
/// values of `targets` are those of the same rows.
///
/// # Errors
/// Returns an error if the rows can't be read, or if no column is left.
pub fn learn(
    raw: &RawRows,
    rows: &[usize],
    columns: &[RawColumn],
    scale: f64,
    targets: &[TargetValues],
) -> Result<Learnt> {
    let mut learnt = Learnt { columns: Vec::new(), sources: Vec::new(), left_out: Vec::new(), notes: Vec::new() };
    let mut findings = Vec::new();
    raw.for_columns(0..columns.len(), rows, |members, values| {
        let examined: Vec<Examined> = (columns[members.clone()].par_iter().zip(values))
            .map(|(column, values)| examine(column, values, scale, targets))
            .collect();
        for (index, examined) in members.zip(examined) {
            let name = &columns[index].name;
            findings.extend(examined.findings.into_iter().map(|finding| (name.clone(), finding)));
            match examined.result {
                Ok((column, remap)) => {
                    learnt.columns.push(column);
                    let words = columns[index].words.clone().zip(remap);
                    learnt.sources.push(Source { column: index, words });
                }
                Err(left_out) => learnt.left_out.push(*left_out),
            }
        }
    })?;
    learnt.notes = notes_of_learning(&findings);
    Ok(learnt)
}

/// The result for one column.
struct Examined {
    /// The encoding, and for each word the id of the encoding; or why the column is left out.
    result: Result<(LearntColumn, Option<Vec<f64>>), Box<LeftOut>>,
    findings: Vec<Finding>,
}

fn examine(column: &RawColumn, values: Vec<f64>, scale: f64, targets: &[TargetValues]) -> Examined {
    let are_numbers = column.words.is_none();
    let copied = targets.iter().find(|target| is_copy(&values, are_numbers, target));
    let mut findings: Vec<Finding> = copied.map(|target| Finding::Copy(target.name.clone())).into_iter().collect();
    let result = match &column.words {
        Some(words) => categories(column, words, &values, &mut findings),
        None => numbers(column, values, scale, &mut findings).map(|column| (column, None)),
    };
    if let Err(left_out) = &result {
        findings = vec![Finding::LeftOut(left_out.why.clone())];
    }
    Examined { result, findings }
}

fn categories(
    column: &RawColumn,
    words: &Words,
    ids: &[f64],
    findings: &mut Vec<Finding>,
) -> Result<(LearntColumn, Option<Vec<f64>>), Box<LeftOut>> {
    let (summary, counts) = ColumnSummary::of_words(ids, words.names(), column.more);
    let left_out = |why: &str, summary: ColumnSummary| {
        let (name, kind) = (column.name.clone(), Some(column.kind));
        Err(Box::new(LeftOut { name, kind, why: why.into(), summary: Some(summary) }))
    };
    let (how, dim, is_named) = match column.usage {
        Use::Category { how, dim, is_named } => (how, dim, is_named),
        Use::Number(_) | Use::Date | Use::Drop => (Categories::Auto, None, false),
    };
    if summary.is_empty() {
        return left_out(NO_VALUES, summary);
    }
    let present = summary.rows - summary.missing;
    let is_many = summary.distinct > MOST_ONE_HOT || column.more;
    if how == Categories::Auto && !is_named && is_many && (summary.distinct * 2 > present || column.more) {
        return left_out("ids or free text", summary);
    }
    if summary.is_constant() {
        findings.push(Finding::Constant);
    }
    if summary.missing > 0 {
        findings.push(Finding::Filled);
    }
    let is_embedded = how == Categories::Embed || how == Categories::Auto && is_many;
    // An embedding takes rare categories for unknown ones, so that the vector of these is trained.
    let least = if is_embedded && counts.iter().any(|&count| count > 1) { 2 } else { 1 };
    let mut order: Vec<usize> = (0..counts.len()).filter(|&id| counts[id] >= least).collect();
    order.sort_unstable_by(|a, b| words.names()[*a].cmp(&words.names()[*b]));
    let mut remap = vec![0.0; counts.len()];
    (1..).zip(&order).for_each(|(new, &old)| remap[old] = f64::from(new));
    let categories: Vec<String> = order.iter().map(|&id| words.names()[id].clone()).collect();
    let encoding = if is_embedded {
        let dim = dim.unwrap_or_else(|| categories.len().isqrt().clamp(2, MOST_DIM));
        Encoding::Embedding { categories, dim }
    } else {
        Encoding::OneHot { categories }
    };
    // The vector of id 0 is that of missing values already.
    let indicator = summary.missing > 0 && matches!(encoding, Encoding::OneHot { .. });
    let missing = missing_value(column.missing, 0.0, indicator);
    let (name, kind) = (column.name.clone(), column.kind);
    Ok((LearntColumn { name, kind, encoding, missing, summary: Some(summary) }, Some(remap)))
}

fn numbers(
    column: &RawColumn,
    values: Vec<f64>,
    scale: f64,
    findings: &mut Vec<Finding>,
) -> Result<LearntColumn, Box<LeftOut>> {
    let years = (column.usage == Use::Date).then(|| {
        let years = values.iter().map(|&date| dates::year(date).unwrap_or(f64::NAN)).collect();
        (ColumnSummary::of_numbers(years), values.iter().any(|&date| !date.is_nan() && dates::has_time(date)))
    });
    let summary = ColumnSummary::of_numbers(values);
    let Some(found) = summary.numbers else {
        let (name, why) = (column.name.clone(), NO_VALUES.into());
        return Err(Box::new(LeftOut { name, kind: Some(column.kind), why, summary: Some(summary) }));
    };
    if summary.is_constant() {
        findings.push(Finding::Constant);
    }
    if summary.missing > 0 {
        findings.push(Finding::Filled);
    }
    if column.kind == InputKind::Number && looks_like_ids(&column.name, &summary) {
        findings.push(Finding::Ids);
    }
    // The factor of equal numbers is 0.
    let over = |spread: f64| Some(1.0 / spread).filter(|factor| spread > 0.0 && factor.is_finite()).unwrap_or(0.0);
    let encoding = match (years, column.usage) {
        (Some((years, times)), _) => {
            let (shift, deviation) = years.numbers.map_or((0.0, 0.0), |years| (years.mean, years.deviation));
            Encoding::Cyclic { shift, factor: over(deviation), times }
        }
        (None, Use::Number(scaling)) => {
            let (shift, factor) = match scaling {
                Some(Numbers::Standard) => (found.mean, over(found.deviation)),
                Some(Numbers::Minmax) => (found.min, over(found.max - found.min)),
                Some(Numbers::None) => (0.0, 1.0),
                None => (0.0, scale),
            };
            Encoding::Number { shift, factor, scaling }
        }
        (None, _) => Encoding::Number { shift: 0.0, factor: 1.0, scaling: Some(Numbers::None) },
    };
    let missing = missing_value(column.missing, found.median, summary.missing > 0);
    Ok(LearntColumn { name: column.name.clone(), kind: column.kind, encoding, missing, summary: Some(summary) })
}

const NO_VALUES: &str = "no values";

fn missing_value(missing: Missing, value: f64, indicator: bool) -> MissingValue {
    match missing {
        Missing::Fill => MissingValue::Fill { value, indicator },
        Missing::Error => MissingValue::Error,
    }
}

/// Returns whether numbers are probably ids: distinct integers in at least 50 rows that number the rows, or whose
/// column is called "id" or "…_id".
fn looks_like_ids(name: &str, summary: &ColumnSummary) -> bool {
    let Some(numbers) = summary.numbers else { return false };
    let rows = summary.rows - summary.missing;
    let name = name.to_ascii_lowercase();
    let is_called_id = name == "id" || name.ends_with("_id") || name.ends_with(" id");
    let numbers_rows = numbers.max - numbers.min < 2.0 * rows as f64;
    rows >= 50 && numbers.integers && summary.distinct == rows && (is_called_id || numbers_rows)
}

impl Learnt {
    /// Encodes these rows, with up to `limit` bytes in memory. Also returns notes on categories that aren't among those
    /// learnt, and on missing values in columns that had none.
    ///
    /// # Errors
    /// Returns an error if the rows can't be read, the temporary file can't be written, or a feature is too large for
    /// float32.
    pub fn encode(&self, raw: &RawRows, rows: &[usize], limit: usize) -> Result<(Inputs, Vec<String>)> {
        let mut inputs = InputsBuilder::new(limit);
        let mut features = Vec::new();
        let mut later = vec![Later::default(); self.columns.len()];
        let mut index = 0;
        raw.for_each(rows, |row| {
            let place = || format!("row {} (from 0)", rows[index]);
            features.clear();
            for ((column, source), later) in self.columns.iter().zip(&self.sources).zip(&mut later) {
                let mut value = row[source.column];
                if let (Some((words, remap)), false) = (&source.words, value.is_nan()) {
                    let id = value as usize;
                    value = remap[id];
                    if value == 0.0 {
                        later.record_unseen(|| (words.names()[id].clone(), place()));
                    }
                }
                if value.is_nan() {
                    later.record_missing(place);
                }
                column.push_features(value, &mut features).map_err(|why| {
                    let what = match why {
                        Unencodable::Missing => "a value is missing",
                        Unencodable::TooLarge => "a number is too large for float32 once it is scaled",
                        Unencodable::NoDate => "a date is out of range",
                    };
                    Error::failure(what).with("in", format!("{}, column \"{}\"", place(), column.name))
                })?;
            }
            index += 1;
            features.iter().try_for_each(|feature| inputs.push(*feature))
        })?;
        let width = self.columns.iter().map(LearntColumn::width).sum();
        let notes = notes_of_later(self.columns.iter().zip(&later));
        Ok((inputs.finish(&[rows.len(), width])?, notes))
    }
}
