//! The coefficient of determination, R².

use super::single_pairs::SinglePairs;
use plugfit_api::{
    formula::Formula,
    prelude::*,
    simd::{Kernel, dispatch},
};

/// How the scores of the columns are aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Aggregation {
    /// The mean of the scores.
    UniformAverage,
    /// The mean of the scores, weighted by the variance of the labels.
    VarianceWeightedAverage,
}

/// R²: `1 - residual / variance` for each column, at most 1. It is 0 for a column of constant labels. With
/// `num_regressors` the score is adjusted for the number of predictors. Wright 1921.
#[derive(Clone, Debug, Config)]
#[config(name = "R2Score", aliases("r2_score"), base(name = "r2_score"))]
#[config(examples = super::examples::R2_SCORE)]
pub struct R2Score {
    /// How the scores of the columns are aggregated; null: one score for each column.
    #[config(default = "uniform_average")]
    class_aggregation: Option<Aggregation>,
    /// The number of predictors for which the score is adjusted; 0: no adjustment.
    #[config(default = 0)]
    num_regressors: u64,
}

/// The number of rows, and for each column: the weight, the mean of the labels, the sum of their squared deviations
/// from it, and the sum of squared residuals. Means instead of sums keep the variance of labels near 1e9 accurate.
#[state]
#[derive(Default)]
pub struct Columns {
    rows: f64,
    columns: Vec<[f64; 4]>,
}

/// Merges the moments of `other` into `into`. Chan, Golub & LeVeque 1979.
fn add(into: &mut [f64; 4], other: [f64; 4]) {
    let weight = into[0] + other[0];
    if weight != 0.0 && other[0] != 0.0 {
        let difference = other[1] - into[1];
        into[1] += difference * other[0] / weight;
        into[2] += other[2] + difference * difference * into[0] * other[0] / weight;
        into[3] += other[3];
        into[0] = weight;
    }
}

impl Columns {
    fn set_columns(&mut self, columns: usize) -> Result<()> {
        if self.columns.is_empty() {
            self.columns.resize(columns, [0.0; 4]);
        }
        match self.columns.len() == columns {
            true => Ok(()),
            false => Err(Error::input(format!("y_pred has {columns} columns, and {} until now", self.columns.len()))),
        }
    }

    fn merge(&mut self, other: &Columns) -> Result<()> {
        if other.columns.is_empty() {
            return Ok(());
        }
        let different = |_| Error::state("the states have different numbers of columns");
        self.set_columns(other.columns.len()).map_err(different)?;
        self.rows += other.rows;
        self.columns.iter_mut().zip(&other.columns).for_each(|(column, other)| add(column, *other));
        Ok(())
    }
}

/// Adds a batch of float32 numbers without weights to the state.
struct Batch<'a, 's> {
    pairs: SinglePairs<'a>,
    columns: usize,
    state: &'s mut Columns,
}

impl Kernel for Batch<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // A block is short, so that differences from its first row are small.
        const ROWS: usize = 256;
        let Batch { pairs: SinglePairs { y_true, y_pred }, columns, state } = self;
        let width = ROWS * columns;
        for (y_true, y_pred) in y_true.chunks(width).zip(y_pred.chunks(width)) {
            let rows = (y_true.len() / columns) as f64;
            state.rows += rows;
            if columns == 1 {
                add(&mut state.columns[0], of_column(y_true, y_pred));
                continue;
            }
            for (i, column) in state.columns.iter_mut().enumerate() {
                let shift = f64::from(y_true[i]);
                let mut sums = [0.0; 3];
                for (y_true, y_pred) in y_true.chunks_exact(columns).zip(y_pred.chunks_exact(columns)) {
                    let (t, p) = (f64::from(y_true[i]), f64::from(y_pred[i]));
                    sums = [sums[0] + (t - shift), sums[1] + (t - shift) * (t - shift), sums[2] + (t - p) * (t - p)];
                }
                add(column, moments(rows, shift, sums));
            }
        }
    }
}

/// Returns the moments of a column from the sums of differences from `shift`, of their squares, and of squared residuals.
#[inline(always)]
fn moments(rows: f64, shift: f64, [sum, squares, residuals]: [f64; 3]) -> [f64; 4] {
    [rows, shift + sum / rows, (squares - sum * sum / rows).max(0.0), residuals]
}

