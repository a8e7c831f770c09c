//! Confusion counts at thresholds, the state of all metrics of true and false positives.
//!
//! A label other than 0 or 1 is an error. A NaN prediction makes every count NaN.

use super::merge_each;
use plugfit_api::{
    Plain, Scratch,
    config::{ConfigValue, ValueSpec},
    prelude::*,
    serde_json::Value,
};

/// One threshold, or several.
#[derive(Clone, Debug, PartialEq)]
pub enum Thresholds {
    One(f64),
    Several(Vec<f64>),
}

impl ConfigValue for Thresholds {
    const SPEC: ValueSpec = ValueSpec { name: "any", optional: false, choices: &[] };
    fn read(value: &Value) -> Result<Self> {
        if value.is_number() {
            f64::read(value).map(Thresholds::One)
        } else {
            Vec::read(value).map(Thresholds::Several)
        }
    }
    fn write(&self) -> Value {
        match self {
            Thresholds::One(threshold) => threshold.write(),
            Thresholds::Several(thresholds) => thresholds.write(),
        }
    }
}

impl Thresholds {
    pub fn as_slice(&self) -> &[f64] {
        match self {
            Thresholds::One(threshold) => std::slice::from_ref(threshold),
            Thresholds::Several(thresholds) => thresholds,
        }
    }

    /// Checks the thresholds.
    ///
    /// # Errors
    /// Returns an error if there is no threshold, or if one isn't between 0 and 1.
    pub fn check(&self) -> Result<()> {
        match self.as_slice() {
            [] => Err(Error::config("thresholds", "must contain at least one threshold")),
            thresholds => match thresholds.iter().find(|threshold| !(0.0..=1.0).contains(*threshold)) {
                Some(threshold) => {
                    Err(Error::config("thresholds", format!("must be between 0 and 1, not {threshold}")))
                }
                None => Ok(()),
            },
        }
    }
}

/// For each label, bucket `i` stores the weights of positive and negative elements above exactly the `i` least
/// thresholds. Empty before the first batch.
#[state]
#[derive(Default)]
pub struct Confusion {
    buckets: Vec<[f64; 2]>,
}

/// The four counts at one threshold, as sums of weights: float64 numbers, or numbers of a formula.
#[derive(Clone, Copy, Debug)]
pub struct Counts<R = Plain<f64>> {
    pub true_positives: R,
    pub false_positives: R,
    pub true_negatives: R,
    pub false_negatives: R,
}

impl<R: Real> Counts<R> {
    /// Creates the counts of no elements.
    pub fn new() -> Self {
        let zero = R::from(0.0);
        Counts { true_positives: zero, false_positives: zero, true_negatives: zero, false_negatives: zero }
    }
}

/// Which elements count, and how they are assigned to buckets.
#[derive(Clone, Debug)]
pub struct Rule {
    pub buckets: Buckets,
    /// Only the `k` greatest predictions of a row can be positive.
    pub top_k: Option<usize>,
    /// The only column that counts.
    pub class_id: Option<usize>,
    /// Whether columns are counted separately.
    pub multi_label: bool,
    /// A weight for each column, or empty.
    pub label_weights: Vec<f64>,
    /// Whether predictions are logits.
    pub from_logits: bool,
}

/// The thresholds. The bucket of a prediction is the number of thresholds below it.
#[derive(Clone, Debug)]
pub enum Buckets {
    /// A single threshold.
    Single(f64),
    /// Evenly spaced thresholds from 0 to 1. With `beyond`, as for an AUC, the first is below 0 and the last above 1,
    /// so that all predictions are above the first.
    Even { thresholds: usize, beyond: bool },
    /// Thresholds in ascending order, and the position of each in the configuration.
    Sorted { thresholds: Vec<f64>, order: Vec<usize> },
}

/// An element that counts.
pub struct CountedElement {
    pub label: usize,
    pub y_pred: f64,
    pub bucket: usize,
    /// 0: positive; 1: negative.
    pub class: usize,
    pub weight: f64,
}

