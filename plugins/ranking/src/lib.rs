//! Exact ranking metrics: areas under curves with a threshold at every score, where `AUC` has a fixed number of
//! thresholds.
//!
//! The state stores every score in 24 bytes, so it grows with the data.
use plugfit_api::prelude::*;

/// The area under the ROC curve: the probability that a positive scores above a negative, with ties as one half.
/// Undefined if a class is missing. Labels are 1 for positives, 0 or -1 for negatives; any other label and any NaN
/// score is an error. Hanley & McNeil 1982.
#[derive(Clone, Debug, Config)]
#[config(aliases("roc_auc"))]
pub struct RocAuc;

/// Average precision: the mean over the positives of the precision at the positive's own score. Undefined without
/// positives. Labels are 1 for positives, 0 or -1 for negatives; any other label and any NaN score is an error.
#[derive(Clone, Debug, Config)]
pub struct AveragePrecision;

/// For each element: the score, its weight as a positive, and its weight as a negative.
#[state]
#[derive(Default)]
pub struct Scores(Vec<[f64; 3]>);

impl Scores {
    fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        inputs.check_labels([-1.0, 0.0, 1.0], None)?;
        let (before, mut has_nan) = (self.0.len(), false);
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                has_nan |= y_pred.is_nan();
                let positive = y_true > 0.0;
                self.0.push([y_pred, if positive { weight } else { 0.0 }, if positive { 0.0 } else { weight }]);
            }
        })?;
        if has_nan {
            self.0.truncate(before);
            return Err(Error::input("y_pred contains NaN, which has no rank"));
        }
        Ok(())
    }

    /// Returns the weight of positives and of negatives at each distinct score, in descending order.
    fn ranked(&self) -> Vec<[f64; 2]> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(|a, b| b[0].total_cmp(&a[0]));
        let groups = sorted.chunk_by(|a, b| a[0] == b[0]);
        groups.map(|group| group.iter().fold([0.0; 2], |[p, n], element| [p + element[1], n + element[2]])).collect()
    }
}

fn roc_auc(ranked: &[[f64; 2]]) -> Outcome {
    let (mut above, mut area, mut negatives) = (0.0, 0.0, 0.0);
    for [p, n] in ranked {
        area += n * (above + p / 2.0);
        above += p;
        negatives += n;
    }
    Outcome::ratio(area, above * negatives)
}

fn average_precision(ranked: &[[f64; 2]]) -> Outcome {
    let (mut positives, mut all, mut sum) = (0.0, 0.0, 0.0);
    for [p, n] in ranked {
        positives += p;
        all += p + n;
        sum += p * positives / all;
    }
    Outcome::ratio(sum, positives)
}

macro_rules! ranking_metric {
    ($name:ident, $result:ident) => {
        impl Metric for $name {
            type State = Scores;
            fn info(&self) -> MetricInfo {
                MetricInfo { bounded_state: false, ..MetricInfo::new(Direction::Maximize) }
            }
            fn init(&self) -> Scores {
                Scores::default()
            }
            fn update(&self, scores: &mut Scores, inputs: &Inputs<'_>) -> Result<()> {
                scores.update(inputs)
            }
            fn merge(&self, scores: &mut Scores, other: &Scores) -> Result<()> {
                scores.0.extend_from_slice(&other.0);
                Ok(())
            }
            fn result(&self, scores: &Scores) -> Result<Outcome> {
                Ok($result(&scores.ranked()))
            }
        }
    };
}
ranking_metric!(RocAuc, roc_auc);
ranking_metric!(AveragePrecision, average_precision);

export_plugin! { metrics: [AveragePrecision, RocAuc] }

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Tensor;

    fn result<M: Metric<State = Scores>>(metric: &M, weighted: bool) -> f64 {
        let y_true = [0.0_f32, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        let y_pred = [0.4_f32, 1.0, 0.9, 0.8, 0.4, 0.5, 0.7, 0.1, 0.6, 0.3, 0.9, 0.1];
        let weight = [2.04_f64, 2.61, 0.68, 2.69, 2.62, 0.06, 2.12, 0.0, 1.51, 1.31, 0.61, 0.97];
        let tensors = [("y_true", Tensor::new(&y_true, &[12])), ("y_pred", Tensor::new(&y_pred, &[12]))];
        let mut scores = metric.init();
        let weight = weighted.then_some(Tensor::new(&weight, &[12]));
        metric.update(&mut scores, &Inputs::new(&tensors, weight, None)).unwrap();
        match metric.result(&scores).unwrap() {
            Outcome::Scalar(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn areas_match_scikit_learn_with_ties_and_weights() {
        for (found, expected) in [
            (result(&RocAuc, false), 0.27142857142857146),
            (result(&AveragePrecision, false), 0.4919501133786848),
            (result(&RocAuc, true), 0.3801418047245184),
            (result(&AveragePrecision, true), 0.5395912604868953),
        ] {
            assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
        }
    }

    fn update(y_true: [f32; 3], y_pred: [f32; 3], weight: [f32; 3]) -> Result<Outcome> {
        let tensors = [("y_true", Tensor::new(&y_true, &[3])), ("y_pred", Tensor::new(&y_pred, &[3]))];
        let mut scores = RocAuc.init();
        RocAuc.update(&mut scores, &Inputs::new(&tensors, Some(Tensor::new(&weight, &[3])), None))?;
        RocAuc.result(&scores)
    }

    #[test]
    fn invalid_labels_and_nan_scores_are_errors_unless_their_weight_is_0() {
        for (label, score) in [(0.2, 0.5), (2.0, 0.5), (f32::NAN, 0.5), (1.0, f32::NAN)] {
            assert!(update([0.0, 1.0, label], [0.1, 0.9, score], [1.0; 3]).is_err(), "{label} {score}");
            let without = update([0.0, 1.0, label], [0.1, 0.9, score], [1.0, 1.0, 0.0]).unwrap();
            assert_eq!(without, Outcome::Scalar(1.0), "{label} {score}");
        }
        assert_eq!(update([-1.0, 1.0, -1.0], [0.1, 0.4, 0.7], [1.0; 3]).unwrap(), Outcome::Scalar(0.5));
    }

    /// Counts allocations, so that the test sees those of an update.
    #[global_allocator]
    static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

    #[test]
    fn follows_the_rules_for_plugins() {
        plugfit_api::testing::check(plugin());
    }
}
