//! Checks values that deliberately differ from Keras against independent computations.

use plugfit::{
    Host,
    component::{Loss, LossValue, Metric},
};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::golden::{Array, cases, file, near};
use serde_json::{Value, json};

fn case<'f>(file: &'f Value, id: &str) -> &'f Value {
    cases(file, "cases", &[]).into_iter().find(|case| case["id"] == id).unwrap_or_else(|| panic!("no case {id}"))
}

fn array(value: &Value) -> Array {
    Array::read(value).expect("an array")
}

fn value(loss: &mut Loss, y_true: &Array, y_pred: &Array, weight: Option<&Array>) -> Vec<f64> {
    let weight = weight.map(|weight| weight.tensor(None));
    match loss.value(y_true.tensor(None), y_pred.tensor(None), weight, None).expect("it fits") {
        LossValue::Scalar(value) => vec![value],
        LossValue::Array { values, .. } => values.iter().map(|&value| f64::from(value)).collect(),
        LossValue::Array64 { values, .. } => values.to_vec(),
    }
}

fn number(metric: &Metric) -> f64 {
    match metric.result().expect("a result") {
        Outcome::Scalar(value) => value,
        other => panic!("{other:?}"),
    }
}

/// Keras clips the probabilities of logits at 1e-7, so that a confident wrong prediction has a derivative of 0.
#[test]
fn a_focal_loss_of_large_logits_matches_its_softplus_form() {
    let (host, file) = (Host::new(), file("losses"));
    for id in ["BinaryFocalCrossentropy/edge/large-logits", "CategoricalFocalCrossentropy/edge/large-logits"] {
        let case = case(&file, id);
        let (y_true, y_pred) = (array(&case["y_true"]), array(&case["y_pred"]));
        let mut loss = host.loss(case["identifier"].clone()).expect("it is there");
        let mut gradient = vec![f32::NAN; y_pred.values.len()];
        let mut target = plugfit_api::TensorMut::new(&mut gradient, &y_pred.shape);
        let found = loss
            .value_and_gradient(y_true.tensor(None), y_pred.tensor(None), None, None, 1.0, &mut target)
            .expect("it fits");
        let LossValue::Array { values, .. } = found else { panic!("{id}: one number") };
        let columns = y_pred.shape[1] as usize;
        for (row, value) in values.iter().enumerate() {
            let row = row * columns..(row + 1) * columns;
            let (t, x, derivatives) = (&y_true.values[row.clone()], &y_pred.values[row.clone()], &gradient[row]);
            let (expected, expected_derivatives) =
                if id.starts_with("Binary") { binary_focal(t, x) } else { focal(t, x) };
            assert!(near(f64::from(*value), expected, 1e-6, 1e-5), "{id}: {value}, {expected}");
            for (found, expected) in derivatives.iter().zip(&expected_derivatives) {
                assert!(
                    near(f64::from(*found), *expected, 1e-6, 1e-5),
                    "{id}: {derivatives:?}, {expected_derivatives:?}"
                );
            }
        }
    }
}

/// Returns `rest^2 softplus(-x)` and its derivative, where `rest` is the probability that the class with logit `x` is
/// wrong.
fn focal_of(x: f64) -> (f64, f64) {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let (p, rest) = ((-softplus(-x)).exp(), (-softplus(x)).exp());
    (rest * rest * softplus(-x), -rest * rest * (2.0 * p * softplus(-x) + rest))
}

fn binary_focal(t: &[f64], x: &[f64]) -> (f64, Vec<f64>) {
    let one = |t: f64, x: f64| if t == 1.0 { focal_of(x) } else { (focal_of(-x).0, -focal_of(-x).1) };
    let terms: Vec<(f64, f64)> = t.iter().zip(x).map(|(t, x)| one(*t, *x)).collect();
    let n = terms.len() as f64;
    (terms.iter().map(|term| term.0).sum::<f64>() / n, terms.iter().map(|term| term.1 / n).collect())
}

