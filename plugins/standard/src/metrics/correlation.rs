//! How well predictions and labels go together along an axis.

use plugfit_api::prelude::*;

/// The mean of the cosine of the angle between `y_true` and `y_pred`, from -1 to 1; the loss of this name has the other sign.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.9641238}"#
)]
#[config(
    example = r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "sample_weight": [1, 2], "gives": 0.9012701}"#
)]
#[config(
    example = r#"{"y_true": [[1, 2, 4], [0.1, 0.1, 0.1], [0, 0, 0]], "y_pred": [[1.5, 2, 3], [0.7, 0.7, 0.7], [1, 2, 4]], "sample_weight": [1, 2, 0.5], "gives": 0.850828}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.9262548}"#
)]
#[config(
    example = r#"{"config": {"axis": 0}, "y_true": [[1, 2], [3, 1]], "y_pred": [[1.5, 2], [2, 3]], "gives": 0.9084632}"#
)]
#[config(example = r#"{"y_true": [[3e-08, 4e-08], [3, 4]], "y_pred": [[3, 1], [4, 3]], "gives": 0.6855481}"#)]
#[config(example = r#"{"y_true": [1, -2], "y_pred": [[1], [2]], "gives": 0}"#)]
#[config(example = r#"{"y_true": [[1], [-2]], "y_pred": [1, 2], "gives": 0}"#)]
#[config(example = r#"{"config": {"axis": 2}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#)]
#[config(example = r#"{"config": {"axis": -3}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#)]
pub struct CosineSimilarity {
    /// The axis of the vectors.
    #[config(default = -1)]
    axis: i64,
}

impl MeanMetric for CosineSimilarity {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Line(self.axis)
    }
    /// Keras's epsilon keeps the cosine of a vector of zeros finite.
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        let length = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-7);
        dot(y_true, y_pred) / (length(y_true) * length(y_pred))
    }
}

/// The mean of the correlation between `y_true` and `y_pred`, from -1 to 1; of a constant it is not a number. Pearson 1895.
#[derive(Clone, Debug, Config)]
#[config(example = r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [0.5, 1, 2]], "gives": 0.6636634}"#)]
#[config(
    example = r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "gives": 0.7845658}"#
)]
#[config(
    example = r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [2, 1, 4]], "sample_weight": [3, 1], "gives": 0.6681683}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [[[1, 2, 0.5], [3, 1, 2]]], "y_pred": [[[1.5, 2, 1], [2, 3, 1]]], "sample_weight": [2]}, {"y_true": [[2, 0, 1]], "y_pred": [[2, 0.5, 2]], "sample_weight": [0.5]}], "gives": 0.3659973}"#
)]
#[config(example = r#"{"y_true": [[1e-08, 3e-08, 2e-08]], "y_pred": [[1, 2, 4]], "gives": 0.3273268}"#)]
pub struct PearsonCorrelation {
    /// The axis along which values are correlated.
    #[config(default = -1)]
    axis: i64,
}

impl MeanMetric for PearsonCorrelation {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Line(self.axis)
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        let (t, p) = (Moments::of(y_true), Moments::of(y_pred));
        covariance(y_true, t.mean, y_pred, p.mean) / (t.variance * p.variance).sqrt()
    }
}

/// The mean of the concordance between `y_true` and `y_pred`, from -1 to 1: correlation that is lost where their means or variances
/// differ. Lin 1989.
#[derive(Clone, Debug, Config)]
#[config(example = r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [0.5, 1, 2]], "gives": 0.4776995}"#)]
#[config(
    example = r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "gives": 0.5422686}"#
)]
#[config(
    example = r#"{"y_true": [[1, 2, 4], [0.1, 0.1, 0.1], [0, 0, 0]], "y_pred": [[1.5, 2, 3], [0.7, 0.7, 0.7], [1, 2, 4]], "sample_weight": [1, 2, 0.5], "gives": 0.2253521}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [[[1, 2, 0.5], [3, 1, 2]]], "y_pred": [[[1.5, 2, 1], [2, 3, 1]]], "sample_weight": [2]}, {"y_true": [[2, 0, 1]], "y_pred": [[2, 0.5, 2]], "sample_weight": [0.5]}], "gives": 0.2411765}"#
)]
pub struct ConcordanceCorrelation {
    /// The axis along which values are compared.
    #[config(default = -1)]
    axis: i64,
}

impl MeanMetric for ConcordanceCorrelation {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Line(self.axis)
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        let (t, p) = (Moments::of(y_true), Moments::of(y_pred));
        let norm = t.variance + p.variance + (t.mean - p.mean).powi(2);
        // Two equal constants agree in nothing, as Keras has it.
        if norm == 0.0 { 0.0 } else { 2.0 * covariance(y_true, t.mean, y_pred, p.mean) / norm }
    }
}

struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        // The mean of equal numbers may be another one by a rounding.
        if values.iter().all(|value| *value == values[0]) {
            return Moments { mean: values.first().copied().unwrap_or(0.0), variance: 0.0 };
        }
        let mean = values.iter().sum::<f64>() / count;
        Moments { mean, variance: values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn covariance(a: &[f64], mean_a: f64, b: &[f64], mean_b: f64) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / a.len() as f64
}
