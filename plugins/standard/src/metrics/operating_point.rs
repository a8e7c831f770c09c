//! The best value of one rate over all thresholds at which another rate is at least a given value.

use super::{
    confusion::{Confusion, Counts, Rule},
    confusion_formula::Of,
    share,
};
use plugfit_api::{formula::Formula, prelude::*};
use std::sync::OnceLock;

fn sensitivity<R: Real>(counts: &Counts<R>) -> R {
    share(counts.true_positives, counts.false_negatives)
}

fn specificity<R: Real>(counts: &Counts<R>) -> R {
    share(counts.true_negatives, counts.false_positives)
}

fn precision<R: Real>(counts: &Counts<R>) -> R {
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
            /// The column to evaluate; null: all columns.
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
            with_state!(Confusion, Maximize, vectors);
            fn update(&self, confusion: &mut Confusion, inputs: &Inputs<'_>) -> Result<()> {
                self.rule().update(confusion, inputs)
            }
            fn result(&self, confusion: &Confusion) -> Result<Outcome> {
                if confusion.is_empty() {
                    return Ok(Outcome::Undefined);
                }
                let counts = self.rule().counts(confusion);
                if counts.iter().flatten().any(|counts| counts.true_positives.0.is_nan()) {
                    return Ok(Outcome::Scalar(f64::NAN));
                }
                let reached = counts.iter().flatten().filter(|counts| $constrained(counts).0 >= self.$field);
                Ok(Outcome::Scalar(reached.map(|counts| $best(counts).0).fold(0.0, f64::max)))
            }
            fn formula(&self) -> Result<Formula> {
                self.rule().formula(Of::Greatest, |counts| {
                    let is_reached = $constrained(&counts).ge(Real::from(self.$field));
                    Real::select(is_reached, $best(&counts), Real::from(0.0))
                })
            }
        }
    };
}

operating_point! {
    /// The best sensitivity over thresholds at which specificity is at least the given value.
    #[config(examples = super::examples::SENSITIVITY_AT_SPECIFICITY)]
    SensitivityAtSpecificity: sensitivity, specificity at least specificity
}
operating_point! {
    /// The best specificity over thresholds at which sensitivity is at least the given value.
    #[config(examples = super::examples::SPECIFICITY_AT_SENSITIVITY)]
    SpecificityAtSensitivity: specificity, sensitivity at least sensitivity
}
operating_point! {
    /// The best precision over thresholds at which recall is at least the given value.
    #[config(examples = super::examples::PRECISION_AT_RECALL)]
    PrecisionAtRecall: precision, sensitivity at least recall
}
operating_point! {
    /// The best recall over thresholds at which precision is at least the given value.
    #[config(examples = super::examples::RECALL_AT_PRECISION)]
    RecallAtPrecision: sensitivity, precision at least precision
}
