//! Compares the layers of the embedded network with Keras: outputs, gradients and moving statistics over three steps.

use ndarray::{ArrayD, IxDyn};
use plugfit::network::{Network, NetworkConfig, Sequential, Training};
use plugfit_tests::golden::{Array, Failures, cases, file, near};
use serde_json::{Value, json};

const TRAINING: Option<Training> = Some(Training { seed: 7, step: 1 });

fn array(value: &Value) -> ArrayD<f32> {
    let array = Array::read(value).expect("an array");
    let shape: Vec<usize> = array.shape.iter().map(|&axis| axis as usize).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), array.values.iter().map(|&value| value as f32).collect()).expect("whole")
}

fn compare<'a>(what: &str, found: impl IntoIterator<Item = &'a f32>, expected: &Value) -> Result<(), String> {
    let expected = array(expected);
    let found: Vec<f32> = found.into_iter().copied().collect();
    if found.len() != expected.len() {
        return Err(format!("{what} has {} numbers, not {}", found.len(), expected.len()));
    }
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        // Keras's float32 gradients of normalisations differ from those in float64 by up to 5e-5.
        if !near(f64::from(*found), f64::from(*expected), 6e-5, 3e-5) {
            return Err(format!("{what}[{i}] is {found}, not {expected}"));
        }
    }
    Ok(())
}

fn check(case: &Value) -> Result<(), String> {
    let text = |error: plugfit::Error| error.to_string();
    let shape: Vec<usize> = serde_json::from_value(case["input_shape"].clone()).expect("a shape");
    let config = NetworkConfig::from_json(&json!({"layers": case["layers"]})).map_err(text)?;
    // What is read is also written.
    let config = NetworkConfig::from_json(&config.to_json()).map_err(text)?;
    let mut network = Sequential::new(&config, &shape, 0).map_err(text)?;
    let weights = case["weights"].as_object().expect("weights");
    if network.parameters().len() != weights.len() || config.count_parameters(&shape) != Some(network.parameter_count())
    {
        return Err(format!("the network has the parameters {:?}", network.parameters()));
    }
    for (path, values) in weights {
        network.set_weight(path, &array(values).view()).map_err(text)?;
    }
    for (step, expected) in case["steps"].as_array().expect("steps").iter().enumerate() {
        network.forward(&array(&expected["x"]).view(), TRAINING).map_err(text)?;
        let (y, mut gradient) = network.output_and_gradient(0);
        compare(&format!("step {step}: y"), &y, &expected["y"])?;
        gradient.assign(&array(&expected["coefficients"]));
        network.backward(&[0]).map_err(text)?;
        let paths: Vec<String> = network.parameters().iter().map(|parameter| parameter.path.clone()).collect();
        let mut result = Ok(());
        network.visit_parameters(&mut |index, values, gradient| {
            let path = &paths[index];
            let compared = match gradient {
                Some(gradient) => {
                    let compared = compare(&format!("step {step}: {path}'"), gradient, &expected["gradients"][path]);
                    values.iter_mut().zip(gradient).for_each(|(value, gradient)| *value -= 0.1 * gradient);
                    compared
                }
                None => compare(&format!("step {step}: {path}"), &*values, &expected["without_gradient"][path]),
            };
            if result.is_ok() {
                result = compared;
            }
        });
        result?;
    }
    network.forward(&array(&case["inference"]["x"]).view(), None).map_err(text)?;
    compare("inference", network.output(0), &case["inference"]["y"])
}

#[test]
fn layers_match_keras_over_three_training_steps() {
    let file = file("layers");
    let mut failures = Failures::default();
    for case in cases(&file, "cases", &[]) {
        failures.add(&case["id"], check(case));
    }
    failures.finish(17);
}