/// Returns the focal loss and its gradient for a one-hot label and alpha = 0.25. It is a function of the logit of the
/// label minus the logarithm of the sum of the exponentials of the other logits.
fn focal(t: &[f64], x: &[f64]) -> (f64, Vec<f64>) {
    let label = t.iter().position(|t| *t == 1.0).expect("a label");
    let others = |class: &usize| *class != label;
    let most = (0..x.len()).filter(others).map(|class| x[class]).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = (0..x.len()).filter(others).map(|class| (x[class] - most).exp()).sum();
    let (value, derivative) = focal_of(x[label] - most - sum.ln());
    let share = |class: usize| if class == label { 1.0 } else { -(x[class] - most).exp() / sum };
    (0.25 * value, (0..x.len()).map(|class| 0.25 * derivative * share(class)).collect())
}

/// Smoothing uses the axis of the classes, as in Keras 3.16.
#[test]
fn smoothing_along_an_axis_matches_labels_smoothed_by_hand() {
    let (host, file) = (Host::new(), file("losses"));
    for id in [
        "CategoricalCrossentropy/config:axis=1/3d/smoothing",
        "CategoricalFocalCrossentropy/config:axis=1/3d/smoothing",
    ] {
        let case = case(&file, id);
        let (y_true, y_pred) = (array(&case["y_true"]), array(&case["y_pred"]));
        let mut identifier = case["identifier"].clone();
        let smoothing = identifier["config"]["label_smoothing"].as_f64().expect("a number");
        let found = value(&mut host.loss(identifier.clone()).expect("it is there"), &y_true, &y_pred, None);
        identifier["config"]["label_smoothing"] = json!(0.0);
        let classes = y_true.shape[1] as f64;
        let by_hand = y_true.values.iter().map(|t| t * (1.0 - smoothing) + smoothing / classes).collect();
        let by_hand = Array::new(y_true.shape.clone(), by_hand, "float32".into());
        let expected = value(&mut host.loss(identifier).expect("it is there"), &by_hand, &y_pred, None);
        assert!(found.iter().zip(&expected).all(|(a, b)| near(*a, *b, 1e-6, 1e-5)), "{id}: {found:?}, {expected:?}");
    }
}

/// Keras ignores the mask for this metric only.
#[test]
fn the_root_mean_squared_error_uses_the_mask() {
    let (host, file) = (Host::new(), file("metrics"));
    for id in ["RootMeanSquaredError/3d/mask", "RootMeanSquaredError/3d/mask+weight"] {
        let [mut root, mut mean] =
            ["RootMeanSquaredError", "MeanSquaredError"].map(|name| host.metric(name).expect("it is there"));
        for batch in case(&file, id)["batches"].as_array().expect("batches") {
            let (y_true, y_pred, mask) = (array(&batch["y_true"]), array(&batch["y_pred"]), array(&batch["mask"]));
            let weight = Array::read(&batch["sample_weight"]);
            for metric in [&mut root, &mut mean] {
                let weight = weight.as_ref().map(|weight| weight.tensor(None));
                metric
                    .update_state(y_true.tensor(None), y_pred.tensor(None), weight, Some(mask.mask()))
                    .expect("it fits");
            }
            assert!(near(number(&root), number(&mean).sqrt(), 1e-6, 1e-6), "{id}");
        }
    }
}

/// Keras 3.15.1 counts numbers; later versions count rows.
#[test]
fn the_adjusted_r2_follows_from_the_plain_r2_and_the_number_of_rows() {
    let (host, file) = (Host::new(), file("metrics"));
    let case = case(&file, "R2Score/num_regressors=2");
    let [mut adjusted, mut plain] =
        ["R2Score(num_regressors=2)", "R2Score"].map(|identifier| host.metric(identifier).expect("it is there"));
    let mut rows = 0.0;
    for batch in case["batches"].as_array().expect("batches") {
        let (y_true, y_pred) = (array(&batch["y_true"]), array(&batch["y_pred"]));
        for metric in [&mut adjusted, &mut plain] {
            metric.update_state(y_true.tensor(None), y_pred.tensor(None), None, None).expect("it fits");
        }
        rows += y_true.shape[0] as f64;
        let expected = 1.0 - (1.0 - number(&plain)) * (rows - 1.0) / (rows - 2.0 - 1.0);
        assert!(near(number(&adjusted), expected, 1e-9, 1e-9), "{expected}");
    }
}

