//! Tests of all metrics with NaN, with rows that don't count, and with invalid labels and ids.

use plugfit::{Host, component::Metric, plugin::Kind};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::components::{self, host, identifier, update};
use serde_json::{Value, json};

/// Returns the identifiers of all metrics, and of all losses as metrics.
fn metrics(host: &Host) -> Vec<Value> {
    let mut names = components::names(host, Kind::Metric);
    let losses =
        components::names(host, Kind::Loss).into_iter().filter(|loss| !names.contains(loss)).collect::<Vec<_>>();
    names.extend(losses);
    let mut identifiers: Vec<Value> = names.iter().map(|name| identifier(name)).collect();
    for (name, config) in [
        ("AUC", json!({"curve": "PR"})),
        ("AUC", json!({"curve": "PR", "summation_method": "majoring"})),
        ("AUC", json!({"curve": "PRGAIN"})),
        ("AUC", json!({"multi_label": true})),
        ("AUC", json!({"from_logits": true, "thresholds": [0.2, 0.7]})),
        ("Precision", json!({"top_k": 2})),
        ("Recall", json!({"thresholds": [0.2, 0.6]})),
        ("F1Score", json!({"threshold": 0.4, "average": "micro"})),
        ("FBetaScore", json!({"average": "weighted"})),
        ("R2Score", json!({"class_aggregation": "variance_weighted_average"})),
        ("PearsonCorrelation", json!({"axis": 0})),
        ("ConcordanceCorrelation", json!({"axis": 0})),
        ("CosineSimilarity", json!({"axis": 0})),
        ("SparseTopKCategoricalAccuracy", json!({"k": 2})),
        ("MeanIoU", json!({"num_classes": 4, "sparse_y_pred": false})),
        ("BinaryCrossentropy", json!({"from_logits": true})),
        ("CategoricalCrossentropy", json!({"from_logits": true})),
    ] {
        identifiers.push(json!({"class_name": name, "config": config}));
    }
    identifiers
}

const ROWS: usize = 6;

/// Labels and predictions.
#[derive(Clone)]
struct Batch {
    y_true: Vec<f32>,
    y_pred: Vec<f32>,
}

impl Batch {
    /// Returns the shapes of y_true and y_pred. If y_pred has several columns, a single column of ids is a vector.
    fn shapes(&self, rows: usize) -> [Vec<i64>; 2] {
        let [of_true, of_pred] =
            [&self.y_true, &self.y_pred].map(|values| vec![rows as i64, (values.len() / rows) as i64]);
        [if of_true != of_pred { of_true[..1].to_vec() } else { of_true }, of_pred]
    }

    fn result(
        &self,
        host: &Host,
        identifier: &Value,
        weight: Option<&[f32]>,
        mask: Option<&[u8]>,
    ) -> Result<Outcome, String> {
        let rows = weight.map(<[f32]>::len).or(mask.map(<[u8]>::len)).unwrap_or(ROWS);
        let mut metric: Metric = host.metric(identifier.clone()).unwrap_or_else(|error| panic!("{error}"));
        let [of_true, of_pred] = self.shapes(rows);
        let (t, p) = (Tensor::new(&self.y_true, &of_true), Tensor::new(&self.y_pred, &of_pred));
        let shape = [rows as i64];
        let (weight, mask) =
            (weight.map(|weight| Tensor::new(weight, &shape)), mask.map(|mask| Tensor::new(mask, &shape)));
        let updated = update(&mut metric, t, p, weight, mask);
        updated.and_then(|()| metric.result()).map_err(|error| error.to_string())
    }

    /// Returns a copy with one number in the third row replaced.
    fn with(&self, in_labels: bool, number: f32) -> Self {
        let mut batch = self.clone();
        let values = if in_labels { &mut batch.y_true } else { &mut batch.y_pred };
        let each = values.len() / ROWS;
        values[2 * each + each / 2] = number;
        batch
    }

    fn without_third(&self) -> Self {
        let cut = |values: &Vec<f32>| {
            let each = values.len() / ROWS;
            [&values[..2 * each], &values[3 * each..]].concat()
        };
        Batch { y_true: cut(&self.y_true), y_pred: cut(&self.y_pred) }
    }
}

