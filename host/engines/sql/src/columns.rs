//! States and results of metrics as Arrow arrays.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, LargeBinaryArray, LargeBinaryBuilder, StringBuilder,
};
use datafusion::arrow::datatypes::DataType;
use plugfit::component::Metric;
use plugfit::{Error, Result};
use plugfit_api::metric::Outcome;
use serde_json::{Map, Value, json};

use crate::form::Form;

/// The type of saved states. Those of exact metrics may exceed 2 GiB together.
pub const STATE_TYPE: DataType = DataType::LargeBinary;

/// Returns the type of a result.
pub fn data_type(form: Form) -> DataType {
    match form {
        Form::Number => DataType::Float64,
        Form::Json => DataType::Utf8,
    }
}

/// Collects the results of groups.
pub struct Results {
    form: Form,
    numbers: Float64Builder,
    texts: StringBuilder,
}

impl Results {
    pub fn new(form: Form) -> Self {
        Results { form, numbers: Float64Builder::new(), texts: StringBuilder::new() }
    }

    /// Appends the results of a group's metrics; several are a JSON array.
    ///
    /// # Errors
    /// Returns an error if a plug-in fails, or if one number is needed and there are several.
    pub fn push(&mut self, metrics: &[Metric]) -> Result<()> {
        match (self.form, metrics) {
            (Form::Number, [metric]) => self.numbers.append_option(number(metric, &metric.result()?)?),
            (Form::Json, [metric]) => self.texts.append_value(to_json(&metric.result()?).to_string()),
            (Form::Json, metrics) => {
                let results = metrics.iter().map(|metric| Ok(to_json(&metric.result()?)));
                self.texts.append_value(results.collect::<Result<Value>>()?.to_string());
            }
            (Form::Number, _) => return Err(Error::failure("several metrics aren't one number")),
        }
        Ok(())
    }

    pub fn finish(mut self) -> ArrayRef {
        match self.form {
            Form::Number => Arc::new(self.numbers.finish()),
            Form::Json => Arc::new(self.texts.finish()),
        }
    }
}

fn number(metric: &Metric, outcome: &Outcome) -> Result<Option<f64>> {
    let several = |what: String| {
        Err(Error::usage(format!("{} returns {what}, and a SQL function returns one number", metric.name()))
            .hint(format!("metric_json('{}', …) returns them as JSON", metric.class_name())))
    };
    match outcome {
        Outcome::Undefined => Ok(None),
        Outcome::Scalar(number) => Ok(Some(*number)),
        Outcome::Array { shape, .. } => several(format!("an array of shape {shape:?}")),
        Outcome::Named(named) => {
            let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
            several(format!("the numbers {}", names.join(", ")))
        }
    }
}

/// Returns a result as JSON.
pub fn to_json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Undefined => Value::Null,
        Outcome::Scalar(number) => number_to_json(*number),
        Outcome::Array { shape, values } => nested(shape, values),
        Outcome::Named(named) => {
            let named = named.iter().map(|(name, number)| (name.clone(), number_to_json(*number)));
            Value::Object(named.collect::<Map<_, _>>())
        }
    }
}

fn nested(shape: &[usize], values: &[f64]) -> Value {
    match shape {
        [] => values.first().map_or(Value::Null, |number| number_to_json(*number)),
        [_] => values.iter().map(|number| number_to_json(*number)).collect(),
        [count, rest @ ..] => {
            let length: usize = rest.iter().product();
            (0..*count).map(|at| nested(rest, values.get(at * length..(at + 1) * length).unwrap_or_default())).collect()
        }
    }
}

/// Returns a number as JSON, which has no NaN and no infinity.
pub fn number_to_json(number: f64) -> Value {
    match number {
        number if number.is_finite() => json!(number),
        number if number.is_nan() => json!("NaN"),
        number if number > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// Writes the states of metrics, each after its length.
///
/// # Errors
/// Returns an error if a plug-in fails.
pub fn write_states(target: &mut impl Write, metrics: &[Metric]) -> Result<()> {
    for metric in metrics {
        let state = metric.get_state()?;
        let written = target.write_all(&(state.len() as u64).to_le_bytes()).and_then(|()| target.write_all(&state));
        written.map_err(|error| Error::failure(format!("a state can't be saved: {error}")))?;
    }
    Ok(())
}

/// Appends the states of a group's metrics as [`write_states`] does.
///
/// # Errors
/// Returns an error if a plug-in fails.
pub fn push_state(states: &mut LargeBinaryBuilder, metrics: &[Metric]) -> Result<()> {
    write_states(states, metrics)?;
    states.append_value([]);
    Ok(())
}

/// Returns the saved states of a batch.
///
/// # Errors
/// Returns an error if it has another type.
pub fn saved_states(states: &ArrayRef) -> Result<&LargeBinaryArray> {
    let found = states.as_binary_opt::<i64>();
    found.ok_or_else(|| Error::failure(format!("a saved state has the type {}", states.data_type())))
}

/// Merges a saved state into that of a metric, which has seen no data if `is_fresh`. `other` is overwritten.
///
/// # Errors
/// Returns an error if the state is damaged, or if the plug-in fails.
pub fn merge_state(metric: &mut Metric, is_fresh: bool, other: &mut Metric, saved: &[u8]) -> Result<()> {
    if is_fresh {
        return metric.set_state(saved);
    }
    other.set_state(saved)?;
    metric.merge_state(other)
}

/// Returns the next of the states that [`write_states`] wrote, and removes it from the bytes.
///
/// # Errors
/// Returns an error if there is none.
pub fn next_state<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let next = || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    };
    let (state, rest) = next().ok_or_else(|| Error::failure("a saved state is damaged"))?;
    *bytes = rest;
    Ok(state)
}

/// Collects saved states.
pub fn states(capacity: usize) -> LargeBinaryBuilder {
    LargeBinaryBuilder::with_capacity(capacity, 0)
}
