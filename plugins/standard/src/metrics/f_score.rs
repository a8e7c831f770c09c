//! F-scores, harmonic means of precision and recall.
//!
//! A label other than 0 or 1 is an error. A NaN prediction makes the score of its class NaN. Without a threshold it
//! makes the scores of all classes NaN, because the greatest of its row is undefined.

use super::{accuracy::unless_nan, merge_each, one_if, ratio, single_pairs::SinglePairs};
use plugfit_api::{
    Plain, Scratch,
    formula::{Formula, Traced},
    prelude::*,
    simd::{Kernel, dispatch},
};

/// How the scores of the classes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Average {
    /// The score of the summed counts of all classes.
    Micro,
    /// The mean of the scores.
    Macro,
    /// The mean of the scores, weighted by the frequency of each class in the labels.
    Weighted,
}

/// F-score: `(1 + beta²) precision recall / (beta² precision + recall)` for each column of `y_pred`.
/// van Rijsbergen 1979.
#[derive(Clone, Debug, Config)]
#[config(aliases("fbeta_score"), base(name = "fbeta_score"))]
#[config(examples = super::examples::F_BETA_SCORE)]
pub struct FBetaScore {
    /// How the scores of the classes are averaged; null: one score for each class.
    average: Option<Average>,
    /// The weight of recall relative to precision.
    #[config(default = 1.0, above = 0.0)]
    beta: f64,
    /// Predictions above the threshold are positive; null: the greatest prediction of each row is positive.
    #[config(above = 0.0, range = ..=1.0)]
    threshold: Option<f64>,
}

/// F1 score: the harmonic mean of precision and recall, the F-score with `beta` 1.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::F1_SCORE)]
pub struct F1Score {
    /// How the scores of the classes are averaged; null: one score for each class.
    average: Option<Average>,
    /// Predictions above the threshold are positive; null: the greatest prediction of each row is positive.
    #[config(above = 0.0, range = ..=1.0)]
    threshold: Option<f64>,
}

/// The weights of true positives, false positives, false negatives and positive labels of each class; initially empty.
#[state]
#[derive(Default)]
pub struct Classes {
    counts: Vec<[f64; 4]>,
}

/// Adds a batch of float32 numbers without weights. Returns `false`, and adds nothing, if a label is neither 0 nor 1 or a
/// prediction is NaN.
struct Batch<'a, 'c> {
    pairs: SinglePairs<'a>,
    threshold: Option<f64>,
    counts: &'c mut [[f64; 4]],
}

impl Kernel for Batch<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Batch { pairs: SinglePairs { y_true, y_pred }, threshold, counts } = self;
        let classes = counts.len();
        if let [counts] = counts {
            // Without a threshold, the only prediction of a row is its greatest.
            let (least, nonzero) = match threshold {
                Some(threshold) => (above(threshold as f32), false),
                None => (f32::NEG_INFINITY, true),
            };
            return add_column(counts, SinglePairs { y_true, y_pred }, least, nonzero);
        }
        // True positives, predicted positives and labels of each class, in 32 bits.
        let mut scratch = Scratch::<u32>::of_length(3 * classes);
        scratch.fill(0);
        let (hits, others) = scratch.split_at_mut(classes);
        let (predicted, labels) = others.split_at_mut(classes);
        for (y_true, y_pred) in y_true.chunks_exact(classes).zip(y_pred.chunks_exact(classes)) {
            let mut are_valid = true;
            for (y, p) in y_true.iter().zip(y_pred) {
                are_valid &= ((*y == 0.0) | (*y == 1.0)) & !p.is_nan();
            }
            if !are_valid {
                return false;
            }
            let (least, nonzero) = match threshold {
                Some(threshold) => (above(threshold as f32), false),
                None => (Row::new(Plain::slice(y_pred)).max(|p| p).0, true),
            };
            for i in 0..classes {
                let positive = u32::from(is_positive(y_pred[i], least, nonzero));
                let label = u32::from(y_true[i] != 0.0);
                hits[i] += positive & label;
                predicted[i] += positive;
                labels[i] += label;
            }
        }
        for (i, counts) in counts.iter_mut().enumerate() {
            add_counts(counts, [hits[i], predicted[i], labels[i]]);
        }
        true
    }
}

