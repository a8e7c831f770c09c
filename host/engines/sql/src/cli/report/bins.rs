//! Sums of the rows in bins of their labels and predictions, from which the report is drawn. The query engine computes
//! them, in one more pass over the files; their number doesn't depend on the number of rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, SessionContext, cast, ident};
use plugfit::Result;

use super::super::arguments::{Arguments, by_name};
use super::super::control::Control;
use super::super::query::failed;
use super::super::results::by_text;
use super::super::streams::{Keys, Selection};
use crate::classes::class_of;

/// The bins of the scores of two classes.
pub const SCORES: i64 = 1000;
/// The bins of residuals.
pub const RESIDUALS: i64 = 60;
/// The bins of predictions and of labels, in each direction.
pub const CELLS: i64 = 50;
/// The most classes of a confusion matrix: a larger one is unreadable.
pub const MAX_CLASSES: i64 = 40;
/// The most groups with curves of their own.
pub const MAX_GROUPS: usize = 8;

/// What the labels and predictions are.
#[derive(Clone, Debug, PartialEq)]
pub enum Bins {
    /// Labels of two classes with scores.
    Scores(Scores),
    /// Classes, with a score for each.
    Classes(Vec<Pair>),
    /// Numbers.
    Numbers(Numbers),
    /// Nothing that can be drawn, and why.
    None(String),
}

/// The scores of two classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The least and the greatest score.
    pub range: (f64, f64),
    /// The bins of each group that aren't empty, in ascending order. Without `--by`, or with too many groups, there is
    /// one of all rows, without a name.
    pub groups: Vec<(String, Vec<ScoreBin>)>,
}

/// The rows whose scores are in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScoreBin {
    /// The weight of the positives.
    pub positives: f64,
    /// The weight of the negatives.
    pub negatives: f64,
    /// The sum of the weighted scores.
    pub scores: f64,
}

/// The weight of the rows of a class for which a class is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub label: i64,
    pub predicted: i64,
    pub weight: f64,
}

/// Labels and predictions that are numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The least and the greatest label or prediction.
    pub range: (f64, f64),
    /// The weight of the rows with a prediction and a label in the bins of these numbers.
    pub cells: Vec<(i64, i64, f64)>,
    /// The range of the residuals; those beyond it are in the first and last bin.
    pub residual_range: (f64, f64),
    /// The weight of the rows with a residual (prediction minus label) in the bin of this number.
    pub residuals: Vec<(i64, f64)>,
}

/// The rows of the report, which are read anew by each query.
pub struct Data<'a> {
    pub selection: &'a Selection,
    pub context: &'a SessionContext,
    pub control: &'a Arc<Control>,
    pub arguments: &'a Arguments,
    /// Whether rows with nulls are left out.
    pub skips_nulls: bool,
}

impl Data<'_> {
    async fn rows(&self) -> Result<DataFrame> {
        let rows = self.selection.table(self.context, self.control, Keys::None).await?.frame;
        let complete = self.arguments.names().into_iter().map(|name| ident(name).is_not_null()).reduce(Expr::and);
        match complete.filter(|_| self.skips_nulls) {
            Some(complete) => rows.filter(complete).map_err(failed),
            None => Ok(rows),
        }
    }
}

/// Sums the rows in bins. The result has `groups` groups.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn bins(data: &Data<'_>, groups: usize) -> Result<Bins> {
    let none = |why: &str| Ok(Bins::None(why.to_owned()));
    let type_of = |name: &str| data.selection.schema.field_with_name(name).ok().map(|field| field.data_type().clone());
    let (Some(labels), Some(predictions)) = (type_of("y_true"), type_of("y_pred")) else {
        return none("there are no labels to compare the predictions with");
    };
    if labels.is_nested() {
        return none("the labels are lists");
    }
    let weight = match data.arguments.sample_weight {
        Some(_) => cast(ident("sample_weight"), DataType::Float64),
        None => lit(1.0),
    };
    let y_true = cast(ident("y_true"), DataType::Float64);
    if predictions.is_nested() {
        let label = cast(ident("y_true"), DataType::Int64);
        let predicted = class_of().call(vec![ident("y_pred")]);
        let by = vec![label.alias("label"), predicted.alias("predicted")];
        let found =
            numbers(data.rows().await?.aggregate(by, vec![sum(weight).alias("weight")]).map_err(failed)?).await?;
        let pair = |row: &Vec<f64>| Pair { label: row[0] as i64, predicted: row[1] as i64, weight: row[2] };
        let pairs: Vec<Pair> = found.iter().map(pair).collect();
        return match pairs.iter().all(|pair| pair.label.max(pair.predicted) < MAX_CLASSES && pair.label >= 0) {
            true => Ok(Bins::Classes(pairs)),
            false => none("there are more classes than a matrix can show"),
        };
    }
    let y_pred = cast(ident("y_pred"), DataType::Float64);
    let residual = y_pred.clone() - y_true.clone();
    let is_label = y_true.clone().eq(lit(0.0)).or(y_true.clone().eq(lit(1.0))).or(y_true.clone().eq(lit(-1.0)));
    let other = when(is_label, lit(0.0)).otherwise(lit(1.0)).map_err(failed)?;
    let overview = vec![
        min(y_true.clone()).alias("min_true"),
        max(y_true.clone()).alias("max_true"),
        min(y_pred.clone()).alias("min_pred"),
        max(y_pred.clone()).alias("max_pred"),
        max(other).alias("other"),
        min(residual.clone()).alias("min_residual"),
        max(residual.clone()).alias("max_residual"),
        sum(weight.clone()).alias("weight"),
        sum(weight.clone() * residual.clone()).alias("residual"),
        sum(weight.clone() * residual.clone() * residual.clone()).alias("square"),
    ];
    let found = numbers(data.rows().await?.aggregate(Vec::new(), overview).map_err(failed)?).await?;
    let Some([min_true, max_true, min_pred, max_pred, other, min_residual, max_residual, all, sum_residual, square]) =
        found.first().and_then(|row| <[f64; 10]>::try_from(row.as_slice()).ok())
    else {
        return none("there are no rows");
    };
    if ![min_true, max_true, min_pred, max_pred, all].iter().all(|number| number.is_finite()) {
        return none("a label or a prediction isn't finite");
    }
    if other == 0.0 {
        let range = (min_pred.min(0.0), max_pred.max(1.0));
        return Ok(Bins::Scores(Scores {
            range,
            groups: scores(data, groups, range, (y_true, y_pred, weight)).await?,
        }));
    }
    let range = (min_true.min(min_pred), max_true.max(max_pred));
    let cell = |number: &Expr| bin(number.clone(), range, CELLS);
    let by = vec![cell(&y_pred)?.alias("predicted"), cell(&y_true)?.alias("label")];
    let sums = || vec![sum(weight.clone()).alias("weight")];
    let cells = numbers(data.rows().await?.aggregate(by, sums()).map_err(failed)?).await?;
    // A few outliers would leave all other residuals in one bin.
    let (mean, deviation) = (sum_residual / all, (square / all - (sum_residual / all).powi(2)).max(0.0).sqrt());
    let residual_range = (min_residual.max(mean - 4.0 * deviation), max_residual.min(mean + 4.0 * deviation));
    let by = vec![bin(residual, residual_range, RESIDUALS)?.alias("residual")];
    let residuals = numbers(data.rows().await?.aggregate(by, sums()).map_err(failed)?).await?;
    Ok(Bins::Numbers(Numbers {
        range,
        cells: cells.iter().map(|row| (row[0] as i64, row[1] as i64, row[2])).collect(),
        residual_range,
        residuals: residuals.iter().map(|row| (row[0] as i64, row[1])).collect(),
    }))
}

