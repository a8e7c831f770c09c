//! Exact ranking metrics: areas under curves with a threshold at every score, where `AUC` has a fixed number of
//! thresholds.
//!
//! The state stores every float32 score of weight 1 in 4 bytes and every other in 24, so it grows with the data.
use plugfit_api::{
    metric::read_state,
    prelude::*,
    simd::{Kernel, dispatch},
};
use std::collections::BTreeMap;

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

/// The mean over groups of the area under the ROC curve within the group, such as over queries of a search engine. A
/// group without both classes isn't counted. The input `group` has an integer for each element. Otherwise as RocAuc.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [0, 1, 1, 0, 1, 1], "y_pred": [0.1, 0.9, 0.3, 0.6, 0.2, 0.4], "group": [1, 1, 7, 7, 7, 3], "gives": 0.5}"#
)]
pub struct GroupRocAuc;

/// The scores of all elements whose weight isn't 0.
#[state]
#[derive(Default)]
pub struct Scores {
    /// The float32 scores of positives and of negatives of weight 1.
    positives: Vec<f32>,
    negatives: Vec<f32>,
    /// For each other element: the score, its weight as a positive, and its weight as a negative.
    weighted: Vec<[f64; 3]>,
}

impl Scores {
    fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        if self.update_single(inputs) {
            return Ok(());
        }
        inputs.check_labels([-1.0, 0.0, 1.0], None)?;
        let (before, mut has_nan) = (self.weighted.len(), false);
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                has_nan |= y_pred.is_nan();
                let positive = y_true > 0.0;
                self.weighted.push([y_pred, if positive { weight } else { 0.0 }, if positive { 0.0 } else { weight }]);
            }
        })?;
        if has_nan {
            self.weighted.truncate(before);
            return Err(Error::input("y_pred contains NaN, which has no rank"));
        }
        Ok(())
    }

    /// Adds a batch of float32 elements without weights. Returns `false`, and adds nothing, for any other batch and for
    /// one that is invalid.
    fn update_single(&mut self, inputs: &Inputs<'_>) -> bool {
        let (Ok(y_true), Ok(y_pred)) = (inputs.y_true(), inputs.y_pred()) else { return false };
        let (Some(labels), Some(scores)) = (y_true.as_slice::<f32>(), y_pred.as_slice::<f32>()) else { return false };
        if inputs.weight().is_some() || y_true.shape() != y_pred.shape() || !dispatch(AreValid { labels, scores }) {
            return false;
        }
        for (label, score) in labels.iter().zip(scores) {
            if *label > 0.0 { &mut self.positives } else { &mut self.negatives }.push(*score);
        }
        true
    }

    /// Calls `f` with the weight of positives and of negatives at each distinct score, in descending order.
    fn for_each_score(&self, mut f: impl FnMut(f64, f64)) {
        let (mut positives, mut negatives) = (self.positives.clone(), self.negatives.clone());
        if self.weighted.is_empty() {
            radsort::sort(&mut positives);
            radsort::sort(&mut negatives);
            let (mut positives, mut negatives) = (positives.as_slice(), negatives.as_slice());
            loop {
                let score = match (positives.last(), negatives.last()) {
                    (None, None) => return,
                    (Some(score), None) | (None, Some(score)) => *score,
                    (Some(one), Some(other)) => one.max(*other),
                };
                f(take_last(&mut positives, score), take_last(&mut negatives, score));
            }
        }
        let mut all = self.weighted.clone();
        all.extend(positives.iter().map(|score| [f64::from(*score), 1.0, 0.0]));
        all.extend(negatives.iter().map(|score| [f64::from(*score), 0.0, 1.0]));
        radsort::sort_by_key(&mut all, |element| element[0]);
        for group in all.chunk_by(|a, b| a[0] == b[0]).rev() {
            let [p, n] = group.iter().fold([0.0; 2], |[p, n], element| [p + element[1], n + element[2]]);
            f(p, n);
        }
    }
}

/// Removes the last scores that equal `score` from an ascending slice, and returns their number.
fn take_last(scores: &mut &[f32], score: f32) -> f64 {
    let mut length = scores.len();
    // Zeros of both signs are equal.
    while length > 0 && scores[length - 1] == score {
        length -= 1;
    }
    let count = scores.len() - length;
    *scores = &scores[..length];
    count as f64
}

