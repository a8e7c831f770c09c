//! Compares compiled models with Keras: the names and values of their logs, and what can't be compiled.

use plugfit::{
    Host,
    compile::{Compile, Compiled, LogValue, Output, Values},
};
use plugfit_tests::golden::{Array, Failures, file, near, number};
use serde_json::{Value, json};

/// One output of a model: its name, predictions, targets and weights.
struct Side {
    name: String,
    y_pred: Array,
    y_true: Option<Array>,
    weight: Option<Array>,
}

impl Side {
    /// Returns the samples `from` to `to`.
    fn output(&self, from: usize, to: usize) -> Output<'_> {
        fn part(array: &Array, from: usize, to: usize) -> Values<'_> {
            let each = array.values.len() / array.shape[0] as usize;
            let mut shape: Vec<usize> = array.shape.iter().map(|&length| length as usize).collect();
            shape[0] = to - from;
            Values::new(&array.single()[from * each..to * each], &shape)
        }
        Output {
            y_true: self.y_true.as_ref().map(|y_true| part(y_true, from, to)),
            y_pred: part(&self.y_pred, from, to),
            sample_weight: self.weight.as_ref().map(|weight| part(weight, from, to)),
            mask: None,
            inputs: &[],
        }
    }
}

fn sides(case: &Value) -> Vec<Side> {
    let outputs = case["model"]["outputs"].as_array().unwrap();
    let side = |output: &Value| {
        let name = output["name"].as_str().unwrap();
        let weights = &case["sample_weight"];
        let weight = if weights["all"].is_null() { &weights[name] } else { &weights["all"] };
        Side {
            name: name.into(),
            y_pred: Array::read(&case["predictions"][name]).unwrap_or_else(|| {
                // A case that must be refused has no predictions. Constants of the right shape suffice.
                let units = output["kernel"]["shape"][1].as_i64().unwrap();
                Array::new(vec![7, units], vec![0.5; 7 * units as usize], "float32".into())
            }),
            y_true: Array::read(&case["targets"][name]),
            weight: Array::read(weight),
        }
    };
    outputs.iter().map(side).collect()
}

fn compiled(host: &Host, case: &Value, sides: &[Side]) -> plugfit::Result<Compiled> {
    let mut compile = Compile::from_json(&case["compile"], None)?;
    compile.outputs = sides.iter().map(|side| side.name.clone()).collect();
    let mut compiled = host.compile(compile)?;
    let outputs: Vec<Output<'_>> = sides.iter().map(|side| side.output(0, 7)).collect();
    compiled.value(&outputs)?;
    compiled.reset_metrics()?;
    Ok(compiled)
}

fn compare(compiled: &Compiled, expected: &Value, what: &str) -> Result<(), String> {
    let logs = compiled.logs().map_err(|error| error.to_string())?;
    for (name, expected) in expected.as_object().unwrap() {
        let found = match logs.get(name) {
            None => return Err(format!("{what} has no {name}, but {:?}", logs.names().collect::<Vec<_>>())),
            Some(LogValue::Array { values, .. }) => values.clone(),
            Some(value) => vec![value.number().unwrap_or(0.0)],
        };
        let expected: Vec<f64> = match expected {
            Value::Array(list) => list.iter().map(number).collect(),
            Value::Object(_) => Array::read(expected).unwrap().values,
            single => vec![number(single)],
        };
        if found.len() != expected.len() || !found.iter().zip(&expected).all(|(a, b)| near(*a, *b, 1e-6, 1e-5)) {
            return Err(format!("{what}: {name} is {found:?}, not {expected:?}"));
        }
    }
    Ok(())
}

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let text = |error: plugfit::Error| error.to_string();
    let sides = sides(case);
    let mut compiled = compiled(host, case, &sides).map_err(text)?;
    for (from, to) in [(0, 3), (3, 6), (6, 7)] {
        let outputs: Vec<Output<'_>> = sides.iter().map(|side| side.output(from, to)).collect();
        compiled.value(&outputs).map_err(text)?;
        compiled.update_metrics_of(&outputs).map_err(text)?;
    }
    compare(&compiled, &case["evaluate_batch_size_3"], "evaluating")?;
    let names: Vec<String> = compiled.logs().map_err(text)?.names().map(str::to_owned).collect();
    let keys: Vec<&str> = case["log_keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    if sorted != keys {
        return Err(format!("logs {names:?}, not {keys:?}"));
    }
    compiled.reset_metrics().map_err(text)?;
    let outputs: Vec<Output<'_>> = sides.iter().map(|side| side.output(0, 7)).collect();
    compiled.value(&outputs).map_err(text)?;
    compiled.update_metrics_of(&outputs).map_err(text)?;
    compare(&compiled, &case["logs_first_train_on_batch"], "training")
}

/// Cases that Keras refuses and plugfit accepts, with the reason.
const DIFFERENCES: [(&str, &str); 3] = [
    ("refused/metrics-string", "one metric is a list of one"),
    ("refused/weighted-metrics-string", "the same"),
    ("refused/loss-weights-int", "2 is a number, as 2.0 is"),
];

#[test]
fn log_names_and_values_match_keras() {
    let (host, file) = (Host::new(), file("compile"));
    let mut failures = Failures::default();
    for case in file["cases"].as_array().unwrap() {
        failures.add(&case["id"], check(&host, case));
    }
    failures.finish(69);
}

#[test]
fn models_that_keras_cannot_compile_are_refused() {
    let (host, file) = (Host::new(), file("compile"));
    let mut failures = Failures::default();
    for case in file["refused"].as_array().unwrap() {
        let result = match compiled(&host, case, &sides(case)) {
            Ok(_) => Err(format!("was compiled; Keras: {}", json!(case["error"]["gist"]))),
            Err(_) => Ok(()),
        };
        failures.add_with_differences(&case["id"], &DIFFERENCES, result);
    }
    failures.finish(12);
}
