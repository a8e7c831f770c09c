//! Accuracies. Of equal scores, the first counts as the greatest. If a score or a label is NaN, the result is NaN.

use super::means::Total;
use plugfit_api::{ClassId, Element, Float, abi::DType, formula::Formula, prelude::*};

/// Accuracy: how often `y_pred` equals `y_true`, element by element.
/// Integers are compared as integers of up to 64 bits.
///
/// In a compile call, "accuracy" selects the accuracy that fits the loss; only the class name `Accuracy` selects this
/// metric.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ACCURACY)]
pub struct Accuracy;

impl Metric for Accuracy {
    with_state!(Total);
    fn info(&self) -> MetricInfo {
        MetricInfo { dtypes: vec![numbers(); 2], ..MetricInfo::new(Direction::Maximize) }
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        // Two different 64-bit integers may be equal after rounding to float64.
        let rounded = is_rounded(y_true.dtype()) || is_rounded(y_pred.dtype());
        let (mut batch, mut i) = (Total::default(), 0);
        inputs.for_each(|t, p, weight| {
            if weight != 0.0 {
                let equal = t == p && (!rounded || y_true.get_whole(i) == y_pred.get_whole(i));
                batch.add(weight, if t.is_nan() || p.is_nan() { f64::NAN } else { one_if(equal) });
            }
            i += 1;
        })?;
        total.merge(&batch.per(inputs.values_per_sample(Each::Element)?))
    }
    fn formula(&self) -> Result<Formula> {
        Formula::of_mean(Each::Element, |y_true, y_pred| one_if_equal(y_true.single(), y_pred.single()))
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(total.mean())
    }
}

/// Returns the dtypes of ids, which are compared without conversion.
fn numbers() -> Vec<String> {
    ["float32", "float64", "int32", "int64", "uint64", "uint8"].map(str::to_owned).to_vec()
}

fn is_rounded(dtype: DType) -> bool {
    dtype == i64::DTYPE || dtype == u64::DTYPE
}

/// Binary accuracy: how often `y_pred > threshold` equals `y_true`, element by element.
/// A label other than 0 or 1 is an error.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::BINARY_ACCURACY)]
pub struct BinaryAccuracy {
    /// Predictions above the threshold count as 1.
    #[config(default = 0.5, range = 0.0..=1.0)]
    threshold: f64,
}

#[formula]
impl MeanMetric for BinaryAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::Element
    }
    fn check(&self, inputs: &Inputs<'_>) -> Result<()> {
        inputs.check_labels([0.0, 1.0], None)
    }
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        // A prediction of 0.3 isn't above a threshold of 0.3, whether it is rounded to float32 or not.
        let threshold = self.threshold.max((self.threshold as f32).into());
        let above = y_pred.single().gt(R::from(threshold));
        let class = R::select(above, R::from(1.0), R::from(0.0));
        unless_nan(y_pred.single(), one_if_equal(y_true.single(), class))
    }
}

/// Categorical accuracy: how often the greatest `y_pred` of a row has the index of the greatest `y_true`.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CATEGORICAL_ACCURACY)]
pub struct CategoricalAccuracy;

#[formula]
impl MeanMetric for CategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        one_if_equal(y_true.argmax(), y_pred.argmax())
    }
}

/// Categorical accuracy of class ids: how often the greatest `y_pred` of a row is at index `y_true`.
/// A class id out of range is an error.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::SPARSE_CATEGORICAL_ACCURACY)]
pub struct SparseCategoricalAccuracy;

#[formula]
impl MeanMetric for SparseCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn each(&self) -> Each {
        Each::ClassId
    }
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let id = y_true.class_id();
        unless_nan(y_pred.at(id), one_if_equal(id.number(), y_pred.argmax()))
    }
}

/// Top-k accuracy: how often fewer than `k` elements of a row of `y_pred` exceed the one of the true class.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::TOP_K_CATEGORICAL_ACCURACY)]
pub struct TopKCategoricalAccuracy {
    /// The number of top predictions that count.
    #[config(default = 5, range = 1..)]
    k: u64,
}