/// Keras truncates the weights to integers.
#[test]
fn an_iou_does_not_truncate_weights() {
    let (host, file) = (Host::new(), file("metrics"));
    let case = case(&file, "IoU/float-weight");
    let mut iou = host.metric(case["identifier"].clone()).expect("it is there");
    let classes = case["identifier"]["config"]["num_classes"].as_u64().expect("a number") as usize;
    let targets: Vec<usize> = case["identifier"]["config"]["target_class_ids"]
        .as_array()
        .expect("classes")
        .iter()
        .map(|class| class.as_u64().expect("a class") as usize)
        .collect();
    let mut counts = vec![[0.0; 2]; classes];
    for batch in case["batches"].as_array().expect("batches") {
        let (y_true, y_pred, weight) =
            (array(&batch["y_true"]), array(&batch["y_pred"]), array(&batch["sample_weight"]));
        let tensors = (y_true.tensor(None), y_pred.tensor(None), Some(weight.tensor(None)));
        iou.update_state(tensors.0, tensors.1, tensors.2, None).expect("it fits");
        let each = y_true.values.len() / weight.values.len();
        for (i, (t, p)) in y_true.values.iter().zip(&y_pred.values).enumerate() {
            for (class, [both, either]) in counts.iter_mut().enumerate() {
                let (is_true, is_predicted) = (*t == class as f64, *p == class as f64);
                *both += if is_true && is_predicted { weight.values[i / each] } else { 0.0 };
                *either += if is_true || is_predicted { weight.values[i / each] } else { 0.0 };
            }
        }
        let shares: Vec<f64> = targets
            .iter()
            .map(|&class| counts[class])
            .filter(|[_, either]| *either > 0.0)
            .map(|[both, either]| both / either)
            .collect();
        assert!(near(number(&iou), shares.iter().sum::<f64>() / shares.len() as f64, 1e-6, 1e-6), "{counts:?}");
    }
}

/// In Keras, the area of a label without one of the classes is 0, which the mean over the labels hides.
#[test]
fn the_auc_of_a_label_without_one_of_the_classes_is_undefined() {
    let host = Host::new();
    let mut auc = host.metric("AUC(multi_label=true)").expect("it is there");
    let (y_true, y_pred) = ([1.0_f32, 1.0, 0.0, 1.0], [0.9_f32, 0.8, 0.2, 0.7]);
    auc.update_state(Tensor::new(&y_true, &[2, 2]), Tensor::new(&y_pred, &[2, 2]), None, None).expect("it fits");
    assert_eq!(auc.result().expect("a result"), Outcome::Undefined);
    let (y_true, y_pred) = ([0.0_f32, 0.0], [0.1_f32, 0.1]);
    auc.update_state(Tensor::new(&y_true, &[1, 2]), Tensor::new(&y_pred, &[1, 2]), None, None).expect("it fits");
    assert_eq!(number(&auc), 1.0);
}

/// Some derivatives in Keras are NaN.
#[test]
fn no_derivative_in_an_edge_case_is_nan() {
    let (host, file) = (Host::new(), file("losses"));
    for id in ["CosineSimilarity/edge/zero-vector", "CategoricalGeneralizedCrossEntropy/edge/zeros-ones"] {
        let case = case(&file, id);
        let (y_true, y_pred) = (array(&case["y_true"]), array(&case["y_pred"]));
        let mut loss = host.loss(case["identifier"].clone()).expect("it is there");
        let mut gradient = vec![f32::NAN; y_pred.values.len()];
        let mut target = plugfit_api::TensorMut::new(&mut gradient, &y_pred.shape);
        loss.value_and_gradient(y_true.tensor(None), y_pred.tensor(None), None, None, 1.0, &mut target)
            .expect("it fits");
        assert!(gradient.iter().all(|derivative| !derivative.is_nan()), "{id}: {gradient:?}");
        let expected = array(&case["gradient"]).values;
        let same = gradient.iter().zip(&expected).filter(|(_, expected)| !expected.is_nan());
        for (found, expected) in same {
            assert!(near(f64::from(*found), *expected, 1e-6, 1e-4) || *found == 0.0, "{id}: {found}, {expected}");
        }
    }
}
