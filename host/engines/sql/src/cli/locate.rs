//! Finds the file and the row that make a query fail.

use std::pin::pin;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::ScalarValue;
use futures::StreamExt;
use plugfit::component::Metric;
use plugfit::{Error, Host, Result};

use super::aggregate::Scored;
use super::arguments::{Arguments, KEEP, by_name};
use super::input::Source;
use super::query::{guarded, guarded_stream, session};
use super::streams::Selection;
use crate::rows;

/// Reads the files again, in order, and returns the first error of a file, or of a metric that gets rows of one batch,
/// with its file, row and group. Returns `error` if there is none.
pub async fn locate(
    host: &Host,
    metrics: &[Scored],
    arguments: &Arguments,
    sources: &[Source],
    skips_nulls: bool,
    error: Error,
) -> Error {
    match search(host, metrics, arguments, sources, skips_nulls).await {
        Ok(()) => error,
        Err(located) => located,
    }
}

async fn search(
    host: &Host,
    metrics: &[Scored],
    arguments: &Arguments,
    sources: &[Source],
    skips_nulls: bool,
) -> Result<()> {
    // One partition, so that rows come in their order.
    let context = session(Some(1), None)?;
    let selection = Selection::of(sources, arguments, &context, true).await?;
    let metrics = metrics
        .iter()
        .map(|metric| Ok((metric, host.metric(metric.identifier.clone())?)))
        .collect::<Result<Vec<_>>>()?;
    for (name, file) in selection.files() {
        let batches = guarded(name, file.clone().execute_stream()).await?;
        let mut batches = pin!(guarded_stream(name.into(), batches));
        let mut first = 0;
        while let Some(batch) = batches.next().await {
            let mut batch = batch.map_err(|error| error.with("row", format!("at or after {first} (from 0)")))?;
            if skips_nulls {
                batch = unmarked_nulls(&batch, arguments)?;
            }
            for (scored, metric) in &metrics {
                if let Err((row, error)) = check(scored, metric, arguments, &batch) {
                    let is_null = error.message().contains(" is null");
                    let error =
                        if is_null { error.hint("or leave them out and count them: --nulls skip") } else { error };
                    let error = error.with("file", name).with("row", format!("{} (from 0)", first + row));
                    return Err(with_group(error, arguments, &batch, row));
                }
            }
            first += batch.num_rows();
        }
    }
    Ok(())
}

/// Marks the rows with nulls as left out.
fn unmarked_nulls(batch: &RecordBatch, arguments: &Arguments) -> Result<RecordBatch> {
    let names = arguments.names();
    let is_whole =
        |row: usize| names.iter().filter_map(|name| batch.column_by_name(name)).all(|column| column.is_valid(row));
    let keep = batch.column_by_name(KEEP).and_then(|keep| keep.as_boolean_opt());
    let kept = |row: usize| keep.is_none_or(|keep| keep.is_valid(row) && keep.value(row)) && is_whole(row);
    let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(kept(row))).collect();
    let column = |(field, column): (&FieldRef, &ArrayRef)| match field.name() == KEEP {
        true => Arc::new(kept.clone()) as ArrayRef,
        false => column.clone(),
    };
    let columns = batch.schema().fields().iter().zip(batch.columns()).map(column).collect();
    RecordBatch::try_new(batch.schema(), columns).map_err(|error| Error::failure(error.to_string()))
}

/// Adds the group of a row.
fn with_group(error: Error, arguments: &Arguments, batch: &RecordBatch, row: usize) -> Error {
    let value = |(at, by): (usize, &String)| {
        let column = batch.column_by_name(&by_name(at))?;
        Some(format!("{by} = {}", ScalarValue::try_from_array(column, row).ok()?))
    };
    match arguments.by.iter().enumerate().map(value).collect::<Option<Vec<_>>>() {
        Some(values) if !values.is_empty() => error.with("group", values.join(", ")),
        _ => error,
    }
}

/// Updates a new state with the rows of a batch. The error has the first row that it appears with.
fn check(
    scored: &Scored,
    metric: &Metric,
    arguments: &Arguments,
    batch: &RecordBatch,
) -> std::result::Result<(), (usize, Error)> {
    let fails = |count: usize| update(scored, metric, arguments, &batch.slice(0, count)).err();
    let Some(mut error) = fails(batch.num_rows()) else { return Ok(()) };
    // The error appears with the first `failing` rows, and not with the first `passing` ones.
    let (mut passing, mut failing) = (0, batch.num_rows());
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        match fails(middle) {
            Some(earlier) => (failing, error) = (middle, earlier),
            None => passing = middle,
        }
    }
    Err((failing.saturating_sub(1), error))
}

fn update(scored: &Scored, metric: &Metric, arguments: &Arguments, batch: &RecordBatch) -> Result<()> {
    let invalid = |error: datafusion::arrow::error::ArrowError| Error::failure(error.to_string());
    let keep = batch.column_by_name(KEEP).and_then(|keep| keep.as_boolean_opt());
    let kept = keep.map(|keep| filter_record_batch(batch, keep)).transpose().map_err(invalid)?;
    let batch = kept.as_ref().unwrap_or(batch);
    if batch.num_rows() == 0 {
        return Ok(());
    }
    let weight = arguments.sample_weight.as_ref().map(|_| "sample_weight");
    let names = scored.columns.iter().map(String::as_str).chain(weight);
    let arrays: Vec<ArrayRef> = names.filter_map(|name| batch.column_by_name(name)).cloned().collect();
    let mut metric = metric.with_new_state()?;
    let mut given = rows::Arguments::new(std::slice::from_ref(&metric), arrays.len())?;
    given.with_rows_of_one(&arrays, None, |rows| rows.update(&mut metric, 0..rows.count()))
}
