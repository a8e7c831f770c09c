//! Counts of true and false positives and negatives at thresholds, and precision and recall.

use super::{
    confusion::{Confusion, Counts, OUTSIDE_TOP_K, Rule, Thresholds},
    confusion_formula::Of,
    share,
};
use plugfit_api::{Plain, formula::Formula, prelude::*};
use std::sync::OnceLock;

/// Returns one number for each threshold, or a scalar for a single threshold.
fn per_threshold(counts: &[Vec<Counts>], of: impl Fn(&Counts) -> Plain<f64>) -> Outcome {
    match counts.first().map(Vec::as_slice) {
        None => Outcome::Undefined,
        Some([single]) => Outcome::Scalar(of(single).0),
        Some(several) => Outcome::row(several.iter().map(|counts| of(counts).0).collect()),
    }
}

macro_rules! ratio_metric {
    ($(#[$doc:meta])* $name:ident, $others:ident) => {
        #[derive(Clone, Debug, Config)]
        $(#[$doc])*
        #[config(base(name = None), check = Self::check)]
        pub struct $name {
            /// Predictions above it are positive; a list yields one result for each. Null: 0.5, or none with `top_k`.
            thresholds: Option<Thresholds>,
            /// Only the `top_k` greatest predictions of a row can be positive; null: all.
            #[config(range = 1..)]
            top_k: Option<u64>,
            /// The only column that counts; null: all.
            class_id: Option<u64>,
            #[config(skip)]
            rule: OnceLock<Rule>,
        }

        impl $name {
            fn check(&self) -> Result<()> {
                self.thresholds.as_ref().map_or(Ok(()), Thresholds::check)
            }

            fn rule(&self) -> &Rule {
                self.rule.get_or_init(|| {
                    let default = [if self.top_k.is_some() { OUTSIDE_TOP_K } else { 0.5 }];
                    let thresholds = self.thresholds.as_ref().map_or(&default[..], Thresholds::as_slice);
                    let [top_k, class_id] = [self.top_k, self.class_id].map(|index| index.map(|index| index as usize));
                    Rule { top_k, class_id, ..Rule::new(thresholds) }
                })
            }

            fn share<R: Real>(counts: &Counts<R>) -> R {
                share(counts.true_positives, counts.$others)
            }
        }

        impl Metric for $name {
            with_state!(Confusion, Maximize);
            fn can_split(&self, rank: usize) -> bool {
                // With `top_k`, a vector is one row.
                rank > 1 || self.top_k.is_none()
            }
            fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
                self.rule().update(confusion, inputs)
            }
            fn result(&self, confusion: &Confusion) -> Result<Outcome> {
                if confusion.is_empty() {
                    return Ok(Outcome::Undefined);
                }
                Ok(per_threshold(&self.rule().counts(confusion), |counts| Self::share(counts)))
            }
            fn formula(&self) -> Result<Formula> {
                self.rule().formula(Of::EachOfSome, |counts| Self::share(&counts))
            }
        }
    };
}

ratio_metric! {
    /// Precision: `TP / (TP + FP)`, the share of predicted positives that are positive.
    #[config(examples = super::examples::PRECISION)]
    Precision, false_positives
}
ratio_metric! {
    /// Recall: `TP / (TP + FN)`, the share of positives that are predicted positive.
    #[config(examples = super::examples::RECALL)]
    Recall, false_negatives
}

macro_rules! count_metric {
    ($(#[$doc:meta])* $name:ident, $of:ident, $direction:ident) => {
        #[derive(Clone, Debug, Config)]
        $(#[$doc])*
        #[config(base(name = None), check = Self::check)]
        pub struct $name {
            /// Predictions above the threshold are positive; a list yields one result for each. Null: 0.5.
            thresholds: Option<Thresholds>,
            #[config(skip)]
            rule: OnceLock<Rule>,
        }

        impl $name {
            fn check(&self) -> Result<()> {
                self.thresholds.as_ref().map_or(Ok(()), Thresholds::check)
            }

            fn rule(&self) -> &Rule {
                self.rule.get_or_init(|| Rule::new(self.thresholds.as_ref().map_or(&[0.5][..], Thresholds::as_slice)))
            }
        }

        impl Metric for $name {
            with_state!(Confusion, $direction, vectors);
            fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
                self.rule().update(confusion, inputs)
            }
            fn result(&self, confusion: &Confusion) -> Result<Outcome> {
                let mut counts = self.rule().counts(confusion);
                if counts.is_empty() {
                    let thresholds = self.thresholds.as_ref().map_or(1, |thresholds| thresholds.as_slice().len());
                    counts.push(vec![Counts::new(); thresholds]);
                }
                Ok(per_threshold(&counts, |counts| counts.$of))
            }
            fn formula(&self) -> Result<Formula> {
                self.rule().formula(Of::Each, |counts| counts.$of)
            }
        }
    };
}

count_metric! {
    /// The total weight of positive elements that are predicted positive.
    #[config(examples = super::examples::TRUE_POSITIVES)]
    TruePositives, true_positives, Maximize
}
count_metric! {
    /// The total weight of negative elements that are predicted negative.
    #[config(examples = super::examples::TRUE_NEGATIVES)]
    TrueNegatives, true_negatives, Maximize
}
count_metric! {
    /// The total weight of negative elements that are predicted positive.
    #[config(examples = super::examples::FALSE_POSITIVES)]
    FalsePositives, false_positives, Minimize
}
count_metric! {
    /// The total weight of positive elements that are predicted negative.
    #[config(examples = super::examples::FALSE_NEGATIVES)]
    FalseNegatives, false_negatives, Minimize
}
