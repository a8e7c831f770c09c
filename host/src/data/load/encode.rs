//! Learns the encodings of the columns of a table from the training rows, and encodes its inputs.

use super::columns::RawTable;
use crate::data::array::Array;
use crate::data::columns::{TargetValues, learn};
use crate::data::{Dataset, LearntColumn, Schema};
use crate::{Error, Result};

/// Encodes the inputs of `train` and `validation`, which were split from the rows of `table` after
/// [`Dataset::with_row_numbers`], with up to `limit` bytes in memory. Adds what was learnt to `schema`, and notes on it
/// to `notes`.
///
/// # Errors
/// Returns an error if no column is left, or a value can't be encoded.
pub(super) fn encode(
    table: RawTable,
    (mut train, validation): (Dataset, Option<Dataset>),
    schema: &mut Schema,
    limit: usize,
    notes: &mut Vec<String>,
) -> Result<(Dataset, Option<Dataset>)> {
    let RawTable { raw, columns } = table;
    let rows = train.take_row_numbers();
    let targets: Vec<TargetValues> = (train.targets().iter())
        .filter(|target| target.values.row_shape().is_empty())
        .map(|target| TargetValues {
            name: target.name.clone(),
            values: numbers(&target.values),
            are_names: target.class_names.is_some(),
        })
        .collect();
    let (learnt_rows, targets) = weighted(&train, &rows, targets);
    let learnt = learn(&raw, &learnt_rows, &columns, schema.scale.unwrap_or(1.0), &targets)?;
    notes.extend(learnt.notes.iter().cloned());
    if learnt.columns.is_empty() {
        return Err(Error::failure("no column is left for the inputs").with("left out", {
            let names: Vec<&str> = learnt.left_out.iter().map(|column| column.name.as_str()).collect();
            crate::data::columns::listed_names(&names)
        }));
    }
    let (inputs, _) = learnt.encode(&raw, &rows, limit)?;
    let train = train.with_inputs(inputs)?;
    let validation = match validation {
        Some(mut validation) => {
            let rows = validation.take_row_numbers();
            let (inputs, later) = learnt.encode(&raw, &rows, limit)?;
            notes.extend(later.into_iter().map(|note| format!("in the validation rows: {note}")));
            Some(validation.with_inputs(inputs)?)
        }
        None => None,
    };
    schema.inputs = learnt.columns.iter().map(|column: &LearntColumn| column.name.clone()).collect();
    schema.kinds = learnt.columns.iter().map(|column| column.kind).collect();
    schema.columns = learnt.columns;
    schema.left_out.extend(learnt.left_out);
    Ok((train, validation))
}

/// Returns the rows to learn from, and the targets in these rows. Rows whose weights are all 0 may hold placeholders;
/// they are left out, unless all are.
fn weighted(train: &Dataset, rows: &[usize], targets: Vec<TargetValues>) -> (Vec<usize>, Vec<TargetValues>) {
    let Some(weight) = train.sample_weight() else { return (rows.to_vec(), targets) };
    let counts: Vec<bool> = (0..rows.len()).map(|row| weight.row(row).iter().any(|&weight| weight != 0.0)).collect();
    if !counts.contains(&true) {
        return (rows.to_vec(), targets);
    }
    let kept =
        |values: &[f64]| values.iter().zip(&counts).filter(|(_, counts)| **counts).map(|(value, _)| *value).collect();
    let targets = targets.into_iter().map(|target| TargetValues { values: kept(&target.values), ..target }).collect();
    (rows.iter().zip(&counts).filter(|(_, counts)| **counts).map(|(row, _)| *row).collect(), targets)
}

fn numbers(values: &Array) -> Vec<f64> {
    match values {
        Array::F32(rows) => rows.values().iter().map(|&value| value.into()).collect(),
        Array::F64(rows) => rows.values().to_vec(),
        Array::I32(rows) => rows.values().iter().map(|&value| value.into()).collect(),
        Array::I64(rows) => rows.values().iter().map(|&value| value as f64).collect(),
        Array::U8(rows) => rows.values().iter().map(|&value| value.into()).collect(),
    }
}
