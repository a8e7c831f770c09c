//! The coefficient of determination, R².

use plugfit_api::prelude::*;

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
#[config(
    example = r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.6278846}"#
)]
#[config(
    example = r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": 0.7053572}"#
)]
#[config(
    example = r#"{"config": {"num_regressors": 1}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": 0.4107143}"#
)]
#[config(
    example = r#"{"config": {"class_aggregation": null}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": [0.6785714, 0.7321429]}"#
)]
#[config(
    example = r#"{"config": {"num_regressors": 1}, "y_true": [[1, 2], [3, 1], [0, 4], [2, 2], [5, 3]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3], [2, 2], [4, 4]], "gives": 0.5989258}"#
)]
#[config(
    example = r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 2], [3, 2], [0, 2], [7, 2]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3], [5, 1]], "sample_weight": [1, 2, 0.5, 3], "gives": 0.6832627}"#
)]
#[config(
    example = r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 20], [3, 10], [0, 40], [7, 20]], "y_pred": [[1.5, 20], [2, 15], [0.5, 30], [5, 10]], "sample_weight": [1, 2, 0.5, 3], "gives": 0.03633744}"#
)]
#[config(
    example = r#"{"config": {"class_aggregation": null}, "y_true": [[1], [3], [0]], "y_pred": [[1.5], [2], [0.5]], "sample_weight": [1, 2, 0.5], "gives": [0.525]}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [[1, 2], [3, 1]], "y_pred": [[1.5, 2], [2, 3]]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": -0.298077}"#
)]
#[config(example = r#"{"y_true": [[1], [1]], "y_pred": [[1], [2]], "gives": 0}"#)]
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
}

impl Metric for R2Score {
    type State = Columns;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Maximize)
    }
    fn init(&self) -> Columns {
        Columns::default()
    }
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
    fn merge(&self, state: &mut Columns, other: &Columns) -> Result<()> {
        if other.columns.is_empty() {
            return Ok(());
        }
        state
            .set_columns(other.columns.len())
            .map_err(|_| Error::state("the states have different numbers of columns"))?;
        state.rows += other.rows;
        state.columns.iter_mut().zip(&other.columns).for_each(|(column, other)| add(column, *other));
        Ok(())
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