fn batches() -> Vec<Batch> {
    let scores: Vec<f32> = (0..4 * ROWS).map(|i| 0.05 + (i * 7 % 24) as f32 / 28.0).collect();
    let probabilities: Vec<f32> = scores
        .chunks(4)
        .flat_map(|row| {
            let sum: f32 = row.iter().sum();
            row.iter().map(move |score| score / sum).collect::<Vec<_>>()
        })
        .collect();
    let ids = [0.0, 2.0, 1.0, 3.0, 1.0, 2.0];
    let one_hot = ids.iter().flat_map(|id| (0..4).map(move |class| f32::from(u8::from(class as f32 == *id)))).collect();
    let flags: Vec<f32> = (0..4 * ROWS).map(|i| f32::from(u8::from(i * 5 % 7 < 3))).collect();
    let batch = |y_true: Vec<f32>, y_pred: &[f32]| Batch { y_true, y_pred: y_pred.to_vec() };
    vec![
        batch(flags.clone(), &scores),
        batch(flags[..ROWS].to_vec(), &scores[..ROWS]),
        batch(one_hot, &probabilities),
        batch(ids.to_vec(), &probabilities),
        batch(ids.to_vec(), &[0.0, 1.0, 1.0, 3.0, 0.0, 2.0]),
        batch((0..4 * ROWS).map(|i| (i * 11 % 13) as f32 / 3.0).collect(), &scores),
    ]
}

fn is_number(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Undefined => false,
        Outcome::Scalar(value) => value.is_finite(),
        Outcome::Array { values, .. } => values.iter().all(|value| value.is_finite()),
        Outcome::Named(named) => named.iter().all(|(_, value)| value.is_finite()),
    }
}

/// Calls `f` with each metric and each batch for which the metric returns finite numbers.
fn each(mut f: impl FnMut(&Host, &Value, &Batch, &Outcome)) {
    let host = host();
    let mut untried = Vec::new();
    for identifier in metrics(&host) {
        let mut tried = false;
        for batch in batches() {
            if let Ok(outcome) = batch.result(&host, &identifier, None, None)
                && is_number(&outcome)
            {
                tried = true;
                f(&host, &identifier, &batch, &outcome);
            }
        }
        if !tried {
            untried.push(identifier["class_name"].as_str().unwrap_or_default().to_owned());
        }
    }
    // Losses of sequences need other shapes.
    assert!(untried.iter().all(|name| ["standard>CTC"].contains(&&**name)), "{untried:?}");
}

