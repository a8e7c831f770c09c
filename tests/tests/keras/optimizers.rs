//! Compares optimizers with Keras.

use plugfit::{Host, network::Parameter};
use plugfit_tests::golden::{Array, Failures, cases, file, near};
use serde_json::Value;

const CLASSES: [&str; 16] = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
];

/// Returns the absolute and relative tolerance. Some optimizers amplify the rounding errors of float32.
fn tolerance(class: &str) -> (f64, f64) {
    match class {
        "Muon" => (1e-4, 1e-4),
        "Adafactor" | "Nadam" | "Ftrl" => (1e-5, 1e-4),
        _ => (1e-5, 1e-5),
    }
}

fn parameter(param: &Value, start: &Array) -> Parameter {
    Parameter {
        name: param["name"].as_str().unwrap().into(),
        path: param["path"].as_str().unwrap().into(),
        shape: start.shape.iter().map(|&length| length as usize).collect(),
        trainable: true,
    }
}

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let text = |error: plugfit::Error| error.to_string();
    let mut optimizer = host.optimizer(case["identifier"].clone()).map_err(text)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let params = list(&case["params"]);
    let starts: Vec<Array> = params.iter().map(|param| Array::read(&param["value"]).unwrap()).collect();
    let parameters: Vec<Parameter> = params.iter().zip(&starts).map(|(param, start)| parameter(param, start)).collect();
    let excluded = list(&case["exclude_from_weight_decay"]["var_names"]);
    if !excluded.is_empty() {
        let words = excluded.iter().filter_map(|word| word.as_str().map(str::to_owned));
        optimizer.exclude_from_weight_decay(words).map_err(text)?;
    }
    let mut values: Vec<Vec<f32>> = starts.iter().map(|start| start.single().to_vec()).collect();
    let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    optimizer.build(&parameters, &slices).map_err(text)?;
    let (absolute, relative) = tolerance(case["identifier"]["class_name"].as_str().unwrap_or_default());
    let compare = |values: &[Vec<f32>], expected: &Value, what: &str| {
        for ((parameter, values), expected) in parameters.iter().zip(values).zip(list(expected)) {
            let expected = Array::read(&expected).unwrap();
            for (i, (found, expected)) in values.iter().zip(&expected.values).enumerate() {
                if !near(f64::from(*found), *expected, absolute, relative) {
                    return Err(format!("{what} {}[{i}] is {found}, not {expected}", parameter.path));
                }
            }
        }
        Ok(())
    };
    for (step, gradients) in list(&case["gradients"]).iter().enumerate() {
        // An inner optimizer has its own learning rate and step count, which the host can't read.
        let is_inside = case["identifier"]["config"]["inner_optimizer"].is_object();
        if let Some(expected) = case["learning_rates"][step].as_f64()
            && !is_inside
            && !near(optimizer.learning_rate(), expected, 1e-9, 1e-6)
        {
            return Err(format!("in step {step} the rate is {}, not {expected}", optimizer.learning_rate()));
        }
        let gradients: Vec<Option<Array>> = list(gradients).iter().map(Array::read).collect();
        let gradients: Vec<Option<&[f32]>> = gradients.iter().map(|array| array.as_ref().map(Array::single)).collect();
        let mut targets: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
        optimizer.apply(&gradients, &mut targets).map_err(text)?;
        compare(&values, &case["params_after"][step], &format!("after step {step}"))?;
        let iterations = case["iterations_after"][step].as_u64().unwrap();
        if let Some(scale) = case["loss_scale_before_step"].get(step + 1).and_then(Value::as_f64)
            && optimizer.loss_scale() != scale
        {
            return Err(format!("scales the loss by {}, not {scale}", optimizer.loss_scale()));
        }
        if !is_inside && optimizer.iterations() != iterations {
            return Err(format!("counts {} iterations, not {iterations}", optimizer.iterations()));
        }
    }
    if !case["params_finalized"].is_null() {
        let mut targets: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
        optimizer.finalize(&mut targets).map_err(text)?;
        compare(&values, &case["params_finalized"], "in the end")?;
    }
    Ok(())
}

#[test]
fn optimizer_steps_match_keras() {
    let (host, file) = (Host::new(), file("optimizers"));
    let mut failures = Failures::default();
    for case in cases(&file, "cases", &CLASSES) {
        failures.add(&case["id"], check(&host, case));
    }
    failures.finish(232);
}

#[test]
fn the_steps_of_nadam_from_a_plugin_match_keras() {
    let host = Host::empty().with_plugins(plugfit_tests::build::library("demanding")).expect("it loads");
    let file = file("optimizers");
    let mut failures = Failures::default();
    for case in
        cases(&file, "cases", &["Nadam"]).into_iter().filter(|case| !case["identifier"].to_string().contains("Decay"))
    {
        failures.add(&case["id"], check(&host, case));
    }
    failures.finish(10);
}