/// The prediction of elements outside the `top_k`; below every threshold.
pub const OUTSIDE_TOP_K: f64 = -1e10;

impl Rule {
    /// Creates a rule that counts every element at the given thresholds.
    pub fn new(thresholds: &[f64]) -> Self {
        let buckets = match thresholds {
            [single] => Buckets::Single(*single),
            _ if is_even(thresholds) => Buckets::Even { thresholds: thresholds.len(), beyond: false },
            _ => {
                let mut order: Vec<usize> = (0..thresholds.len()).collect();
                order.sort_by(|&a, &b| thresholds[a].total_cmp(&thresholds[b]));
                Buckets::Sorted { thresholds: order.iter().map(|&i| thresholds[i]).collect(), order }
            }
        };
        Rule::of(buckets)
    }

    /// Creates the rule of a curve: thresholds between 0 and 1, and one beyond each end.
    pub fn of_curve(inner: Option<&[f64]>, count: usize) -> Self {
        let even = |inner: &[f64]| is_even(&[&[0.0], inner, &[1.0]].concat());
        Rule::of(match inner {
            Some(inner) if !even(inner) => {
                let mut thresholds = [&[-1e-7], inner, &[1.0 + 1e-7]].concat();
                thresholds.sort_by(f64::total_cmp);
                let order = (0..thresholds.len()).collect();
                Buckets::Sorted { thresholds, order }
            }
            Some(inner) => Buckets::Even { thresholds: inner.len() + 2, beyond: true },
            None => Buckets::Even { thresholds: count, beyond: true },
        })
    }

    fn of(buckets: Buckets) -> Self {
        Rule { buckets, top_k: None, class_id: None, multi_label: false, label_weights: Vec::new(), from_logits: false }
    }

    pub fn thresholds(&self) -> usize {
        match &self.buckets {
            Buckets::Single(_) => 1,
            Buckets::Even { thresholds, .. } => *thresholds,
            Buckets::Sorted { thresholds, .. } => thresholds.len(),
        }
    }

    /// Returns the bucket of a prediction. float32 predictions (`single`) are compared in float32, so that 0.3 isn't
    /// above a threshold of 0.3.
    #[inline]
    fn bucket(&self, prediction: f64, single: bool) -> usize {
        let above = |threshold: f64| {
            if single { prediction as f32 > threshold as f32 } else { prediction > threshold }
        };
        match &self.buckets {
            Buckets::Single(threshold) => usize::from(above(*threshold)),
            Buckets::Even { thresholds, beyond } => {
                let (within, parts) = (prediction.clamp(0.0, 1.0), *thresholds as f64 - 1.0);
                let bucket = if single {
                    (within as f32 * parts as f32).ceil() as usize
                } else {
                    (within * parts).ceil() as usize
                };
                bucket.max(usize::from(*beyond)).min(*thresholds)
            }
            Buckets::Sorted { thresholds, .. } => thresholds.partition_point(|&threshold| above(threshold)),
        }
    }