/// Whether all labels are 1, 0 or -1, and no score is NaN.
struct AreValid<'a> {
    labels: &'a [f32],
    scores: &'a [f32],
}

impl Kernel for AreValid<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let is_label = |label: f32| (label == 0.0) | (label.abs() == 1.0);
        let labels = self.labels.iter().fold(true, |valid, label| valid & is_label(*label));
        self.scores.iter().fold(labels, |valid, score| valid & !score.is_nan())
    }
}

fn roc_auc(scores: &Scores) -> Outcome {
    let (mut above, mut area, mut negatives) = (0.0, 0.0, 0.0);
    scores.for_each_score(|p, n| {
        area += n * (above + p / 2.0);
        above += p;
        negatives += n;
    });
    Outcome::ratio(area, above * negatives)
}

fn average_precision(scores: &Scores) -> Outcome {
    let (mut positives, mut all, mut sum) = (0.0, 0.0, 0.0);
    scores.for_each_score(|p, n| {
        positives += p;
        all += p + n;
        sum += p * positives / all;
    });
    Outcome::ratio(sum, positives)
}

macro_rules! ranking_metric {
    ($name:ident, $result:ident) => {
        impl Metric for $name {
            type State = Scores;
            const STATE_VERSION: u32 = 2;
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
                scores.positives.extend_from_slice(&other.positives);
                scores.negatives.extend_from_slice(&other.negatives);
                scores.weighted.extend_from_slice(&other.weighted);
                Ok(())
            }
            fn load_older(&self, version: u32, bytes: &[u8]) -> Result<Scores> {
                if version != 1 {
                    return Err(Error::state(format!(
                        "the saved state is of version {version}; this one reads 1 and 2"
                    )));
                }
                Ok(Scores { weighted: read_state(bytes)?, ..Scores::default() })
            }
            fn result(&self, scores: &Scores) -> Result<Outcome> {
                Ok($result(scores))
            }
        }
    };
}
ranking_metric!(RocAuc, roc_auc);
ranking_metric!(AveragePrecision, average_precision);

/// The scores of all elements, and the group of each.
#[state]
#[derive(Default)]
pub struct GroupedScores {
    scores: Vec<[f64; 3]>,
    groups: Vec<i64>,
}

impl Metric for GroupRocAuc {
    type State = GroupedScores;
    fn info(&self) -> MetricInfo {
        let numbers = || vec!["float32".to_owned(), "float64".to_owned()];
        // The host converts other integers to int64. Numbers with a fraction must not be truncated.
        let integers = ["int64", "float32", "float64"].map(str::to_owned).to_vec();
        MetricInfo {
            inputs: ["y_true", "y_pred", "group"].map(str::to_owned).to_vec(),
            dtypes: vec![numbers(), numbers(), integers],
            bounded_state: false,
            ..MetricInfo::new(Direction::Maximize)
        }
    }
    fn init(&self) -> GroupedScores {
        GroupedScores::default()
    }
    fn update(&self, state: &mut GroupedScores, inputs: &Inputs<'_>) -> Result<()> {
        let (group, elements) = (inputs.get("group")?, inputs.y_pred()?.len());
        if group.len() != elements {
            return Err(Error::input(format!("group has {} numbers, and y_pred {elements}", group.len())));
        }
        let groups = |row: usize| match group.as_slice::<i64>() {
            Some(ids) => Some(ids[row]),
            None => Some(group.get_f64(row)).filter(|id| id.fract() == 0.0 && id.abs() < 2e15).map(|id| id as i64),
        };
        inputs.check_labels([-1.0, 0.0, 1.0], None)?;
        let before = state.scores.len();
        let (mut row, mut refused) = (0, None);
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                match groups(row) {
                    _ if y_pred.is_nan() => refused = Some("y_pred contains NaN, which has no rank"),
                    None => refused = Some("group contains a number that isn't an integer"),
                    Some(group) => {
                        let positive = y_true > 0.0;
                        let weights = if positive { [weight, 0.0] } else { [0.0, weight] };
                        state.scores.push([y_pred, weights[0], weights[1]]);
                        state.groups.push(group);
                    }
                }
            }
            row += 1;
        })?;
        if let Some(why) = refused {
            state.scores.truncate(before);
            state.groups.truncate(before);
            return Err(Error::input(why));
        }
        Ok(())
    }
    fn merge(&self, state: &mut GroupedScores, other: &GroupedScores) -> Result<()> {
        state.scores.extend_from_slice(&other.scores);
        state.groups.extend_from_slice(&other.groups);
        Ok(())
    }
    fn result(&self, state: &GroupedScores) -> Result<Outcome> {
        let mut of_group: BTreeMap<i64, Scores> = BTreeMap::new();
        for (group, score) in state.groups.iter().zip(&state.scores) {
            of_group.entry(*group).or_default().weighted.push(*score);
        }
        let areas = of_group.values().filter_map(|scores| match roc_auc(scores) {
            Outcome::Scalar(area) => Some(area),
            _ => None,
        });
        let (sum, count) = areas.fold((0.0, 0.0), |(sum, count), area| (sum + area, count + 1.0));
        Ok(Outcome::ratio(sum, count))
    }
}

