//! The best value of one rate over all thresholds at which another rate is at least a given value.

use super::confusion::{Confusion, Counts, Rule};
use plugfit_api::prelude::*;
use std::sync::OnceLock;

fn share(part: f64, rest: f64) -> f64 {
    if part + rest == 0.0 { 0.0 } else { part / (part + rest) }
}

fn sensitivity(counts: &Counts) -> f64 {
    share(counts.true_positives, counts.false_negatives)
}

fn specificity(counts: &Counts) -> f64 {
    share(counts.true_negatives, counts.false_positives)
}

fn precision(counts: &Counts) -> f64 {
    share(counts.true_positives, counts.false_positives)
}

/// Returns the rule for evenly spaced thresholds from 0 to 1; a single threshold is 0.5.
fn rule(num_thresholds: u64, class_id: Option<u64>) -> Rule {
    let thresholds: Vec<f64> = match num_thresholds {
        1 => vec![0.5],
        count => (0..count).map(|i| i as f64 / (count - 1) as f64).collect(),
    };
    Rule { class_id: class_id.map(|class| class as usize), ..Rule::new(&thresholds) }
}

macro_rules! operating_point {
    ($(#[$doc:meta])* $name:ident: $best:ident, $constrained:ident at least $field:ident) => {
        #[derive(Clone, Debug, Config)]
        $(#[$doc])*
        #[config(base(name = None))]
        pub struct $name {
            /// The minimum of the constrained rate.
            #[config(range = 0.0..=1.0)]
            $field: f64,
            /// The number of evenly spaced thresholds from 0 to 1.
            #[config(default = 200, range = 1..=10000000)]
            num_thresholds: u64,
            /// The only column that counts; null: all.
            class_id: Option<u64>,
            #[config(skip)]
            rule: OnceLock<Rule>,
        }

        impl $name {
            fn rule(&self) -> &Rule {
                self.rule.get_or_init(|| rule(self.num_thresholds, self.class_id))
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
                let counts = self.rule().counts(confusion);
                if counts.iter().flatten().any(|counts| counts.true_positives.is_nan()) {
                    return Ok(Outcome::Scalar(f64::NAN));
                }
                let reached = counts.iter().flatten().filter(|counts| $constrained(counts) >= self.$field);
                Ok(Outcome::Scalar(reached.map($best).fold(0.0, f64::max)))
            }
        }
    };
}

operating_point! {
    /// The best sensitivity over thresholds at which specificity is at least the given value.
    #[config(example = r#"{"config": {"specificity": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"specificity": 0.8, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"specificity": 0.3, "num_thresholds": 4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 0.75}"#)]
    #[config(example = r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    SensitivityAtSpecificity: sensitivity, specificity at least specificity
}
operating_point! {
    /// The best specificity over thresholds at which sensitivity is at least the given value.
    #[config(example = r#"{"config": {"sensitivity": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.9, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7619048}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "sample_weight": [1, 2, 0.5], "gives": 1}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    SpecificityAtSensitivity: specificity, sensitivity at least sensitivity
}
operating_point! {
    /// The best precision over thresholds at which recall is at least the given value.
    #[config(example = r#"{"config": {"recall": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"recall": 0.9, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7826087}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7619048}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 3}, "y_true": [1, 0, 1], "y_pred": [0.4, 0.6, 0.8], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    PrecisionAtRecall: precision, sensitivity at least recall
}
operating_point! {
    /// The best recall over thresholds at which precision is at least the given value.
    #[config(example = r#"{"config": {"precision": 0.7}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"precision": 0.8, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.6666667}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "class_id": 1, "num_thresholds": 3}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 1}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0.5}"#)]
    #[config(example = r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#)]
    RecallAtPrecision: sensitivity, precision at least precision
}
