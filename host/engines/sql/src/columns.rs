//! States and results of metrics as Arrow arrays.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, LargeBinaryBuilder, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
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
pub enum Results {
    Numbers(Float64Builder),
    Texts(StringBuilder),
}

impl Results {
    pub fn with_capacity(form: Form, capacity: usize) -> Self {
        match form {
            Form::Number => Results::Numbers(Float64Builder::with_capacity(capacity)),
            Form::Json => Results::Texts(StringBuilder::new()),
        }
    }

    /// Appends the result of a metric.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails, or if one number is needed and there are several.
    pub fn push(&mut self, metric: &Metric) -> Result<()> {
        let outcome = metric.result()?;
        match self {
            Results::Numbers(numbers) => numbers.append_option(number(metric, &outcome)?),
            Results::Texts(texts) => texts.append_value(to_json(&outcome).to_string()),
        }
        Ok(())
    }

    pub fn finish(self) -> ArrayRef {
        match self {
            Results::Numbers(mut numbers) => Arc::new(numbers.finish()),
            Results::Texts(mut texts) => Arc::new(texts.finish()),
        }
    }
}

/// Returns the result of a metric.
///
/// # Errors
/// As [`Results::push`].
pub fn result(metric: &Metric, form: Form) -> Result<ScalarValue> {
    let outcome = metric.result()?;
    Ok(match form {
        Form::Number => ScalarValue::Float64(number(metric, &outcome)?),
        Form::Json => ScalarValue::Utf8(Some(to_json(&outcome).to_string())),
    })
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
fn number_to_json(number: f64) -> Value {
    match number {
        number if number.is_finite() => json!(number),
        number if number.is_nan() => json!("NaN"),
        number if number > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// Collects saved states.
pub fn states(capacity: usize) -> LargeBinaryBuilder {
    LargeBinaryBuilder::with_capacity(capacity, 0)
}