    /// Updates the counts with a batch.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit each other or the rule, or if a label is neither 0 nor 1.
    pub fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
        self.update_with(confusion, inputs, |_| ())
    }

    /// The same as [`update`](Self::update), and calls `visit` with each element that counts.
    ///
    /// # Errors
    /// Returns the errors of [`update`](Self::update).
    pub fn update_with(
        &self,
        confusion: &mut Confusion,
        inputs: &Inputs<'_>,
        mut visit: impl FnMut(&CountedElement),
    ) -> Result<()> {
        let y_pred = inputs.y_pred()?;
        let single = y_pred.as_slice::<f64>().is_none();
        let columns = match (y_pred.rank(), self.top_k) {
            (2.., _) => y_pred.rows_and_columns().1,
            // With `top_k`, a vector is one row.
            (_, Some(_)) => y_pred.len(),
            _ => 1,
        };
        self.check(inputs, columns)?;
        let per_label = self.thresholds() + 1;
        let labels = if self.multi_label { columns } else { 1 };
        if confusion.buckets.is_empty() {
            confusion.buckets.resize(labels * per_label, [0.0; 2]);
        } else if confusion.buckets.len() != labels * per_label {
            let labels = confusion.buckets.len() / per_label;
            return Err(Error::input(format!("y_pred has {columns} labels, and {labels} until now")));
        }
        if self.update_single(&mut confusion.buckets, inputs) {
            return Ok(());
        }
        inputs.check_labels([0.0, 1.0], self.class_id)?;
        let mut column = 0;
        let mut add = |y_true: f64, y_pred: f64, weight: f64| {
            let here = column;
            column = if here + 1 == columns { 0 } else { here + 1 };
            if weight == 0.0 || self.class_id.is_some_and(|class| class != here) {
                return;
            }
            let label = if self.multi_label { here } else { 0 };
            let buckets = &mut confusion.buckets[label * per_label..][..per_label];
            if y_pred.is_nan() {
                // Every count includes the first or the last bucket.
                (buckets[0], buckets[per_label - 1]) = ([f64::NAN; 2], [f64::NAN; 2]);
                return;
            }
            let prediction = if self.from_logits { 1.0 / (1.0 + (-y_pred).exp()) } else { y_pred };
            let weight = weight * self.label_weights.get(here).filter(|_| !self.multi_label).unwrap_or(&1.0);
            let (bucket, class) = (self.bucket(prediction, single), usize::from(y_true == 0.0));
            buckets[bucket][class] += weight;
            visit(&CountedElement { label, y_pred, bucket, class, weight });
        };
        let Some(k) = self.top_k else { return inputs.for_each(add) };
        let [mut labels, mut predictions, mut weights] = [(); 3].map(|()| Scratch::of_length(columns));
        let mut filled = 0;
        inputs.for_each(|y_true, y_pred, weight| {
            (labels[filled], predictions[filled], weights[filled]) = (y_true, y_pred, weight);
            filled += 1;
            if filled == columns {
                for (i, &y_pred) in predictions.iter().enumerate() {
                    // Ties are ordered by index.
                    let better = |(j, other): (usize, &f64)| *other > y_pred || *other == y_pred && j < i;
                    let among = predictions.iter().enumerate().filter(|other| better(*other)).count() < k;
                    add(labels[i], if among { y_pred } else { OUTSIDE_TOP_K }, weights[i]);
                }
                filled = 0;
            }
        })
    }

    fn check(&self, inputs: &Inputs<'_>, columns: usize) -> Result<()> {
        let shape = inputs.y_pred()?.shape();
        match self.class_id {
            Some(class) if shape.len() < 2 || class >= columns => {
                return Err(Error::input(format!("y_pred of shape {shape:?} has no class {class}")));
            }
            _ => {}
        }
        if self.multi_label && shape.len() != 2 {
            return Err(Error::input(format!("with multi_label y_pred has the shape [rows, labels], not {shape:?}")));
        }
        if !self.label_weights.is_empty() && self.label_weights.len() != columns {
            let weights = self.label_weights.len();
            return Err(Error::input(format!("y_pred of shape {shape:?} doesn't fit {weights} label_weights")));
        }
        Ok(())
    }

    /// Returns for each label the counts at each threshold, in the order of the configuration; empty before the first
    /// batch.
    pub fn counts(&self, confusion: &Confusion) -> Vec<Vec<Counts>> {
        let label = |buckets: &[[f64; 2]]| {
            let mut counts = vec![Counts::new(); self.thresholds()];
            let [mut positives, mut negatives] = [0.0; 2];
            // In descending order: elements above a threshold are those in the buckets after it.
            for i in (0..self.thresholds()).rev() {
                positives += buckets[i + 1][0];
                negatives += buckets[i + 1][1];
                (counts[i].true_positives, counts[i].false_positives) = (Plain(positives), Plain(negatives));
            }
            let [mut positives, mut negatives] = [0.0; 2];
            for i in 0..self.thresholds() {
                positives += buckets[i][0];
                negatives += buckets[i][1];
                (counts[i].false_negatives, counts[i].true_negatives) = (Plain(positives), Plain(negatives));
            }
            match &self.buckets {
                Buckets::Sorted { order, .. } => {
                    let mut asked = counts.clone();
                    order.iter().zip(counts).for_each(|(&place, count)| asked[place] = count);
                    asked
                }
                _ => counts,
            }
        };
        confusion.buckets.chunks_exact(self.thresholds() + 1).map(label).collect()
    }
}