export_plugin! { metrics: [AveragePrecision, GroupRocAuc, RocAuc] }

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

    #[test]
    fn weighted_scores_and_those_in_float64_are_ranked_with_the_others() {
        let [y_true, y_pred] = [[0.0_f32, 1.0, 1.0, 0.0], [0.5_f32, 0.5, -0.0, 0.0]];
        let (all_true, all_pred) = ([y_true; 3].concat(), [y_pred; 3].concat());
        let expected = updated(&[(&all_true, &all_pred)], None);
        let double = all_pred[..4].iter().map(|score| f64::from(*score)).collect::<Vec<_>>();
        let mut mixed = updated(&[(&y_true, &y_pred)], None);
        let tensors = [("y_true", Tensor::new(&y_true, &[4])), ("y_pred", Tensor::new(&double, &[4]))];
        RocAuc.update(&mut mixed, &Inputs::new(&tensors, None, None)).unwrap();
        RocAuc.merge(&mut mixed, &updated(&[(&y_true, &y_pred)], Some([1.0; 4]))).unwrap();
        assert_eq!((mixed.positives.len(), mixed.negatives.len(), mixed.weighted.len()), (2, 2, 8));
        for metric in [RocAuc::result, |_: &RocAuc, scores: &Scores| AveragePrecision.result(scores)] {
            assert_eq!(metric(&RocAuc, &mixed).unwrap(), metric(&RocAuc, &expected).unwrap());
        }
        assert_eq!(RocAuc.result(&expected).unwrap(), Outcome::Scalar(0.5));
    }

    fn updated(batches: &[(&[f32], &[f32])], weight: Option<[f32; 4]>) -> Scores {
        let mut scores = RocAuc.init();
        for (y_true, y_pred) in batches {
            let shape = [y_true.len() as i64];
            let tensors = [("y_true", Tensor::new(y_true, &shape)), ("y_pred", Tensor::new(y_pred, &shape))];
            let weight = weight.as_ref().map(|weight| Tensor::new(weight, &[4]));
            RocAuc.update(&mut scores, &Inputs::new(&tensors, weight, None)).unwrap();
        }
        scores
    }

    #[test]
    fn a_state_of_version_1_is_read() {
        // Two elements: the score, the weight as a positive, and the weight as a negative.
        let numbers = [[0.25, 1.0, 0.0], [0.75, 0.0, 2.0]];
        let bytes: Vec<u8> = [2].into_iter().chain(numbers.into_iter().flatten().flat_map(f64::to_le_bytes)).collect();
        assert_eq!(RocAuc.load_older(1, &bytes).unwrap().weighted, numbers);
        assert!(RocAuc.load_older(1, &bytes[..40]).is_err());
        assert!(RocAuc.load_older(0, &bytes).is_err());
    }

    /// Counts allocations, so that the test sees those of an update.
    #[global_allocator]
    static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

    #[test]
    fn follows_the_rules_for_plugins() {
        plugfit_api::testing::check(plugin());
    }
}
