//! Tests that a component returns the results that its examples declare.

use super::{
    data::{weights, with_arrays, Array},
    example_arrays::{array, invalid, read},
    loss,
    metric::State,
    optimizer,
    report::{describe_error, Report},
    tested::Tested,
};
use crate::{loss::LossInfo, metric::MetricInfo, Error, Inputs, Result};
use plugfit_abi as abi;
use serde_json::{json, Map, Value};

/// The actual results of a component for an example.
struct Actual {
    values: Vec<f64>,
    /// The names of the values, if a metric has named results.
    names: Vec<String>,
    /// A second result that an example may declare, with its key.
    second: Option<(&'static str, Vec<f64>)>,
}

pub fn check(tested: &Tested<'_>, report: &mut Report) {
    if tested.examples().is_empty() {
        return report.note("it has no example: nothing verifies its constants (#[config(example = …)])");
    }
    for text in tested.examples() {
        let text = text.as_str().unwrap_or_default();
        let example: Map<String, Value> = match serde_json::from_str(text) {
            Ok(example) => example,
            Err(error) => {
                report.fail(format!("has an example that isn't a JSON object ({error}): {text}"));
                continue;
            }
        };
        report.about = format!(", in the example {text}");
        let refused = example.get("refused").map(|words| words.as_str().unwrap_or_default());
        if refused.is_some_and(str::is_empty) {
            report.fail("has an example whose \"refused\" has no words");
            continue;
        }
        // An example without both only provides a configuration.
        if refused.is_none() && !example.contains_key("gives") {
            continue;
        }
        let result = evaluate(tested, &example);
        if let Some(words) = refused {
            check_rejection(words, result.err(), report);
            continue;
        }
        match result {
            Ok(actual) => {
                let is_mean = tested.kind() == "metric" && tested.is_also_a_loss();
                compare(&example, &actual, is_mean, report);
            }
            Err(error) => report.error("fails", &error),
        }
    }
    report.about.clear();
}

/// Checks that the component rejected the example with an error that contains these words.
fn check_rejection(words: &str, error: Option<Error>, report: &mut Report) {
    match error {
        None => report.fail("accepts an example that is declared as \"refused\""),
        Some(error)
            if [abi::ERROR_CONFIG, abi::ERROR_INPUT].contains(&error.kind())
                && describe_error(&error).contains(words) => {}
        Some(error) => report.error(format!("refuses it, but the error doesn't contain {words:?}"), &error),
    }
}

/// Computes the results for an example.
fn evaluate(tested: &Tested<'_>, example: &Map<String, Value>) -> Result<Actual> {
    let config = example.get("config").cloned().unwrap_or_else(|| json!({}));
    let unnamed = |values| Actual { values, names: Vec::new(), second: None };
    match tested.kind() {
        "loss" => {
            let instance = tested.instance::<abi::LossV1>(&config)?;
            let info: LossInfo = instance.typed_info()?;
            let with_gradient = example.contains_key("gradient");
            let (values, gradient) = with_inputs(example, &info.inputs, &info.dtypes, |inputs| {
                loss::values_of(&instance, &info, inputs, with_gradient)
            })?;
            Ok(Actual { second: Some(("gradient", gradient)), ..unnamed(values) })
        }
        "metric" => {
            let instance = tested.instance::<abi::MetricV1>(&config)?;
            let info: MetricInfo = instance.typed_info()?;
            let mut state = State::new(&instance, &info)?;
            for batch in batches(example)? {
                with_inputs(batch, &info.inputs, &info.dtypes, |inputs| state.update_with(inputs))?;
            }
            let result = state.raw_result()?;
            let names = result.names.iter().map(|name| name.as_str().to_owned()).collect();
            Ok(Actual { names, ..unnamed(result.values.into()) })
        }
        "optimizer" => {
            let start = array(example, "start")?;
            let gradients = example.get("gradients").and_then(Value::as_array);
            let gradients = gradients.ok_or_else(|| invalid("it has no list \"gradients\""))?;
            let gradients: Vec<Array> = gradients.iter().map(read).collect::<Result<_>>()?;
            let rate = example.get("learning_rate").and_then(Value::as_f64).unwrap_or(0.1);
            let instance = tested.instance::<abi::OptimizerV1>(&config)?;
            let (values, finalized) = optimizer::after(&instance, &start, &gradients, rate)?;
            Ok(Actual { second: Some(("finalized", finalized)), ..unnamed(values) })
        }
        _ => {
            let instance = tested.instance::<abi::ScheduleV1>(&config)?;
            let steps = array(example, "steps")?;
            let rates = steps.numbers().iter().map(|&step| instance.learning_rate(step as u64, abi::NONE));
            rates.collect::<Result<_>>().map(unnamed)
        }
    }
}

/// Returns the batches of an example: the objects in its list `batches`, or the example itself.
fn batches(example: &Map<String, Value>) -> Result<Vec<&Map<String, Value>>> {
    match example.get("batches").map(Value::as_array) {
        None => Ok(vec![example]),
        Some(None) => Err(invalid("its \"batches\" aren't a list")),
        Some(Some(list)) if list.is_empty() => Ok(vec![example]),
        Some(Some(list)) => {
            let object = |batch: &Value| invalid(format!("its \"batches\" contain {batch}, which isn't an object"));
            list.iter().map(|batch| batch.as_object().ok_or_else(|| object(batch))).collect()
        }
    }
}

/// Calls `f` with the inputs of an example.
fn with_inputs<T>(
    example: &Map<String, Value>,
    names: &[String],
    dtypes: &[Vec<String>],
    f: impl FnOnce(&Inputs<'_>) -> Result<T>,
) -> Result<T> {
    let arrays: Vec<Array> = names.iter().map(|name| array(example, name)).collect::<Result<_>>()?;
    let weight = example.get("sample_weight").map(read).transpose()?;
    with_arrays(names, dtypes, &arrays, weight.as_ref(), f)
}

/// Compares the actual results with those that an example declares. `is_mean` declares that they are those of a metric
/// that is the mean of a loss, whose values the example contains.
fn compare(example: &Map<String, Value>, actual: &Actual, is_mean: bool, report: &mut Report) {
    let relative = example.get("within").and_then(Value::as_f64).unwrap_or(1e-5);
    if let Some((key, found)) = &actual.second {
        match example.get(*key).map(read) {
            Some(Ok(expected)) => numbers(found, &expected, relative, &format!("gives the {key} "), report),
            Some(Err(error)) => report.error(format!("has an example with an invalid {key}"), &error),
            None => {}
        }
    }
    let expected = match example.get("gives") {
        None | Some(Value::Null) => weights([]),
        Some(Value::Object(named)) => {
            let names: Vec<&String> = named.keys().collect();
            let mut found: Vec<&String> = actual.names.iter().collect();
            found.sort();
            report.check(names == found, || format!("gives {found:?}, not {names:?}"));
            let at = |name: &String| actual.names.iter().position(|other| other == name);
            let ordered: Vec<f64> = names.iter().filter_map(|name| actual.values.get(at(name)?).copied()).collect();
            return match named.values().map(Value::as_f64).collect::<Option<Vec<_>>>() {
                Some(expected) => numbers(&ordered, &weights(expected), relative, "gives ", report),
                None => report.fail("has an example with a named result that isn't a number"),
            };
        }
        Some(value) => match read(value) {
            // One type can be a loss and the metric that is the mean of its values, with the same examples.
            Ok(values) if is_mean && actual.values.len() == 1 => {
                weights([values.numbers().iter().sum::<f64>() / values.len() as f64])
            }
            Ok(expected) => expected,
            Err(error) => return report.error("has an example with an invalid result", &error),
        },
    };
    numbers(&actual.values, &expected, relative, "gives ", report);
}

/// Compares numbers with a relative tolerance.
fn numbers(found: &[f64], expected: &Array, relative: f64, gives: &str, report: &mut Report) {
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() <= relative * expected.abs().max(1e-3);
    let same = found.len() == expected.len() && found.iter().zip(expected.numbers()).all(near);
    report.check(same, || format!("{gives}{found:?}, not {:?}", expected.numbers()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    /// Returns the failures if a metric gives these values with these names.
    fn failures(gives: Value, values: &[f64], names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut report = Report::default();
        let actual = Actual { values: values.to_vec(), names, second: None };
        compare(&example(json!({"gives": gives})), &actual, false, &mut report);
        report.failures
    }

    #[test]
    fn a_named_result_is_compared_by_name() {
        assert_eq!(failures(json!({"a": 1, "b": 2}), &[2.0, 1.0], &["b", "a"]), [""; 0]);
        assert_eq!(failures(json!({"a": 1, "b": 2}), &[1.0, 2.0], &["b", "a"]).len(), 1);
    }

    #[test]
    fn a_named_result_that_is_no_number_is_a_failure() {
        let found = failures(json!({"a": "x", "b": 2}), &[2.0, 2.0], &["a", "b"]);
        assert_eq!(found, ["has an example with a named result that isn't a number"]);
    }

    #[test]
    fn fewer_values_than_names_are_a_failure() {
        assert_eq!(failures(json!({"a": 1, "b": 2}), &[1.0], &["a", "b"]).len(), 1);
    }

    #[test]
    fn a_batch_that_is_no_object_is_an_error() {
        assert_eq!(batches(&example(json!({"batches": [{}, {}]}))).unwrap().len(), 2);
        assert_eq!(batches(&example(json!({"y_true": [1]}))).unwrap().len(), 1);
        assert!(batches(&example(json!({"batches": [{}, 1]}))).is_err());
        assert!(batches(&example(json!({"batches": {}}))).is_err());
    }
}
