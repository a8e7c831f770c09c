//! The area under a ROC or precision-recall curve.

use super::{
    confusion::{Confusion, Counts, Rule},
    confusion_formula::{counts_above, counts_below},
    ratio,
    saturated::Saturated,
};
use plugfit_api::{
    formula::{Formula, Traced},
    prelude::*,
};
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
        if positives.0.is_nan() || negatives.0.is_nan() {
            return Some(f64::NAN);
        }
        if positives.0 == 0.0 || negatives.0 == 0.0 && self.curve != Curve::Pr {
            return None;
        }
        let parts = counts.windows(2).map(|pair| self.area_between([&pair[0], &pair[1]], [positives, negatives]).0);
        Some(parts.sum())
    }

    /// Returns the area between a threshold and the next higher one.
    fn area_between<R: Real>(&self, [low, high]: [&Counts<R>; 2], [positives, negatives]: [R; 2]) -> R {
        if self.curve == Curve::Pr && self.summation_method == Summation::Interpolation {
            return precision_recall_area(low, high);
        }
        let point = |counts: &Counts<R>| {
            let recall = ratio(counts.true_positives, counts.true_positives + counts.false_negatives);
            match self.curve {
                Curve::Roc => (ratio(counts.false_positives, negatives), recall),
                Curve::Pr => (recall, ratio(counts.true_positives, counts.true_positives + counts.false_positives)),
                Curve::PrGain => {
                    let (zero, one) = (R::from(0.0), R::from(1.0));
                    let has_none = counts.true_positives.eq(zero);
                    let gain = |wrong: R| one - positives / negatives * wrong / counts.true_positives;
                    let recall_gain = R::select(has_none, zero, gain(counts.false_negatives).max(zero));
                    (recall_gain, R::select(has_none, one, gain(counts.false_positives)))
                }
            }
        };
        let ((x, y), (next_x, next_y)) = (point(low), point(high));
        let height = match self.summation_method {
            Summation::Interpolation => (y + next_y) / 2.0,
            Summation::Minoring => y.min(next_y),
            Summation::Majoring => y.max(next_y),
        };
        (x - next_x) * height
    }

    /// Returns the result of the bins of each label.
    fn recorded_result(&self, sums: Sums<'_, Traced, 2>, thresholds: usize) -> SumResult<Traced> {
        let (zero, one): (Traced, Traced) = (Real::from(0.0), Real::from(1.0));
        let [positives, negatives] = sums.totals();
        let area = sums.sum_around(|bin| {
            // The thresholds below and above a bin; the first and the last bin have one of them only.
            let is_between = bin.index.ge(one) & bin.index.lt(Real::from(thresholds as f64));
            let area = self.area_between([&counts_below(&bin), &counts_above(&bin)], [positives, negatives]);
            Traced::select(is_between, area, zero)
        });
        let total = positives + negatives;
        let area = Traced::select(total.eq(total), area, total);
        let is_empty = match self.curve {
            Curve::Pr => positives.eq(zero),
            Curve::Roc | Curve::PrGain => positives.eq(zero) | negatives.eq(zero),
        };
        let area = match self.multi_label {
            false => area,
            true => area.batch_sum() / Traced::select(total.eq(total), one, one).batch_sum(),
        };
        SumResult::from(area).undefined_if(is_empty & total.eq(total))
    }
}

/// Returns the area under the precision-recall curve between two thresholds. Between them, true positives
/// grow in proportion to predicted positives.
fn precision_recall_area<R: Real>(low: &Counts<R>, high: &Counts<R>) -> R {
    let predicted = |counts: &Counts<R>| counts.true_positives + counts.false_positives;
    let more = low.true_positives - high.true_positives;
    let derivative = ratio(more, (predicted(low) - predicted(high)).max(R::from(0.0)));
    let intercept = high.true_positives - derivative * predicted(high);
    let (zero, one) = (R::from(0.0), R::from(1.0));
    let grows = predicted(low).gt(zero) & predicted(high).gt(zero);
    let growth = R::select(grows, predicted(low) / predicted(high), one);
    ratio(derivative * (more + intercept * growth.ln()), high.true_positives + high.false_negatives)
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
    with_state!(Curves, Maximize, vectors);
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
    fn formula(&self) -> Result<Formula> {
        if self.from_logits {
            return Err(Error::unsupported("with from_logits its state has a sum for each large logit"));
        }
        if self.multi_label && self.label_weights.is_some() {
            return Err(Error::unsupported("with multi_label it has no weights of labels"));
        }
        self.rule().formula_of_bins(|sums, thresholds| self.recorded_result(sums, thresholds))
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