/// Sums the rows of each group in bins of their scores.
async fn scores(
    data: &Data<'_>,
    groups: usize,
    range: (f64, f64),
    (y_true, y_pred, weight): (Expr, Expr, Expr),
) -> Result<Vec<(String, Vec<ScoreBin>)>> {
    let by_groups = if groups <= MAX_GROUPS { data.arguments.by.len() } else { 0 };
    let mut by: Vec<Expr> = (0..by_groups).map(|at| ident(by_name(at))).collect();
    by.push(bin(y_pred.clone(), range, SCORES)?.alias("bin"));
    let of_class = |is_positive: bool| {
        let is_class = if is_positive { y_true.clone().gt(lit(0.0)) } else { y_true.clone().lt_eq(lit(0.0)) };
        when(is_class, weight.clone()).otherwise(lit(0.0)).map_err(failed)
    };
    let sums = vec![
        sum(of_class(true)?).alias("positives"),
        sum(of_class(false)?).alias("negatives"),
        sum(weight.clone() * y_pred).alias("scores"),
    ];
    let sorted = by.iter().map(|column| ident(column.schema_name().to_string()).sort(true, false)).collect();
    let frame = data.rows().await?.aggregate(by, sums).and_then(|frame| frame.sort(sorted)).map_err(failed)?;
    let mut found: Vec<(String, Vec<ScoreBin>)> = Vec::new();
    for batch in frame.collect().await.map_err(failed)? {
        for row in 0..batch.num_rows() {
            let name = |at: usize| Ok(by_text(&ScalarValue::try_from_array(batch.column(at), row).map_err(failed)?));
            let name = (0..by_groups).map(name).collect::<Result<Vec<_>>>()?.join(", ");
            let number = |at: usize| float(&batch, by_groups + 1 + at, row);
            let bin = ScoreBin { positives: number(0), negatives: number(1), scores: number(2) };
            match found.last_mut().filter(|(last, _)| *last == name) {
                Some((_, bins)) => bins.push(bin),
                None => found.push((name, vec![bin])),
            }
        }
    }
    Ok(found)
}

/// Returns the number of the bin of a number, from 0. Numbers outside the range are in the first or the last bin.
fn bin(number: Expr, (low, high): (f64, f64), count: i64) -> Result<Expr> {
    if high <= low {
        return Ok(lit(0_i64));
    }
    let place = cast((number.clone() - lit(low)) * lit(count as f64 / (high - low)), DataType::Int64);
    // The greatest number is the end of the last bin.
    let is_below = number.clone().lt(lit(low));
    when(is_below, lit(0_i64)).when(number.gt_eq(lit(high)), lit(count - 1)).otherwise(place).map_err(failed)
}

/// Returns the rows of a result whose columns are numbers.
async fn numbers(frame: DataFrame) -> Result<Vec<Vec<f64>>> {
    let mut rows = Vec::new();
    for batch in frame.collect().await.map_err(failed)? {
        for row in 0..batch.num_rows() {
            rows.push((0..batch.num_columns()).map(|column| float(&batch, column, row)).collect());
        }
    }
    Ok(rows)
}

fn float(batch: &RecordBatch, column: usize, row: usize) -> f64 {
    let array = batch.column(column);
    match array.data_type() {
        _ if array.is_null(row) => f64::NAN,
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row) as f64,
        _ => cast_array(array, &DataType::Float64)
            .map_or(f64::NAN, |array| array.as_primitive::<Float64Type>().value(row)),
    }
}