/// Whether a prediction is positive: at least `least`, and with `nonzero` not 0.
#[inline(always)]
fn is_positive(p: f32, least: f32, nonzero: bool) -> bool {
    (p >= least) & (!nonzero | (p.abs() > 1e-9))
}

/// Adds true positives, predicted positives and labels to the counts of a class.
#[inline(always)]
fn add_counts(counts: &mut [f64; 4], [hits, predicted, labels]: [u32; 3]) {
    let new = [hits, predicted - hits, labels - hits, labels].map(f64::from);
    counts.iter_mut().zip(new).for_each(|(count, new)| *count += new);
}

/// Adds a batch of one class. Returns `false`, and adds nothing, if it is invalid.
#[inline(always)]
fn add_column(counts: &mut [f64; 4], pairs: SinglePairs<'_>, least: f32, nonzero: bool) -> bool {
    let mut sums = [0u32; 3];
    let mut are_valid = true;
    for (y, p) in pairs.y_true.iter().zip(pairs.y_pred) {
        are_valid &= ((*y == 0.0) | (*y == 1.0)) & !p.is_nan();
        let (positive, label) = (u32::from(is_positive(*p, least, nonzero)), u32::from(*y != 0.0));
        sums = [sums[0] + (positive & label), sums[1] + positive, sums[2] + label];
    }
    if are_valid {
        add_counts(counts, sums);
    }
    are_valid
}

/// Returns the least float32 above a threshold.
#[inline(always)]
fn above(threshold: f32) -> f32 {
    threshold.next_up()
}

impl Classes {
    fn update(&mut self, threshold: Option<f64>, inputs: &Inputs<'_>) -> Result<()> {
        let [y_true, y_pred] = [inputs.y_true()?.shape(), inputs.y_pred()?.shape()];
        if y_true.len() != 2 || y_pred.len() != 2 {
            return Err(Error::input(format!(
                "F-scores need [rows, classes], not y_true {y_true:?} and y_pred {y_pred:?}"
            )));
        }
        let classes = y_pred[1] as usize;
        if self.counts.is_empty() {
            self.counts.resize(classes, [0.0; 4]);
        }
        if self.counts.len() != classes {
            return Err(Error::input(format!("y_pred has {classes} classes, and {} until now", self.counts.len())));
        }
        if let Some(pairs) = SinglePairs::new(inputs)
            && classes > 0
            && dispatch(Batch { pairs, threshold, counts: &mut self.counts })
        {
            return Ok(());
        }
        inputs.check_labels([0.0, 1.0], None)?;
        // A weight for each class of each row, as in Keras 3.16, or else one weight for each row.
        let each = inputs.weight().filter(|weight| weight.shape() == y_pred && y_true == y_pred && classes > 1);
        let tensors = [("y_true", inputs.y_true()?), ("y_pred", inputs.y_pred()?)];
        let inputs = Inputs::new(&tensors, inputs.weight().filter(|_| each.is_none()), None);
        let mut first = 0;
        inputs.for_each_row(|y_true, y_pred, row_weight| {
            let weight = |i: usize| each.map_or(row_weight, |weight| weight.get_f64(first + i));
            // NaN if any prediction of the row with weight is NaN.
            let mut greatest = f64::NEG_INFINITY;
            for (i, &p) in y_pred.iter().enumerate() {
                if p > greatest || p.is_nan() && weight(i) != 0.0 {
                    greatest = p;
                }
            }
            for (i, ((counts, &t), &p)) in self.counts.iter_mut().zip(y_true).zip(y_pred).enumerate() {
                let weight = weight(i);
                if weight == 0.0 {
                    continue;
                }
                let undefined = if threshold.is_some() { p.is_nan() } else { greatest.is_nan() };
                if undefined {
                    *counts = [f64::NAN; 4];
                    continue;
                }
                let positive = match threshold {
                    Some(threshold) => p as f32 > threshold as f32,
                    // All predictions equal to the greatest, except zeros.
                    None => p >= greatest && p.abs() > 1e-9,
                };
                let p = f64::from(u8::from(positive));
                let new = [p * t, p * (1.0 - t), (1.0 - p) * t, t];
                counts.iter_mut().zip(new).for_each(|(count, new)| *count += weight * new);
            }
            first += classes;
        })
    }

