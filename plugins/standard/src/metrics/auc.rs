//! The area under a ROC or precision-recall curve.

use super::{
    confusion::{Confusion, Counts, Rule},
    saturated::Saturated,
};
use plugfit_api::prelude::*;
use std::sync::OnceLock;

/// The area under the ROC curve or the precision-recall curve, from counts at thresholds.
/// It is undefined if the curve needs a class that is missing; Keras returns 0. With `from_logits`, logits beyond -16
/// and 16 are distinguished, although their float32 probabilities are all 0 or 1.
#[derive(Clone, Debug, Config)]
#[config(name = "AUC", aliases("auc"), base(name = None), check = Self::check)]
#[config(examples = super::examples::AUC)]
pub struct Auc {
    /// The number of evenly spaced thresholds from 0 to 1.
    #[config(default = 200, range = 2..=10000000)]
    num_thresholds: u64,
    /// The curve.
    #[config(default = "ROC")]
    curve: Curve,
    /// How heights between two thresholds are computed.
    #[config(default = "interpolation")]
    summation_method: Summation,
    /// The thresholds between 0 and 1, instead of `num_thresholds` evenly spaced ones.
    thresholds: Option<Vec<f64>>,
    /// Whether each column of `y_pred` has a separate curve; the result is the mean of the areas.
    #[config(default = false)]
    multi_label: bool,
    /// The number of columns if `multi_label` is true; null: that of the first batch.
    num_labels: Option<u64>,
    /// A weight for each column; null: equal weights.
    label_weights: Option<Vec<f64>>,
    /// Whether `y_pred` contains logits instead of probabilities.
    #[config(default = false)]
    from_logits: bool,
    #[config(skip)]
    rule: OnceLock<Rule>,
}

/// The kind of curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Curve {
    /// The true-positive rate against the false-positive rate.
    #[choice("ROC")]
    Roc,
    /// Precision against recall, interpolated non-linearly between thresholds. Davis & Goadrich 2006.
    #[choice("PR")]
    Pr,
    /// Precision gain against recall gain. Flach & Kull 2015.
    #[choice("PRGAIN")]
    PrGain,
}

/// How heights between two thresholds are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Summation {
    /// The mean of the heights at both thresholds.
    #[choice("interpolation")]
    Interpolation,
    /// The lower of the two heights.
    #[choice("minoring")]
    Minoring,
    /// The higher of the two heights.
    #[choice("majoring")]
    Majoring,
}

impl Auc {
    fn check(&self) -> Result<()> {
        if self.thresholds.iter().flatten().any(|threshold| !(0.0..=1.0).contains(threshold)) {
            return Err(Error::config("thresholds", "must be between 0 and 1"));
        }
        if self.num_labels.is_some_and(|labels| labels > 0) && !self.multi_label {
            return Err(Error::config("num_labels", "is needed only where multi_label is true"));
        }
        Ok(())
    }

    fn rule(&self) -> &Rule {
        self.rule.get_or_init(|| Rule {
            multi_label: self.multi_label,
            label_weights: self.label_weights.clone().unwrap_or_default(),
            from_logits: self.from_logits,
            ..Rule::of_curve(self.thresholds.as_deref(), self.num_thresholds as usize)
        })
    }