#[formula]
impl MeanMetric for TopKCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Maximize;
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let class = y_true.argmax();
        unless_nan(class, among_top(self.k, y_pred.at(class.to_class_id()), y_pred))
    }
}

/// Top-k accuracy of class ids: how often fewer than `k` elements of a row of `y_pred` exceed the one at `y_true`.
/// A class id out of range is an error.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::SPARSE_TOP_K_CATEGORICAL_ACCURACY)]
pub struct SparseTopKCategoricalAccuracy {
    /// The number of top predictions that count.
    #[config(default = 5, range = 1..)]
    k: u64,
    /// Whether rows of `y_pred` contain class ids, best first, instead of scores.
    #[config(default = false)]
    from_sorted_ids: bool,
}

impl Metric for SparseTopKCategoricalAccuracy {
    with_state!(Total);
    fn info(&self) -> MetricInfo {
        let dtypes = if self.from_sorted_ids { vec![numbers(); 2] } else { Vec::new() };
        MetricInfo { dtypes, ..MetricInfo::new(Direction::Maximize) }
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let mut batch = Total::default();
        if self.from_sorted_ids {
            self.ids(&mut batch, inputs)?;
        } else {
            inputs.for_each_class_id(|id, scores, weight| {
                let scores = Row::new(f64::numbers(scores));
                batch.add(weight, among_top(self.k, scores.at(ClassId::new(id)), scores).0);
            })?;
        }
        total.merge(&batch.per(inputs.values_per_sample(Each::ClassId)?))
    }
    fn formula(&self) -> Result<Formula> {
        if self.from_sorted_ids {
            return Err(Error::unsupported("y_pred contains class ids"));
        }
        Formula::of_mean(Each::ClassId, |y_true, y_pred| among_top(self.k, y_pred.at(y_true.class_id()), y_pred))
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(total.mean())
    }
}

impl SparseTopKCategoricalAccuracy {
    /// Updates `total` from sorted ids. The number of classes is unknown, so any whole number is valid.
    fn ids(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        let (rows, columns) = if y_pred.rank() > 1 { y_pred.rows_and_columns() } else { (y_pred.len(), 1) };
        if y_true.len() != rows {
            let shapes = (y_true.shape(), y_pred.shape());
            let message =
                format!("y_true of shape {:?} doesn't contain an id for each row of {:?}", shapes.0, shapes.1);
            return Err(Error::input(message));
        }
        let weight = inputs.row_weights()?;
        inputs.check_class_ids("y_true", None, |row| weight(row) == 0.0)?;
        inputs.check_class_ids("y_pred", None, |place| weight(place / columns) == 0.0)?;
        let k = columns.min(usize::try_from(self.k).unwrap_or(usize::MAX));
        for row in 0..rows {
            let (weight, id) = (weight(row), y_true.get_whole(row));
            if weight != 0.0 {
                let mut first = row * columns..row * columns + k;
                total.add(weight, one_if(first.any(|place| y_pred.get_whole(place) == id)));
            }
        }
        Ok(())
    }
}

fn one_if(right: bool) -> f64 {
    f64::from(u8::from(right))
}

/// Returns 1 if both are equal, 0 if they differ, NaN if one is NaN.
#[inline(always)]
pub(super) fn one_if_equal<R: Real>(one: R, other: R) -> R {
    let differ = one.lt(other) | one.gt(other);
    R::select(one.eq(other), R::from(1.0), R::select(differ, R::from(0.0), R::from(f64::NAN)))
}

/// Returns `value`, or NaN if `x` is NaN.
#[inline(always)]
pub(super) fn unless_nan<R: Real>(x: R, value: R) -> R {
    R::select(x.eq(x), value, R::from(f64::NAN))
}

/// Returns 1 if fewer than `k` scores exceed `own`, else 0; NaN if any score is NaN.
#[inline(always)]
fn among_top<R: Real>(k: u64, own: R, scores: Row<'_, R>) -> R {
    let (zero, one) = (R::from(0.0), R::from(1.0));
    let above = scores.sum(|score| unless_nan(score, R::select(score.gt(own), one, zero)));
    // The score of an id that is no class is NaN.
    unless_nan(own, unless_nan(above, R::select(above.lt(R::from(k as f64)), one, zero)))
}
