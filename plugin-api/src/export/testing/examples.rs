//! What a component says that it gives.

use super::{
    data::{weights, Array},
    loss,
    metric::{self, State},
    optimizer,
    report::{said, Report},
    trial::Trial,
};
use crate::{Error, Inputs, Result, Tensor};
use plugfit_abi as abi;
use serde_json::{json, Map, Value};

/// What a component gave: as many numbers as the example says, and their names, if they have any; and what else an example may say,
/// by its key.
struct Given {
    values: Vec<f64>,
    names: Vec<String>,
    also: Option<(&'static str, Vec<f64>)>,
}

pub fn check(trial: &Trial<'_>, report: &mut Report) {
    if trial.examples().is_empty() {
        return report.note("it has no example: its constants are only its author's word (#[config(example = …)])");
    }
    for text in trial.examples() {
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
            report.fail("says by no words what is refused");
            continue;
        }
        // One without both only says how it is configured.
        if refused.is_none() && !example.contains_key("gives") {
            continue;
        }
        let result = given(trial, &example);
        if let Some(words) = refused {
            refuses(words, result.err(), report);
            continue;
        }
        match result {
            Ok(given) => compare(trial, &example, &given, report),
            Err(error) => report.error("fails", &error),
        }
    }
    report.about.clear();
}

/// That it says these words of what it doesn't take.
fn refuses(words: &str, error: Option<Error>, report: &mut Report) {
    match error {
        None => report.fail("takes what it says that it refuses"),
        Some(error)
            if [abi::ERROR_CONFIG, abi::ERROR_INPUT].contains(&error.kind()) && said(&error).contains(words) => {}
        Some(error) => report.error(format!("doesn't say {words:?} as it refuses it"), &error),
    }
}

fn given(trial: &Trial<'_>, example: &Map<String, Value>) -> Result<Given> {
    let config = example.get("config").cloned().unwrap_or_else(|| json!({}));
    let unnamed = |values| Given { values, names: Vec::new(), also: None };
    match trial.kind() {
        "loss" => {
            let made = trial.made::<abi::LossV1>(&config)?;
            let info = loss::info(&made)?;
            let wanted = example.contains_key("gradient");
            let (values, gradient) = with_inputs(example, &info.inputs, &info.dtypes, |inputs| {
                loss::values_of(&made, &info, inputs, wanted)
            })?;
            Ok(Given { also: Some(("gradient", gradient)), ..unnamed(values) })
        }
        "metric" => {
            let made = trial.made::<abi::MetricV1>(&config)?;
            let info = metric::info(&made)?;
            let mut state = State::new(&made, &info)?;
            let batches = example.get("batches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for batch in batches.iter().filter_map(Value::as_object).chain(batches.is_empty().then_some(example)) {
                with_inputs(batch, &info.inputs, &info.dtypes, |inputs| state.update_with(inputs))?;
            }
            let result = state.raw_result()?;
            let names = result.names.iter().map(|name| name.as_str().to_owned()).collect();
            Ok(Given { names, ..unnamed(result.values.into()) })
        }
        "optimizer" => {
            let start = array(example, "start")?;
            let gradients = example.get("gradients").and_then(Value::as_array);
            let gradients = gradients.ok_or_else(|| wrong("it has no list \"gradients\""))?;
            let gradients: Vec<Array> = gradients.iter().map(read).collect::<Result<_>>()?;
            let rate = example.get("learning_rate").and_then(Value::as_f64).unwrap_or(0.1);
            let made = trial.made::<abi::OptimizerV1>(&config)?;
            let (values, finalized) = optimizer::after(&made, &start, &gradients, rate)?;
            Ok(Given { also: Some(("finalized", finalized)), ..unnamed(values) })
        }
        _ => {
            let made = trial.made::<abi::ScheduleV1>(&config)?;
            let steps = array(example, "steps")?;
            let rates = steps.numbers().iter().map(|&step| made.learning_rate(step as u64, abi::NONE));
            rates.collect::<Result<_>>().map(unnamed)
        }
    }
}

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

/// An input of an example.
pub fn array(example: &Map<String, Value>, key: &str) -> Result<Array> {
    example.get(key).ok_or_else(|| wrong(format!("it has no {key:?}"))).and_then(read)
}

/// What is wrong with an example; not of a kind that a component refuses its inputs with.
fn wrong(what: impl Into<String>) -> Error {
    Error::state(what)
}

/// A number, or lists of lists of them.
fn read(value: &Value) -> Result<Array> {
    fn walk(value: &Value, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
        let uneven = || wrong(format!("{value} is neither a number nor a list as long as those beside it"));
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

fn compare(trial: &Trial<'_>, example: &Map<String, Value>, given: &Given, report: &mut Report) {
    let relative = example.get("within").and_then(Value::as_f64).unwrap_or(1e-5);
    if let Some((key, found)) = &given.also {
        match example.get(*key).map(read) {
            Some(Ok(expected)) => numbers(found, &expected, relative, &format!("gives the {key} "), report),
            Some(Err(error)) => report.error(format!("says a {key} that can't be"), &error),
            None => {}
        }
    }
    let expected = match example.get("gives") {
        None | Some(Value::Null) => weights([]),
        Some(Value::Object(named)) => {
            let names: Vec<&String> = named.keys().collect();
            let mut found: Vec<&String> = given.names.iter().collect();
            found.sort();
            report.that(names == found, || format!("gives {found:?}, not {names:?}"));
            let at = |name: &String| given.names.iter().position(|other| other == name);
            let ordered: Vec<f64> = names.iter().filter_map(|name| at(name).map(|index| given.values[index])).collect();
            let expected = weights(named.values().filter_map(Value::as_f64));
            return numbers(&ordered, &expected, relative, "gives ", report);
        }
        Some(value) => match read(value) {
            // A loss and the metric that is the mean of its values are one struct, with the same examples.
            Ok(values) if trial.kind() == "metric" && given.values.len() == 1 && trial.is_also_a_loss() => {
                weights([values.numbers().iter().sum::<f64>() / values.len() as f64])
            }
            Ok(expected) => expected,
            Err(error) => return report.error("says what can't be given", &error),
        },
    };
    numbers(&given.values, &expected, relative, "gives ", report);
}

fn numbers(found: &[f64], expected: &Array, relative: f64, gives: &str, report: &mut Report) {
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() <= relative * expected.abs().max(1e-3);
    let same = found.len() == expected.len() && found.iter().zip(expected.numbers()).all(near);
    report.that(same, || format!("{gives}{found:?}, not {:?}", expected.numbers()));
}