    /// Returns the area under the curve of one label, or `None` if it is undefined.
    fn area(&self, counts: &[Counts]) -> Option<f64> {
        let first = counts.first()?;
        let positives = first.true_positives + first.false_negatives;
        let negatives = first.false_positives + first.true_negatives;
        if positives.is_nan() || negatives.is_nan() {
            return Some(f64::NAN);
        }
        if positives == 0.0 || negatives == 0.0 && self.curve != Curve::Pr {
            return None;
        }
        if self.curve == Curve::Pr && self.summation_method == Summation::Interpolation {
            return Some(counts.windows(2).map(|pair| precision_recall_area(&pair[0], &pair[1])).sum());
        }
        let point = |counts: &Counts| {
            let recall = ratio(counts.true_positives, counts.true_positives + counts.false_negatives);
            match self.curve {
                Curve::Roc => (ratio(counts.false_positives, negatives), recall),
                Curve::Pr => (recall, ratio(counts.true_positives, counts.true_positives + counts.false_positives)),
                Curve::PrGain if counts.true_positives == 0.0 => (0.0, 1.0),
                Curve::PrGain => {
                    let gain = |wrong: f64| 1.0 - positives / negatives * wrong / counts.true_positives;
                    (gain(counts.false_negatives).max(0.0), gain(counts.false_positives))
                }
            }
        };
        let parts = counts.windows(2).map(|pair| {
            let ((x, y), (next_x, next_y)) = (point(&pair[0]), point(&pair[1]));
            let height = match self.summation_method {
                Summation::Interpolation => (y + next_y) / 2.0,
                Summation::Minoring => y.min(next_y),
                Summation::Majoring => y.max(next_y),
            };
            (x - next_x) * height
        });
        Some(parts.sum())
    }
}

/// Returns the area under the precision-recall curve between two thresholds. Between them, true positives
/// grow in proportion to predicted positives.
fn precision_recall_area(low: &Counts, high: &Counts) -> f64 {
    let predicted = |counts: &Counts| counts.true_positives + counts.false_positives;
    let more = low.true_positives - high.true_positives;
    let derivative = ratio(more, (predicted(low) - predicted(high)).max(0.0));
    let intercept = high.true_positives - derivative * predicted(high);
    let growth = if predicted(low) > 0.0 && predicted(high) > 0.0 { predicted(low) / predicted(high) } else { 1.0 };
    ratio(derivative * (more + intercept * growth.ln()), high.true_positives + high.false_negatives)
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// The counts of each label's curve.
#[state]
#[derive(Default)]
pub struct Curves {
    confusion: Confusion,
    /// The saturated logits of each label; empty if there are none.
    saturated: Vec<Saturated>,
}

impl Curves {
    fn merge(&mut self, other: &Curves) -> Result<()> {
        self.confusion.merge(&other.confusion)?;
        if self.saturated.len() < other.saturated.len() {
            self.saturated.resize(other.saturated.len(), Saturated::default());
        }
        self.saturated.iter_mut().zip(&other.saturated).for_each(|(saturated, other)| saturated.merge(other));
        Ok(())
    }
}

impl Metric for Auc {
    with_state!(Curves, Maximize);
    const STATE_VERSION: u32 = 2;
    fn update(&self, curves: &mut Curves, inputs: &Inputs<'_>) -> Result<()> {
        let columns = inputs.y_pred()?.shape().last();
        if let (Some(labels @ 1..), Some(&columns)) = (self.num_labels, columns)
            && columns != labels as i64
        {
            return Err(Error::input(format!("y_pred has {columns} columns, not the {labels} of num_labels")));
        }
        let (rule, saturated) = (self.rule(), &mut curves.saturated);
        if !self.from_logits {
            return rule.update(&mut curves.confusion, inputs);
        }
        rule.update_with(&mut curves.confusion, inputs, |element| {
            if Saturated::holds(element, rule.thresholds()) {
                if saturated.len() <= element.label {
                    saturated.resize(element.label + 1, Saturated::default());
                }
                saturated[element.label].add(element);
            }
        })
    }
    fn result(&self, curves: &Curves) -> Result<Outcome> {
        let mut labels = self.rule().counts(&curves.confusion);
        labels.iter_mut().zip(&curves.saturated).for_each(|(counts, saturated)| saturated.refine(counts));
        let Some(areas) = labels.iter().map(|counts| self.area(counts)).collect::<Option<Vec<f64>>>() else {
            return Ok(Outcome::Undefined);
        };
        let weights = match &self.label_weights {
            Some(weights) if self.multi_label => weights.clone(),
            _ => vec![1.0; areas.len()],
        };
        Ok(Outcome::ratio(areas.iter().zip(&weights).map(|(area, weight)| area * weight).sum(), weights.iter().sum()))
    }
}
