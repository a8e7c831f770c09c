//! Exact ranking metrics: areas under curves with a threshold at every score, where `AUC` has a fixed number of
//! thresholds.
//!
//! The state stores every score, so it grows with the data: by 4 bytes for each element if scores are float32 and weights
//! are 1, by 8 if only one of these holds and weights are float32, and else by 16.
mod chunks;
mod scores;

use self::scores::Scores;
use plugfit_api::prelude::*;
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
            const STATE_VERSION: u32 = 3;
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
                scores.merge(other);
                Ok(())
            }
            fn load_older(&self, version: u32, bytes: &[u8]) -> Result<Scores> {
                Scores::load_older(version, bytes)
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
            of_group.entry(*group).or_default().push_older(*score);
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
        assert_eq!((mixed.positives.singles.len(), mixed.negatives.singles.len()), (4, 4));
        assert_eq!((mixed.positives.doubles.len(), mixed.negatives.doubles.len()), (2, 2));
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
    fn states_of_older_versions_are_read() {
        // Two elements: the score, the weight as a positive, and the weight as a negative.
        let numbers = [[0.25, 1.0, 0.0], [0.75, 0.0, 2.0]];
        let bytes: Vec<u8> = [2].into_iter().chain(numbers.into_iter().flatten().flat_map(f64::to_le_bytes)).collect();
        let scores = RocAuc.load_older(1, &bytes).unwrap();
        assert_eq!(
            (scores.positives.doubles.to_vec(), scores.negatives.weighted_doubles.to_vec()),
            (vec![0.25], vec![[0.75, 2.0]])
        );
        assert!(RocAuc.load_older(1, &bytes[..40]).is_err());
        // In version 2, a positive and a negative of float32 come first.
        let singles = [0.5_f32, 0.125].into_iter().flat_map(|score| [1].into_iter().chain(score.to_le_bytes()));
        let bytes: Vec<u8> = singles.chain(bytes).collect();
        let scores = RocAuc.load_older(2, &bytes).unwrap();
        assert_eq!((scores.positives.singles.to_vec(), scores.negatives.singles.to_vec()), (vec![0.5], vec![0.125]));
        assert_eq!(scores.negatives.weighted_doubles.to_vec(), [[0.75, 2.0]]);
        assert_eq!(RocAuc.result(&scores).unwrap(), Outcome::Scalar(1.0 / 3.0));
        assert!(RocAuc.load_older(0, &bytes).is_err() && RocAuc.load_older(3, &bytes).is_err());
    }

    #[test]
    fn every_form_of_scores_and_weights_gives_the_area_of_all_pairs() {
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        for forms in 1..16 {
            let mut scores = RocAuc.init();
            let mut all = Vec::new();
            for form in (0..4).filter(|form| forms & (1 << form) != 0) {
                let (double, weighted) = (form & 1 != 0, form & 2 != 0);
                // Few distinct scores: there are ties, also between the forms.
                let y_pred: Vec<f64> = (0..40).map(|_| next() as f64 % 7.0 / if double { 3.0 } else { 4.0 }).collect();
                let y_true: Vec<f64> = (0..40).map(|_| (next() % 2) as f64).collect();
                let weight: Vec<f64> =
                    (0..40).map(|_| if weighted { (next() % 5) as f64 / 10.0 } else { 1.0 }).collect();
                let single: Vec<f32> = y_pred.iter().map(|score| *score as f32).collect();
                let y_pred = if double { Tensor::new(&y_pred, &[40]) } else { Tensor::new(&single, &[40]) };
                let tensors = [("y_true", Tensor::new(&y_true, &[40])), ("y_pred", y_pred)];
                let inputs = Inputs::new(&tensors, weighted.then_some(Tensor::new(&weight, &[40])), None);
                inputs.for_each(|label, score, weight| all.push((label, score, weight))).unwrap();
                // Half of the batches are merged, as a host does that splits them.
                let mut other = RocAuc.init();
                RocAuc.update(if double { &mut other } else { &mut scores }, &inputs).unwrap();
                RocAuc.merge(&mut scores, &other).unwrap();
            }
            let (mut above, mut pairs) = (0.0, 0.0);
            for (_, score, weight) in all.iter().filter(|(label, ..)| *label > 0.0) {
                for (_, other, other_weight) in all.iter().filter(|(label, ..)| *label == 0.0) {
                    let share = if score > other {
                        1.0
                    } else if score == other {
                        0.5
                    } else {
                        0.0
                    };
                    above += share * weight * other_weight;
                    pairs += weight * other_weight;
                }
            }
            let Outcome::Scalar(area) = RocAuc.result(&scores).unwrap() else { panic!("{forms}: no area") };
            assert!((area - above / pairs).abs() < 1e-12, "{forms}: {area}, {}", above / pairs);
        }
    }

    #[test]
    fn a_batch_with_nan_leaves_the_state_as_it_was() {
        let mut scores = updated(&[(&[0.0, 1.0], &[0.25, 0.75])], None);
        let before = RocAuc.result(&scores).unwrap();
        for weight in [None, Some([0.3_f64, 1.0])] {
            let y_pred = [0.5, f64::NAN];
            let tensors = [("y_true", Tensor::new(&[1.0_f64, 0.0], &[2])), ("y_pred", Tensor::new(&y_pred, &[2]))];
            let weight = weight.as_ref().map(|weight| Tensor::new(weight, &[2]));
            assert!(RocAuc.update(&mut scores, &Inputs::new(&tensors, weight, None)).is_err());
        }
        assert_eq!(scores.positives.doubles.len() + scores.positives.weighted_doubles.len(), 0);
        assert_eq!(RocAuc.result(&scores).unwrap(), before);
    }

    /// Counts allocations, so that the test sees those of an update.
    #[global_allocator]
    static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

    #[test]
    fn follows_the_rules_for_plugins() {
        plugfit_api::testing::check(plugin());
    }
}
