//! Counts of true and false positives and negatives at thresholds, and precision and recall.

use super::confusion::{Confusion, Counts, LEAST, Rule, Thresholds};
use plugfit_api::prelude::*;
use std::sync::OnceLock;

/// Returns one number for each threshold, or a scalar for a single threshold.
fn per_threshold(counts: &[Vec<Counts>], of: impl Fn(&Counts) -> f64) -> Outcome {
    match counts.first().map(Vec::as_slice) {
        None => Outcome::Undefined,
        Some([single]) => Outcome::Scalar(of(single)),
        Some(several) => Outcome::row(several.iter().map(of).collect()),
    }
}

/// Returns `part / (part + rest)`, or 0 if both are 0, as in Keras.
fn share(part: f64, rest: f64) -> f64 {
    if part + rest == 0.0 { 0.0 } else { part / (part + rest) }
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
                    let default = [if self.top_k.is_some() { LEAST } else { 0.5 }];
                    let thresholds = self.thresholds.as_ref().map_or(&default[..], Thresholds::as_slice);
                    let [top_k, class_id] = [self.top_k, self.class_id].map(|index| index.map(|index| index as usize));
                    Rule { top_k, class_id, ..Rule::new(thresholds) }
                })
            }
        }

        impl Metric for $name {
            type State = Confusion;
            fn info(&self) -> MetricInfo {
                MetricInfo::new(Direction::Maximize)
            }
            fn init(&self) -> Confusion {
                Confusion::default()
            }
            fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
                self.rule().update(confusion, inputs)
            }
            fn merge(&self, confusion: &mut Confusion, other: &Confusion) -> Result<()> {
                self.rule().merge(confusion, other)
            }
            fn result(&self, confusion: &Confusion) -> Result<Outcome> {
                if confusion.is_empty() {
                    return Ok(Outcome::Undefined);
                }
                let of = |counts: &Counts| share(counts.true_positives, counts.$others);
                Ok(per_threshold(&self.rule().counts(confusion), of))
            }
        }
    };
}

ratio_metric! {
    /// Precision: `TP / (TP + FP)`, the share of predicted positives that are positive.
    #[config(example = r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"top_k": 1}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#)]
    #[config(example = r#"{"config": {"class_id": 1, "thresholds": 0.4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "gives": 1}"#)]
    #[config(example = r#"{"config": {"top_k": 2, "thresholds": 0.4}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.2142857}"#)]
    #[config(example = r#"{"config": {"thresholds": [0.5, 0.99]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0.7619048, 0]}"#)]
    #[config(example = r#"{"batches": [{"y_true": [0, 1, 1], "y_pred": [0.6, 0.9, 0.4]}, {"y_true": [1, 0], "y_pred": [0.8, 0.6], "sample_weight": [1, 4]}], "gives": 0.2857143}"#)]
    #[config(example = r#"{"config": {"top_k": 2, "class_id": 1}, "y_true": [[0, 1, 1], [1, 1, 0]], "y_pred": [[0.5, 0.3, 0.4], [0.3, 0.6, 0.6]], "gives": 1}"#)]
    #[config(example = r#"{"y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"thresholds": 1.5}, "refused": "thresholds"}"#)]
    Precision, false_positives
}
ratio_metric! {
    /// Recall: `TP / (TP + FN)`, the share of positives that are predicted positive.
    #[config(example = r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"top_k": 2, "class_id": 0}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#)]
    #[config(example = r#"{"config": {"top_k": 1}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0}"#)]
    #[config(example = r#"{"config": {"thresholds": [0.5, 0.25], "class_id": 1}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "sample_weight": [1, 2, 0.5], "gives": [0.6666667, 0.6666667]}"#)]
    #[config(example = r#"{"batches": [{"y_true": [0, 1, 1], "y_pred": [0.6, 0.9, 0.4]}, {"y_true": [1, 0], "y_pred": [0.8, 0.6], "sample_weight": [1, 4]}], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"top_k": 2, "class_id": 2, "thresholds": 0.55}, "y_true": [[0, 1, 1], [1, 1, 1]], "y_pred": [[0.5, 0.3, 0.4], [0.3, 0.6, 0.6]], "gives": 0.5}"#)]
    #[config(example = r#"{"y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0.5}"#)]
    #[config(example = r#"{"y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"thresholds": [0.5, -0.5]}, "refused": "thresholds"}"#)]
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
            type State = Confusion;
            fn info(&self) -> MetricInfo {
                MetricInfo::new(Direction::$direction)
            }
            fn init(&self) -> Confusion {
                Confusion::default()
            }
            fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
                self.rule().update(confusion, inputs)
            }
            fn merge(&self, confusion: &mut Confusion, other: &Confusion) -> Result<()> {
                self.rule().merge(confusion, other)
            }
            fn result(&self, confusion: &Confusion) -> Result<Outcome> {
                let mut counts = self.rule().counts(confusion);
                if counts.is_empty() {
                    let thresholds = self.thresholds.as_ref().map_or(1, |thresholds| thresholds.as_slice().len());
                    counts.push(vec![Counts::default(); thresholds]);
                }
                Ok(per_threshold(&counts, |counts| counts.$of))
            }
        }
    };
}

count_metric! {
    /// The total weight of positive elements that are predicted positive.
    #[config(example = r#"{"config": {"thresholds": [0.3, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [3, 2]}"#)]
    #[config(example = r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 3.5}"#)]
    #[config(example = r#"{"config": {"thresholds": [0, 0.25, 0.5, 0.75, 1]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [4.5, 4.5, 4, 3, 0]}"#)]
    #[config(example = r#"{"config": {"thresholds": [2.0]}, "refused": "thresholds"}"#)]
    #[config(example = r#"{"y_true": [1, 0.2], "y_pred": [0.8, 0.8], "refused": "0.2 in row 1"}"#)]
    #[config(example = r#"{"y_true": [-1, 1], "y_pred": [0.8, 0.8], "refused": "labels are 0 or 1"}"#)]
    #[config(example = r#"{"y_true": [1, 0.2], "y_pred": [0.8, 0.8], "sample_weight": [1, 0], "gives": 1}"#)]
    TruePositives, true_positives, Maximize
}
count_metric! {
    /// The total weight of negative elements that are predicted negative.
    #[config(example = r#"{"config": {"thresholds": [0.15, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [1, 2]}"#)]
    #[config(example = r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 3}"#)]
    #[config(example = r#"{"config": {"thresholds": [0.7, 0.5, 0.25]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [5, 4, 4]}"#)]
    TrueNegatives, true_negatives, Maximize
}
count_metric! {
    /// The total weight of negative elements that are predicted positive.
    #[config(example = r#"{"config": {"thresholds": [0.3, 0.7]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [1, 0]}"#)]
    #[config(example = r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 0}"#)]
    #[config(example = r#"{"config": {"thresholds": [0.7, 0.5, 0.25]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0.25, 1.25, 1.25]}"#)]
    FalsePositives, false_positives, Minimize
}
count_metric! {
    /// The total weight of positive elements that are predicted negative.
    #[config(example = r#"{"config": {"thresholds": [0.3, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [0, 1]}"#)]
    #[config(example = r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 0.5}"#)]
    #[config(example = r#"{"config": {"thresholds": [0, 0.25, 0.5, 0.75, 1]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0, 0, 0.5, 1.5, 4.5]}"#)]
    FalseNegatives, false_negatives, Minimize
}