#[test]
fn nan_in_a_row_that_counts_never_becomes_a_number() {
    let mut wrong = Vec::new();
    each(|host, identifier, batch, _| {
        for in_labels in [false, true] {
            let of_values = host.metric(identifier.clone()).expect("it was made").info().inputs == ["values"];
            // This loss uses only the score of the label.
            let sees_one = identifier["class_name"] == "standard>CategoricalGeneralizedCrossEntropy" && !in_labels;
            if of_values && in_labels || sees_one {
                continue;
            }
            if let Ok(outcome) = batch.with(in_labels, f32::NAN).result(host, identifier, None, None)
                && is_number(&outcome)
            {
                let place = if in_labels { "y_true" } else { "y_pred" };
                wrong.push(format!("{identifier} of NaN in {place} {:?}: {outcome:?}", batch.shapes(ROWS)));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn near(a: &Outcome, b: &Outcome) -> bool {
    let values = |outcome: &Outcome| match outcome {
        Outcome::Undefined => Vec::new(),
        Outcome::Scalar(value) => vec![*value],
        Outcome::Array { values, .. } => values.clone(),
        Outcome::Named(named) => named.iter().map(|(_, value)| *value).collect(),
    };
    let (a, b) = (values(a), values(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()))
}

#[test]
fn a_row_with_weight_0_or_masked_out_is_ignored() {
    let mut wrong = Vec::new();
    each(|host, identifier, batch, _| {
        let info = host.metric(identifier.clone()).expect("it was made").info().clone();
        if !(info.rows_independent && info.zero_weight_is_absent) {
            return;
        }
        let expected = batch.without_third().result(host, identifier, Some(&[1.0; ROWS - 1]), None);
        let Ok(expected) = expected else { panic!("{identifier}: {expected:?}") };
        let (weight, mask) = ([1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [1, 1, 0, 1, 1, 1]);
        for number in [f32::NAN, f32::INFINITY, -7.5] {
            let changed = batch.with(false, number).with(true, number);
            for (weight, mask) in [(Some(&weight[..]), None), (None, Some(&mask[..]))] {
                let found = changed.result(host, identifier, weight, mask);
                if !found.as_ref().is_ok_and(|found| near(found, &expected)) {
                    let by = if mask.is_some() { "mask" } else { "weight" };
                    wrong.push(format!("{identifier}, {number} left out by its {by}: {found:?}, not {expected:?}"));
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_weight_that_is_nan_is_refused_with_its_row_unless_it_is_masked() {
    each(|host, identifier, batch, _| {
        let weight = [1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0];
        if batch.result(host, identifier, Some(&[1.0; ROWS]), None).is_err() {
            return; // It has one value for all rows.
        }
        let refused = batch.result(host, identifier, Some(&weight), None);
        assert!(refused.as_ref().is_err_and(|error| error.contains("NaN in row 1")), "{identifier}: {refused:?}");
        let masked = batch.result(host, identifier, Some(&weight), Some(&[1, 0, 1, 1, 1, 1]));
        assert!(masked.is_ok(), "{identifier}: {masked:?}");
    });
}

#[test]
fn labels_of_two_classes_must_be_0_and_1() {
    let host = host();
    let scores = [0.8_f32, 0.9, 0.1, 0.7];
    for name in [
        "BinaryAccuracy",
        "BinaryIoU",
        "TruePositives",
        "TrueNegatives",
        "FalsePositives",
        "FalseNegatives",
        "Precision",
        "Recall",
        "AUC",
        "PrecisionAtRecall(recall=0.5)",
        "RecallAtPrecision(precision=0.5)",
        "SensitivityAtSpecificity(specificity=0.5)",
        "SpecificityAtSensitivity(sensitivity=0.5)",
        "RocAuc",
        "AveragePrecision",
    ] {
        for wrong in [0.2_f32, 2.0, -1.0, f32::NAN] {
            if wrong == -1.0 && ["RocAuc", "AveragePrecision"].contains(&name) {
                continue; // They accept -1 as the negative class.
            }
            let mut metric = host.metric(name).unwrap_or_else(|error| panic!("{error}"));
            let labels = [0.0, 1.0, wrong, 1.0];
            let (t, p) = (Tensor::new(&labels, &[4]), Tensor::new(&scores, &[4]));
            let refused = metric.update_state(t, p, None, None).expect_err(name).to_string();
            assert!(refused.contains("row 2"), "{name}: {refused}");
            let weight = [1.0_f32, 1.0, 0.0, 1.0];
            metric.update_state(t, p, Some(Tensor::new(&weight, &[4])), None).expect(name);
        }
    }
}

#[test]
fn ids_are_compared_as_integers() {
    let host = Host::new();
    let share = |identifier: Value, t: Tensor<'_>, p: Tensor<'_>| {
        let mut metric = host.metric(identifier).unwrap_or_else(|error| panic!("{error}"));
        metric.update_state(t, p, None, None).unwrap_or_else(|error| panic!("{error}"));
        metric.result().expect("a result")
    };
    let half = Outcome::Scalar(0.5);
    let large = 1_i64 << 53;
    let (t, p) = ([large, i64::MAX - 1], [large + 1, i64::MAX - 1]);
    assert_eq!(share(json!("Accuracy"), Tensor::new(&t, &[2]), Tensor::new(&p, &[2])), half);
    let (t, p) = ([u64::MAX, u64::MAX], [u64::MAX, u64::MAX - 1]);
    assert_eq!(share(json!("Accuracy"), Tensor::new(&t, &[2]), Tensor::new(&p, &[2])), half);
    let (t, p) = ([large + 1, large], [large as f64; 2]);
    assert_eq!(share(json!("Accuracy"), Tensor::new(&t, &[2]), Tensor::new(&p, &[2])), half);
    let sorted = json!({"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 2, "from_sorted_ids": true}});
    let (t, p) = ([large + 1, -2 + i64::MAX], [large, 3, 7, i64::MAX - 2]);
    assert_eq!(share(sorted, Tensor::new(&t, &[2]), Tensor::new(&p, &[2, 2])), half);
}
