//! Tests that a component returns the results that its examples declare.

use super::{
    data::{weights, Array},
    loss,
    metric::{self, State},
    optimizer,
    report::{said, Report},
    tested::Tested,
};
use crate::{Error, Inputs, Result, Tensor};
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
                report.fail(format!("has an example that is no JSON object ({error}): {text}"));
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
            Ok(actual) => compare(tested, &example, &actual, report),
            Err(error) => report.error("fails", &error),
        }
    }
    report.about.clear();
}

/// Checks that the component rejected the example with an error that contains these words.
fn check_rejection(words: &str, error: Option<Error>, report: &mut Report) {
    match error {
        None => report.fail("accepts what its example says that it refuses"),
        Some(error)
            if [abi::ERROR_CONFIG, abi::ERROR_INPUT].contains(&error.kind()) && said(&error).contains(words) => {}
        Some(error) => report.error(format!("refuses it without the words {words:?}"), &error),
    }
}

/// Computes the results for an example.
fn evaluate(tested: &Tested<'_>, example: &Map<String, Value>) -> Result<Actual> {
    let config = example.get("config").cloned().unwrap_or_else(|| json!({}));
    let unnamed = |values| Actual { values, names: Vec::new(), second: None };
    match tested.kind() {
        "loss" => {
            let instance = tested.instance::<abi::LossV1>(&config)?;
            let info = loss::info(&instance)?;
            let with_gradient = example.contains_key("gradient");
            let (values, gradient) = with_inputs(example, &info.inputs, &info.dtypes, |inputs| {
                loss::values_of(&instance, &info, inputs, with_gradient)
            })?;
            Ok(Actual { second: Some(("gradient", gradient)), ..unnamed(values) })
        }
        "metric" => {
            let instance = tested.instance::<abi::MetricV1>(&config)?;
            let info = metric::info(&instance)?;
            let mut state = State::new(&instance, &info)?;
            let batches = example.get("batches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for batch in batches.iter().filter_map(Value::as_object).chain(batches.is_empty().then_some(example)) {
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

/// Calls `f` with the inputs of an example.
fn with_inputs<T>(
    example: &Map<String, Value>,
    names: &[String],
    dtypes: &[Vec<String>],
    f: impl FnOnce(&Inputs<'_>) -> Result<T>,
) -> Result<T> {
    let arrays: Vec<Array> = names.iter().map(|name| array(example, name)).collect::<Result<_>>()?;
    let weight = example.get("sample_weight").map(read).transpose()?;
    let tensors: Vec<(&str, Tensor<'_>)> = names
        .iter()
        .zip(&arrays)
        .enumerate()
        .map(|(i, (name, array))| (name.as_str(), array.tensor(dtypes.get(i))))
        .collect();
    f(&Inputs::new(&tensors, weight.as_ref().map(|weight| weight.tensor(None)), None))
}

/// Reads an input of an example.
///
/// # Errors
/// Returns an error if the example has no valid array with this key.
pub fn array(example: &Map<String, Value>, key: &str) -> Result<Array> {
    example.get(key).ok_or_else(|| invalid(format!("it has no {key:?}"))).and_then(read)
}

/// Returns an error about an example. Its kind differs from that of rejected inputs.
fn invalid(what: impl Into<String>) -> Error {
    Error::state(what)
}

/// Reads a number or nested lists of numbers.
fn read(value: &Value) -> Result<Array> {
    fn walk(value: &Value, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
        let uneven = || invalid(format!("{value} is neither a number nor a list as long as those beside it"));
        match value {
            Value::Array(items) => {
                match shape.get(depth) {
                    Some(&length) if length != items.len() => return Err(uneven()),
                    Some(_) => {}
                    None if values.is_empty() => shape.push(items.len()),
                    None => return Err(uneven()),
                }
                items.iter().try_for_each(|item| walk(item, depth + 1, shape, values))
            }
            _ if depth < shape.len() => Err(uneven()),
            other => {
                values.push(other.as_f64().ok_or_else(uneven)?);
                Ok(())
            }
        }
    }
    let (mut shape, mut values) = (Vec::new(), Vec::new());
    walk(value, 0, &mut shape, &mut values)?;
    Ok(Array::new(&shape, values))
}

/// Compares the actual results with those that an example declares.
fn compare(tested: &Tested<'_>, example: &Map<String, Value>, actual: &Actual, report: &mut Report) {
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
            report.that(names == found, || format!("gives {found:?}, not {names:?}"));
            let at = |name: &String| actual.names.iter().position(|other| other == name);
            let ordered: Vec<f64> =
                names.iter().filter_map(|name| at(name).map(|index| actual.values[index])).collect();
            let expected = weights(named.values().filter_map(Value::as_f64));
            return numbers(&ordered, &expected, relative, "gives ", report);
        }
        Some(value) => match read(value) {
            // One type can be a loss and the metric that is the mean of its values, with the same examples.
            Ok(values) if tested.kind() == "metric" && actual.values.len() == 1 && tested.is_also_a_loss() => {
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
    report.that(same, || format!("{gives}{found:?}, not {:?}", expected.numbers()));
}