/// Returns the moments of the only column, in lanes.
#[inline(always)]
fn of_column(y_true: &[f32], y_pred: &[f32]) -> [f64; 4] {
    const LANES: usize = 8;
    let shift = f64::from(y_true[0]);
    let mut lanes = [[0.0f64; LANES]; 3];
    let mut add = |k: usize, t: f32, p: f32| {
        let (t, p) = (f64::from(t), f64::from(p));
        lanes[0][k] += t - shift;
        lanes[1][k] += (t - shift) * (t - shift);
        lanes[2][k] += (t - p) * (t - p);
    };
    let ((whole_true, rest_true), (whole_pred, rest_pred)) = (y_true.as_chunks::<LANES>(), y_pred.as_chunks::<LANES>());
    for (t, p) in whole_true.iter().zip(whole_pred) {
        for k in 0..LANES {
            add(k, t[k], p[k]);
        }
    }
    for (k, (t, p)) in rest_true.iter().zip(rest_pred).enumerate() {
        add(k, *t, *p);
    }
    moments(y_true.len() as f64, shift, lanes.map(|lanes| lanes.iter().sum()))
}

impl Metric for R2Score {
    with_state!(Columns, Maximize, vectors);
    fn update(&self, state: &mut Columns, inputs: &Inputs<'_>) -> Result<()> {
        let shape = inputs.y_pred()?.shape();
        if shape.len() > 2 || shape.is_empty() || inputs.y_true()?.rank() > 2 {
            return Err(Error::input(format!("R2Score needs y_pred of shape [rows, columns], not {shape:?}")));
        }
        let columns_of = |shape: &[i64]| shape.get(1).map_or(1, |columns| *columns as usize);
        let (columns, targets) = (columns_of(shape), columns_of(inputs.y_true()?.shape()));
        if columns != targets {
            return Err(Error::input(format!("y_pred has {columns} columns, and y_true {targets}")));
        }
        state.set_columns(columns)?;
        if let Some(pairs) = SinglePairs::new(inputs).filter(|_| columns > 0) {
            dispatch(Batch { pairs, columns, state });
            return Ok(());
        }
        let (mut column, mut counts) = (0, false);
        inputs.for_each(|t, p, weight| {
            if weight != 0.0 {
                add(&mut state.columns[column], [weight, t, 0.0, weight * (t - p) * (t - p)]);
                counts = true;
            }
            column += 1;
            if column == columns {
                state.rows += f64::from(u8::from(counts));
                (column, counts) = (0, false);
            }
        })
    }
    fn formula(&self) -> Result<Formula> {
        Err(Error::unsupported("as plain sums, its moments lose digits"))
    }
    fn result(&self, state: &Columns) -> Result<Outcome> {
        if state.rows == 0.0 {
            return Ok(Outcome::Undefined);
        }
        let score = |[_, _, variance, residual]: &[f64; 4]| match *variance == 0.0 && !residual.is_nan() {
            true => 0.0,
            false => 1.0 - residual / variance,
        };
        let scores = state.columns.iter().map(score);
        let free = state.rows - self.num_regressors as f64 - 1.0;
        // With too few rows for an adjustment, the score is unadjusted.
        let adjusted = |score: f64| match self.num_regressors > 0 && free > 0.0 {
            true => 1.0 - (1.0 - score) * (state.rows - 1.0) / free,
            false => score,
        };
        Ok(match self.class_aggregation {
            None => Outcome::row(scores.map(adjusted).collect()),
            Some(Aggregation::UniformAverage) => {
                Outcome::Scalar(adjusted(scores.sum::<f64>() / state.columns.len() as f64))
            }
            Some(Aggregation::VarianceWeightedAverage) => {
                let all: f64 = state.columns.iter().map(|column| column[2]).sum();
                let sum: f64 = scores.zip(&state.columns).map(|(score, column)| score * column[2]).sum();
                if all == 0.0 && !sum.is_nan() { Outcome::Undefined } else { Outcome::Scalar(adjusted(sum / all)) }
            }
        })
    }
}
