//! The formulas of metrics of true and false positives.
//!
//! With a single threshold, the four counts are the sums. With several, each sum has a bin for each bucket of predictions
//! between two thresholds.

use super::{
    confusion::{Buckets, Counts, Rule},
    one_if,
};
use plugfit_api::{
    formula::{Formula, Traced},
    prelude::*,
};

/// The maximum number of thresholds, columns or classes that are nodes of a formula each.
pub const MOST_LISTED: usize = 256;

/// What a result has of the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The number of each threshold.
    Each,
    /// The number of each threshold, which is undefined without elements.
    EachOfSome,
    /// The greatest number of all thresholds, at least 0, which is undefined without elements.
    Greatest,
}

/// Returns the counts at the threshold above a bin, from the positives and negatives of the bins.
pub fn counts_above<R: Real>(bin: &Around<R, 2>) -> Counts<R> {
    Counts {
        true_positives: bin.after[0],
        false_positives: bin.after[1],
        false_negatives: bin.before[0] + bin.here[0],
        true_negatives: bin.before[1] + bin.here[1],
    }
}

/// Returns the counts at the threshold below a bin.
pub fn counts_below<R: Real>(bin: &Around<R, 2>) -> Counts<R> {
    Counts {
        true_positives: bin.after[0] + bin.here[0],
        false_positives: bin.after[1] + bin.here[1],
        false_negatives: bin.before[0],
        true_negatives: bin.before[1],
    }
}

impl Rule {
    /// Records a metric with a number for each threshold.
    ///
    /// # Errors
    /// Returns an error if the metric has no formula.
    pub fn formula(&self, of: Of, number: impl Fn(Counts<Traced>) -> Traced) -> Result<Formula> {
        // A number is NaN if its counts are, but comparisons ignore NaN.
        let number = |counts: Counts<Traced>, total: Traced| match of {
            Of::Each | Of::EachOfSome => number(counts),
            Of::Greatest => Traced::select(total.eq(total), number(counts).max(Real::from(0.0)), total),
        };
        let finish = |result: SumResult<Traced>, total: Traced| match of {
            Of::Each => result,
            Of::EachOfSome | Of::Greatest => result.undefined_if(total.eq(Real::from(0.0))),
        };
        let Buckets::Single(threshold) = self.buckets else {
            return self.formula_of_bins(|sums, thresholds| {
                let [positives, negatives] = sums.totals();
                let total = positives + negatives;
                let number = |counts: Counts<Traced>, total: Traced| {
                    Traced::select(total.eq(total), number(counts, total), total)
                };
                let result = match of {
                    Of::Each | Of::EachOfSome => sums.each_around(|bin| number(counts_above(&bin), total)),
                    Of::Greatest => sums
                        .max_around(|bin| {
                            let is_threshold = bin.index.lt(Real::from(thresholds as f64));
                            Traced::select(is_threshold, number(counts_above(&bin), total), Real::from(0.0))
                        })
                        .into(),
                };
                finish(result, total)
            });
        };
        self.check_formula()?;
        let threshold = threshold.max((threshold as f32).into());
        // Those that the result doesn't depend on are removed.
        let names = ["true_positives", "false_positives", "true_negatives", "false_negatives", "all"];
        Formula::of_sums(
            names,
            &SumLayout::new(self.unit()),
            |y_true, y_pred| {
                let y_pred = self.prediction(y_pred.single());
                let ([positive, negative], above) =
                    (self.classes(y_true.single(), y_pred), y_pred.gt(Real::from(threshold)));
                let above = one_if::<Traced>(above);
                let below = -above + 1.0;
                let all = positive + negative;
                [positive * above, negative * above, negative * below, positive * below, all].map(Term::from)
            },
            |sums| {
                let [true_positives, false_positives, true_negatives, false_negatives, total] = sums.numbers();
                let counts = Counts { true_positives, false_positives, true_negatives, false_negatives };
                finish(number(counts, total).into(), total)
            },
        )
    }

