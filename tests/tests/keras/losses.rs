//! Compares losses and their gradients with Keras.

use plugfit::{Host, component::LossValue};
use plugfit_api::TensorMut;
use plugfit_tests::golden::{Array, Failures, cases, file, near};
use serde_json::Value;

/// Cases that deliberately differ from Keras, with the reason.
const DIFFERENCES: [(&str, &str); 8] = [
    ("BinaryFocalCrossentropy/edge/large-logits", "computed from the logits: Keras clips their probabilities"),
    ("CategoricalFocalCrossentropy/edge/large-logits", "the same"),
    (
        "CategoricalCrossentropy/config:axis=1/3d/smoothing",
        "smoothing divides by the length of the axis that has the classes",
    ),
    ("CategoricalFocalCrossentropy/config:axis=1/3d/smoothing", "the same"),
    ("CosineSimilarity/edge/zero-vector", "no derivative is NaN"),
    ("CategoricalGeneralizedCrossEntropy/edge/zeros-ones", "no derivative is NaN"),
    ("SparseCategoricalCrossentropy/edge/label-out-of-range", "ids that are no classes are refused"),
    ("CTC/impossible", "Keras's float32 cancels at a loss of 1e5"),
];

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let mut loss = host.loss(case["identifier"].clone()).map_err(|error| error.to_string())?;
    let dtypes = loss.info().dtypes.clone();
    let (y_true, y_pred) = (Array::read(&case["y_true"]).unwrap(), Array::read(&case["y_pred"]).unwrap());
    let (weight, mask) = (Array::read(&case["sample_weight"]), Array::read(&case["mask"]));
    let mut gradient = vec![f32::NAN; y_pred.values.len()];
    let mut target = TensorMut::new(&mut gradient, &y_pred.shape);
    let value = loss
        .value_and_gradient(
            y_true.tensor(dtypes.first()),
            y_pred.tensor(dtypes.get(1)),
            weight.as_ref().map(|weight| weight.tensor(None)),
            mask.as_ref().map(Array::mask),
            1.0,
            &mut target,
        )
        .map_err(|error| error.to_string())?;
    let (absolute, relative) = (1e-6, 1e-5);
    let Some(expected) = Array::read(&case["loss"]) else { return Ok(()) };
    let (shape, values) = match value {
        LossValue::Scalar(value) => (Vec::new(), vec![value]),
        LossValue::Array { shape, values } => (shape.to_vec(), values.iter().map(|&value| f64::from(value)).collect()),
        LossValue::Array64 { shape, values } => (shape.to_vec(), values.to_vec()),
    };
    if shape != expected.shape {
        return Err(format!("has the shape {shape:?}, not {:?}", expected.shape));
    }
    for (i, (found, expected)) in values.iter().zip(&expected.values).enumerate() {
        if !near(*found, *expected, absolute, relative) {
            return Err(format!("value {i} is {found}, not {expected}"));
        }
    }
    let expected = Array::read(&case["gradient"]).unwrap();
    for (i, (found, expected)) in gradient.iter().zip(&expected.values).enumerate() {
        if !near(f64::from(*found), *expected, absolute, relative.max(1e-4)) {
            return Err(format!("derivative {i} is {found}, not {expected}"));
        }
    }
    Ok(())
}

#[test]
fn losses_and_their_gradients_match_keras() {
    let (host, file) = (Host::new(), file("losses"));
    let mut failures = Failures::default();
    for case in cases(&file, "cases", &[]) {
        failures.add_with_differences(&case["id"], &DIFFERENCES, check(&host, case));
    }
    failures.finish(800);
}

#[test]
fn cases_that_keras_refuses_are_refused() {
    let (host, file) = (Host::new(), file("losses"));
    let mut failures = Failures::default();
    for case in cases(&file, "refused", &[]).into_iter().filter(|case| is_refusal(case)) {
        let result = match check(&host, case) {
            Err(error) if !error.contains(", not ") => Ok(()),
            _ => Err(format!("was taken; Keras: {}", case["error"]["gist"])),
        };
        failures.add(&case["id"], result);
    }
    failures.finish(30);
}

/// Returns whether Keras refuses a case on purpose. The other errors are shortcomings of Keras.
fn is_refusal(case: &Value) -> bool {
    case["id"].as_str().is_some_and(|id| id.contains("refused/"))
}