    fn merge(&mut self, other: &Classes) -> Result<()> {
        merge_each(&mut self.counts, &other.counts, "classes", |counts, other| {
            counts.iter_mut().zip(other).for_each(|(count, other)| *count += other);
        })
    }

    fn result(&self, average: Option<Average>, beta: f64) -> Outcome {
        if self.counts.iter().flatten().all(|count| *count == 0.0) {
            return Outcome::Undefined;
        }
        let score = |counts: &[f64; 4]| score(beta, counts.map(Plain)).0;
        let scores = self.counts.iter().map(score);
        match average {
            None => Outcome::row(scores.collect()),
            Some(Average::Micro) => {
                let add = |a: [f64; 4], b: &[f64; 4]| std::array::from_fn(|i| a[i] + b[i]);
                Outcome::Scalar(score(&self.counts.iter().fold([0.0; 4], add)))
            }
            Some(Average::Macro) => Outcome::Scalar(scores.sum::<f64>() / self.counts.len() as f64),
            Some(Average::Weighted) => {
                let all: f64 = self.counts.iter().map(|counts| counts[3]).sum();
                let sum: f64 = scores.zip(&self.counts).map(|(score, counts)| score * counts[3]).sum();
                Outcome::Scalar(ratio(Plain(sum), Plain(all)).0)
            }
        }
    }
}

/// Returns the score of true positives, false positives, false negatives and positive labels.
fn score<R: Real>(beta: f64, [tp, fp, fn_, _]: [R; 4]) -> R {
    let (precision, recall) = (ratio(tp, tp + fp), ratio(tp, tp + fn_));
    ratio(precision * recall * (1.0 + beta * beta), precision * (beta * beta) + recall)
}

/// Records the formula of the scores.
fn formula(threshold: Option<f64>, average: Option<Average>, beta: f64) -> Result<Formula> {
    Formula::of_sums(
        ["true_positives", "false_positives", "false_negatives", "labels"],
        &SumLayout { by_column: true, ..SumLayout::new(Each::Row) },
        |y_true, y_pred| {
            let (zero, one, nan): (Traced, Traced, Traced) = (Real::from(0.0), Real::from(1.0), Real::from(f64::NAN));
            let (t, p, greatest) = (y_true.single(), y_pred.single(), y_pred.max(|p| p));
            let (is_positive, is_defined) = match threshold {
                Some(threshold) => (p.gt(Real::from(threshold.max((threshold as f32).into()))), p.eq(p)),
                None => (p.ge(greatest) & p.abs().gt(Real::from(1e-9)), greatest.eq(greatest)),
            };
            let p = Traced::select(is_defined & (t.eq(zero) | t.eq(one)), one_if::<Traced>(is_positive), nan);
            // A number that is NaN for a prediction of NaN.
            let t = unless_nan(p, t);
            [p * t, p * (one - t), (one - p) * t, t].map(Term::from)
        },
        |sums| {
            let score = |counts| score(beta, counts);
            let result = match average {
                None => sums.each(score),
                Some(Average::Micro) => score(sums.totals()).into(),
                Some(Average::Macro) => (sums.sum(score) / sums.count()).into(),
                Some(Average::Weighted) => ratio(sums.sum(|counts| score(counts) * counts[3]), sums.totals()[3]).into(),
            };
            let none = sums.totals().map(|total| total.eq(Real::from(0.0)));
            result.undefined_if(none[0] & none[1] & none[2] & none[3])
        },
    )
}

macro_rules! score {
    ($name:ident, $self:ident => $beta:expr) => {
        impl Metric for $name {
            with_state!(Classes, Maximize);
            fn update(&self, classes: &mut Classes, inputs: &Inputs<'_>) -> Result<()> {
                classes.update(self.threshold, inputs)
            }
            fn result(&$self, classes: &Classes) -> Result<Outcome> {
                Ok(classes.result($self.average, $beta))
            }
            fn formula(&$self) -> Result<Formula> {
                formula($self.threshold, $self.average, $beta)
            }
        }
    };
}
score!(FBetaScore, self => self.beta);
score!(F1Score, self => 1.0);
