//! Logs: the results of a batch, an epoch or an evaluation as names and values, in order.

use std::collections::HashMap;
use std::fmt;

use plugfit_api::metric::Outcome;
use serde_json::{Map, Value, json};

/// A value in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum LogValue {
    /// A number. A loss may be NaN or infinite.
    Number(f64),
    /// Undefined, because there is no data yet or only a single class. Neither 0 nor NaN, which results from a failed
    /// computation.
    Undefined,
    /// Several numbers in C order, such as one for each class.
    Array {
        /// The length of each axis.
        shape: Vec<usize>,
        /// The numbers.
        values: Vec<f64>,
    },
}

impl LogValue {
    /// Returns the number: NaN if undefined, `None` for an array.
    pub fn number(&self) -> Option<f64> {
        match self {
            LogValue::Number(number) => Some(*number),
            LogValue::Undefined => Some(f64::NAN),
            LogValue::Array { .. } => None,
        }
    }

    /// Converts to JSON: null if undefined, and the strings "nan", "inf" and "-inf" for numbers that JSON doesn't have.
    pub fn to_json(&self) -> Value {
        let number = |number: f64| match number {
            number if number.is_finite() => json!(number),
            number if number.is_nan() => json!("nan"),
            number => json!(if number > 0.0 { "inf" } else { "-inf" }),
        };
        match self {
            LogValue::Number(value) => number(*value),
            LogValue::Undefined => Value::Null,
            LogValue::Array { shape, values } => nested(shape, &mut values.iter().map(|&value| number(value))),
        }
    }
}

impl LogValue {
    /// Converts from the output of [`to_json`](Self::to_json); `None` if the value has a different form.
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        let Value::Array(_) = value else {
            return if value.is_null() { Some(LogValue::Undefined) } else { number(value).map(LogValue::Number) };
        };
        let (mut shape, mut values) = (Vec::new(), vec![value]);
        while let Some(Value::Array(first)) = values.first() {
            let length = first.len();
            shape.push(length);
            let inner: Option<Vec<_>> =
                values.iter().map(|value| value.as_array().filter(|list| list.len() == length)).collect();
            values = inner?.into_iter().flatten().collect();
        }
        let values = values.into_iter().map(number).collect::<Option<_>>()?;
        Some(LogValue::Array { shape, values })
    }
}

fn nested(shape: &[usize], values: &mut dyn Iterator<Item = Value>) -> Value {
    match shape.split_first() {
        None => values.next().unwrap_or_default(),
        Some((&length, inner)) => (0..length).map(|_| nested(inner, values)).collect(),
    }
}

impl fmt::Display for LogValue {
    /// Writes four decimal places, as in the line of an epoch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |f: &mut fmt::Formatter<'_>, number: f64| {
            if number != 0.0 && number.is_finite() && !(1e-3..1e5).contains(&number.abs()) {
                write!(f, "{number:.3e}")
            } else {
                write!(f, "{number:.4}")
            }
        };
        match self {
            LogValue::Number(value) => number(f, *value),
            LogValue::Undefined => f.write_str("-"),
            LogValue::Array { values, .. } => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" ")?;
                    }
                    number(f, *value)?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Names and values in Keras's order: the loss, the metrics, the weighted metrics, the loss of each output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    entries: Vec<(String, LogValue)>,
    /// The index of each name; empty while there are few entries.
    places: HashMap<String, usize>,
}

/// Up to this number of entries, a linear search is faster than building a hash table.
const MAX_LINEAR: usize = 32;

impl Logs {
    /// Returns the entries in order.
    pub fn entries(&self) -> &[(String, LogValue)] {
        &self.entries
    }

    /// Returns the value of this name.
    pub fn get(&self, name: &str) -> Option<&LogValue> {
        self.place(name).map(|place| &self.entries[place].1)
    }

    fn place(&self, name: &str) -> Option<usize> {
        match self.places.is_empty() {
            true => self.entries.iter().position(|(entry, _)| entry == name),
            false => self.places.get(name).copied(),
        }
    }

    /// Returns the number of this name; NaN if undefined.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(LogValue::number)
    }

    /// Returns the names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Converts to a JSON object; see [`LogValue::to_json`].
    pub fn to_json(&self) -> Value {
        self.entries.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<Map<_, _>>().into()
    }

    /// Appends an entry. If the name exists, its value is replaced.
    pub fn push(&mut self, name: impl Into<String>, value: LogValue) {
        let name = name.into();
        if let Some(place) = self.place(&name) {
            self.entries[place].1 = value;
            return;
        }
        if !self.places.is_empty() {
            self.places.insert(name.clone(), self.entries.len());
        }
        self.entries.push((name, value));
        if self.places.is_empty() && self.entries.len() > MAX_LINEAR {
            self.places = self.names().enumerate().map(|(place, name)| (name.to_owned(), place)).collect();
        }
    }

    /// Appends a metric's outcome; named numbers become entries `name_number`.
    pub(super) fn push_outcome(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Undefined => self.push(name, LogValue::Undefined),
            Outcome::Scalar(value) => self.push(name, LogValue::Number(value)),
            Outcome::Array { shape, values } => self.push(name, LogValue::Array { shape, values }),
            Outcome::Named(numbers) => {
                for (number, value) in numbers {
                    self.push(format!("{name}_{number}"), LogValue::Number(value));
                }
            }
        }
    }
}

impl fmt::Display for Logs {
    /// Writes a line such as `loss 0.1391  accuracy 0.9642`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.entries.iter().enumerate() {
            write!(f, "{}{name} {value}", if i > 0 { "  " } else { "" })?;
        }
        Ok(())
    }
}

impl<'l> IntoIterator for &'l Logs {
    type Item = &'l (String, LogValue);
    type IntoIter = std::slice::Iter<'l, (String, LogValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_shown_in_a_line_and_written_as_json() {
        let mut logs = Logs::default();
        logs.push("loss", LogValue::Number(0.139_06));
        logs.push_outcome("auc", Outcome::Undefined);
        logs.push_outcome("f1", Outcome::Array { shape: vec![2, 1], values: vec![0.5, f64::NAN] });
        logs.push_outcome("at", Outcome::Named(vec![("low".into(), 2e-7)]));
        assert_eq!(logs.to_string(), "loss 0.1391  auc -  f1 [0.5000 NaN]  at_low 2.000e-7");
        assert_eq!(logs.to_json(), json!({"loss": 0.139_06, "auc": null, "f1": [[0.5], ["nan"]], "at_low": 2e-7}));
        assert!(logs.number("auc").is_some_and(f64::is_nan));
        assert_eq!(logs.number("f1"), None);
    }

    #[test]
    fn pushing_an_existing_name_replaces_its_value() {
        let mut logs = Logs::default();
        for round in 0..2 {
            for name in 0..100 {
                logs.push(format!("n{name}"), LogValue::Number(f64::from(round * 100 + name)));
            }
        }
        assert_eq!(logs.entries().len(), 100);
        let names: Vec<String> = (0..100).map(|name| format!("n{name}")).collect();
        assert!(logs.names().eq(names.iter().map(String::as_str)));
        assert!((0..100).all(|name| logs.number(&format!("n{name}")) == Some(f64::from(100 + name))));
        assert_eq!(logs.get("n100"), None);
    }
}