    /// Records a metric whose result is a function of the positives and negatives of the bins and of the number of
    /// thresholds.
    ///
    /// # Errors
    /// Returns an error if the metric has no formula.
    pub fn formula_of_bins(&self, result: impl Fn(Sums<'_, Traced, 2>, usize) -> SumResult<Traced>) -> Result<Formula> {
        self.check_formula()?;
        let thresholds = self.thresholds();
        let layout = SumLayout { bins: thresholds + 1, by_column: self.multi_label, ..SumLayout::new(self.unit()) };
        let layout = SumLayout { result_length: Some(thresholds), ..layout };
        Formula::of_sums(
            ["positives", "negatives"],
            &layout,
            |y_true, y_pred| {
                let y_pred = self.prediction(y_pred.single());
                let bin = self.recorded_bucket(y_pred);
                // NaN is added to the first bin.
                let bin = Traced::select(y_pred.eq(y_pred), bin, Real::from(0.0));
                self.classes(y_true.single(), y_pred).map(|class| Term::in_bin(bin, class))
            },
            |sums| result(sums, thresholds),
        )
    }

    /// Returns the unit of the terms. The number of a column is known in a row.
    fn unit(&self) -> Each {
        match self.class_id.is_some() || !self.label_weights.is_empty() || self.multi_label {
            true => Each::Row,
            false => Each::Element,
        }
    }

    fn check_formula(&self) -> Result<()> {
        let listed = match &self.buckets {
            Buckets::Sorted { thresholds, order } => {
                if !order.iter().enumerate().all(|(i, place)| i == *place) {
                    return Err(Error::unsupported("its thresholds aren't in ascending order"));
                }
                thresholds.len()
            }
            Buckets::Single(_) | Buckets::Even { .. } => 0,
        };
        if listed.max(self.label_weights.len()) > MOST_LISTED {
            return Err(Error::unsupported("it has too many thresholds or weights of labels"));
        }
        match self.top_k {
            Some(_) => Err(Error::unsupported("with top_k it needs the order of the elements of a row")),
            None => Ok(()),
        }
    }

    fn prediction(&self, y_pred: Traced) -> Traced {
        if self.from_logits { y_pred.sigmoid() } else { y_pred }
    }

    /// Returns the weight of an element as a positive and as a negative. It is NaN for a prediction of NaN and for a
    /// label that is neither 0 nor 1.
    fn classes(&self, y_true: Traced, y_pred: Traced) -> [Traced; 2] {
        let (zero, one): (Traced, Traced) = (Real::from(0.0), Real::from(1.0));
        let is_valid = (y_true.eq(zero) | y_true.eq(one)) & y_pred.eq(y_pred);
        let weight = Traced::select(is_valid, self.column_weight(), Real::from(f64::NAN));
        let counts = |label: Traced| match self.class_id {
            None => Traced::select(y_true.eq(label), weight, weight * 0.0),
            Some(class) => {
                let is_column = Traced::row_index(0).eq(Real::from(class as f64));
                Traced::select(is_column, Traced::select(y_true.eq(label), weight, weight * 0.0), zero)
            }
        };
        [counts(one), counts(zero)]
    }

    /// Returns the weight of a column.
    fn column_weight(&self) -> Traced {
        if self.multi_label {
            return Real::from(1.0);
        }
        let weights = self.label_weights.iter().enumerate();
        weights.fold(Real::from(1.0), |otherwise, (column, &weight)| {
            Traced::select(Traced::row_index(0).eq(Real::from(column as f64)), Real::from(weight), otherwise)
        })
    }

    fn recorded_bucket(&self, y_pred: Traced) -> Traced {
        match &self.buckets {
            Buckets::Single(threshold) => one_if::<Traced>(y_pred.gt(Real::from(*threshold))),
            Buckets::Even { thresholds, beyond } => {
                let bucket = (y_pred.clamp(0.0, 1.0) * (*thresholds as f64 - 1.0)).ceil();
                bucket.clamp(f64::from(u8::from(*beyond)), *thresholds as f64)
            }
            Buckets::Sorted { thresholds, .. } => thresholds.iter().fold(Real::from(0.0), |bucket, &threshold| {
                bucket + one_if::<Traced>(y_pred.gt(Real::from(threshold.max((threshold as f32).into()))))
            }),
        }
    }
}
