//! How often a prediction is right. Of equal scores the first class wins.

use plugfit_api::prelude::*;

/// How often `y_pred` equals `y_true`, element by element.
///
/// In a compile call "accuracy" means the accuracy that fits the loss; this one is meant by its class name alone.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [[1], [2], [3]], "y_pred": [[0], [2], [3]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#
)]
#[config(
    example = r#"{"y_true": [[1, 2], [2, 0]], "y_pred": [[1, 0], [2, 1]], "sample_weight": [1, 2], "gives": 0.5}"#
)]
pub struct Accuracy;

impl MeanMetric for Accuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Element
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        one_if(y_true[0] == y_pred[0])
    }
}

/// How often `y_pred > threshold` equals `y_true`, element by element; labels are 0 and 1.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"config": {"threshold": 0.35}, "y_true": [[0], [1], [1]], "y_pred": [[0.3], [0.9], [0.4]], "sample_weight": [1, 2, 0.5], "gives": 1}"#
)]
#[config(example = r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#)]
#[config(
    example = r#"{"y_true": [[0], [1], [1]], "y_pred": [[0.5], [0.9], [0.5]], "sample_weight": [1, 2, 0.5], "gives": 0.8571429}"#
)]
pub struct BinaryAccuracy {
    /// Predictions above it count as 1.
    #[config(default = 0.5, range = 0.0..=1.0)]
    threshold: f64,
}

impl MeanMetric for BinaryAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Element
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        // float32, in which predictions are given, so that one of 0.3 isn't above a threshold of 0.3.
        one_if(y_true[0] == one_if(y_pred[0] as f32 > self.threshold as f32))
    }
}

/// How often the greatest `y_pred` of a row is where the greatest `y_true` is.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#
)]
#[config(
    example = r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.3, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#
)]
pub struct CategoricalAccuracy;

impl MeanMetric for CategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        one_if(greatest(y_true) == greatest(y_pred))
    }
}

/// How often the greatest `y_pred` of a row is at the class id that `y_true` says.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#
)]
#[config(
    example = r#"{"y_true": [[1], [0], [2]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.3, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#
)]
#[config(
    example = r#"{"y_true": [-1, 3, 2], "y_pred": [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.3333333}"#
)]
pub struct SparseCategoricalAccuracy;

impl MeanMetric for SparseCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::ClassId
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        one_if(greatest(y_pred) as f64 == y_true[0])
    }
}

/// How often fewer than `k` elements of a row of `y_pred` are greater than the one where `y_true` is greatest.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"config": {"k": 2}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 1}"#
)]
#[config(
    example = r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#
)]
#[config(
    example = r#"{"config": {"k": 1}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#
)]
pub struct TopKCategoricalAccuracy {
    /// How many classes may be named.
    #[config(default = 5, range = 1..)]
    k: u64,
}

impl MeanMetric for TopKCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        among_top(self.k, greatest(y_true) as f64, y_pred)
    }
}

/// How often fewer than `k` elements of a row of `y_pred` are greater than the one at the class id that `y_true` says.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"config": {"k": 2}, "y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 1}"#
)]
#[config(
    example = r#"{"y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#
)]
#[config(
    example = r#"{"config": {"k": 2, "from_sorted_ids": true}, "y_true": [1, 0, 2], "y_pred": [[2, 1, 0], [1, 2, 0], [2, 0, 1]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#
)]
#[config(
    example = r#"{"config": {"k": 1}, "y_true": [2, 0], "y_pred": [[0.2, 0.5, 0.5], [0.5, 0.5, 0.5]], "gives": 1}"#
)]
#[config(
    example = r#"{"config": {"k": 2}, "y_true": [-1, 3, 1], "y_pred": [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.3333333}"#
)]
pub struct SparseTopKCategoricalAccuracy {
    /// How many classes may be named.
    #[config(default = 5, range = 1..)]
    k: u64,
    /// Whether rows of `y_pred` are class ids, best first, and not scores.
    #[config(default = false)]
    from_sorted_ids: bool,
}

impl MeanMetric for SparseTopKCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::ClassId
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        if self.from_sorted_ids {
            one_if(y_pred.iter().take(self.k as usize).any(|&id| id == y_true[0]))
        } else {
            among_top(self.k, y_true[0], y_pred)
        }
    }
}

fn one_if(right: bool) -> f64 {
    f64::from(u8::from(right))
}

fn greatest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// An id out of range is never right.
fn among_top(k: u64, id: f64, scores: &[f64]) -> f64 {
    let known = id >= 0.0 && id.fract() == 0.0;
    let score = known.then(|| scores.get(id as usize)).flatten();
    one_if(
        score.is_some_and(|score| !score.is_nan() && (scores.iter().filter(|other| *other > score).count() as u64) < k),
    )
}