/// Returns whether thresholds are evenly spaced, with Keras's tolerances: 1e-7 absolute plus 1e-5 relative.
fn is_even(thresholds: &[f64]) -> bool {
    let last = thresholds.len() as f64 - 1.0;
    let even = |(i, threshold): (usize, &f64)| {
        let expected = i as f64 / last;
        (threshold - expected).abs() <= 1e-7 + 1e-5 * expected
    };
    thresholds.len() >= 3 && thresholds.iter().enumerate().all(even)
}

impl Confusion {
    /// Returns whether all weights are 0.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| *bucket == [0.0; 2])
    }

    /// Adds the counts of `other`.
    ///
    /// # Errors
    /// Returns an error if the numbers of labels differ.
    pub fn merge(&mut self, other: &Confusion) -> Result<()> {
        merge_each(&mut self.buckets, &other.buckets, "labels", |bucket, other| {
            bucket[0] += other[0];
            bucket[1] += other[1];
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Tensor;

    fn counts(rule: &Rule, y_true: &[f32], y_pred: &[f32]) -> Vec<[f64; 4]> {
        let shape = [y_true.len() as i64];
        let tensors = [("y_true", Tensor::new(y_true, &shape)), ("y_pred", Tensor::new(y_pred, &shape))];
        let mut confusion = Confusion::default();
        rule.update(&mut confusion, &Inputs::new(&tensors, None, None)).unwrap();
        let of = |c: &Counts| [c.true_positives, c.false_positives, c.true_negatives, c.false_negatives];
        rule.counts(&confusion)[0].iter().map(|counts| of(counts).map(|count| count.0)).collect()
    }

    #[test]
    fn a_nan_prediction_makes_every_count_nan() {
        for rule in [Rule::new(&[0.5]), Rule::new(&[0.2, 0.6]), Rule::of_curve(None, 5)] {
            let counts = counts(&rule, &[1.0, 0.0, 1.0], &[0.9, f32::NAN, 0.1]);
            assert!(counts.as_flattened().iter().all(|count| count.is_nan()), "{counts:?}");
        }
    }

    #[test]
    fn a_prediction_on_a_threshold_is_not_above_it() {
        let rule = Rule::new(&[0.3]);
        assert_eq!(counts(&rule, &[1.0, 1.0, 0.0], &[0.3, 0.31, 0.1]), [[1.0, 0.0, 1.0, 1.0]]);
    }

    #[test]
    fn results_have_the_order_of_the_thresholds() {
        let (y_true, y_pred) = ([1.0, 0.0, 1.0, 0.0], [0.9, 0.5, 0.3, 0.1]);
        let rising = counts(&Rule::new(&[0.2, 0.6]), &y_true, &y_pred);
        let falling = counts(&Rule::new(&[0.6, 0.2]), &y_true, &y_pred);
        assert_eq!(rising, [[2.0, 1.0, 1.0, 0.0], [1.0, 0.0, 2.0, 1.0]]);
        assert_eq!(falling, [rising[1], rising[0]]);
    }

    #[test]
    fn even_thresholds_equal_single_thresholds() {
        let (y_true, y_pred) = ([1.0, 0.0, 1.0, 0.0, 1.0], [0.9, 0.5, 0.3, 0.1, 0.75]);
        let all = counts(&Rule::new(&[0.0, 0.25, 0.5, 0.75, 1.0]), &y_true, &y_pred);
        for (threshold, together) in [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().zip(all) {
            assert_eq!(counts(&Rule::new(&[threshold]), &y_true, &y_pred), [together], "{threshold}");
        }
    }
}
