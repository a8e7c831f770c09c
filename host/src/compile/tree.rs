//! Arguments of `compile` per output: one value, a list, or a table by output name.

use std::path::Path;

use serde_json::{Map, Value};

use crate::Identifier;

/// One identifier for all outputs, a list of them, or a table by output name. Entries may be lists again.
#[derive(Clone, Debug)]
pub enum PerOutput {
    /// One identifier for all outputs, or none.
    One(Identifier),
    /// A list: for the outputs in order, or of the metrics of one output.
    List(Vec<PerOutput>),
    /// A table by output name.
    Table(Vec<(String, PerOutput)>),
}

impl PerOutput {
    /// Creates an empty value.
    pub fn none() -> Self {
        PerOutput::One(Identifier::none())
    }

    /// Creates a table by output name.
    ///
    /// ```
    /// use plugfit::compile::PerOutput;
    ///
    /// let losses = PerOutput::table([("flag", "binary_crossentropy"), ("kind", "categorical_crossentropy")]);
    /// ```
    pub fn table<K: Into<String>, V: Into<PerOutput>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        PerOutput::Table(entries.into_iter().map(|(name, entry)| (name.into(), entry.into())).collect())
    }

    /// Returns whether it is empty: none, an empty list or an empty table.
    pub fn is_none(&self) -> bool {
        match self {
            PerOutput::One(identifier) => identifier.is_none(),
            PerOutput::List(list) => list.is_empty(),
            PerOutput::Table(table) => table.is_empty(),
        }
    }

    /// Makes relative paths start from this folder.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            PerOutput::One(identifier) => PerOutput::One(identifier.relative_to(folder)),
            PerOutput::List(list) => PerOutput::List(list.into_iter().map(|entry| entry.relative_to(folder)).collect()),
            PerOutput::Table(table) => {
                PerOutput::Table(table.into_iter().map(|(name, entry)| (name, entry.relative_to(folder))).collect())
            }
        }
    }

    /// Converts to JSON, in the form that [`From<Value>`] reads.
    pub fn to_json(&self) -> Value {
        match self {
            PerOutput::One(identifier) => identifier.to_json(),
            PerOutput::List(list) => list.iter().map(PerOutput::to_json).collect(),
            PerOutput::Table(table) => {
                table.iter().map(|(name, entry)| (name.clone(), entry.to_json())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// Returns every identifier with its position, such as `compile.metrics.kind[0]`.
    pub(super) fn placed(&self, place: &str) -> Vec<Placed> {
        match self {
            PerOutput::One(identifier) => vec![Placed { place: place.to_owned(), identifier: identifier.clone() }],
            PerOutput::List(list) => {
                list.iter().enumerate().flat_map(|(i, entry)| entry.placed(&format!("{place}[{i}]"))).collect()
            }
            PerOutput::Table(table) => {
                table.iter().flat_map(|(name, entry)| entry.placed(&format!("{place}.{name}"))).collect()
            }
        }
    }
}

/// An identifier and its position.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub place: String,
    pub identifier: Identifier,
}

impl Default for PerOutput {
    fn default() -> Self {
        PerOutput::none()
    }
}

impl From<Identifier> for PerOutput {
    fn from(identifier: Identifier) -> Self {
        PerOutput::One(identifier)
    }
}

impl From<&str> for PerOutput {
    fn from(text: &str) -> Self {
        PerOutput::One(text.into())
    }
}

impl From<String> for PerOutput {
    fn from(text: String) -> Self {
        PerOutput::One(text.into())
    }
}

impl<T: Into<PerOutput>, const N: usize> From<[T; N]> for PerOutput {
    fn from(list: [T; N]) -> Self {
        PerOutput::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<PerOutput>> From<Vec<T>> for PerOutput {
    fn from(list: Vec<T>) -> Self {
        PerOutput::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<PerOutput>> From<Option<T>> for PerOutput {
    fn from(entry: Option<T>) -> Self {
        entry.map_or_else(PerOutput::none, Into::into)
    }
}

impl From<Value> for PerOutput {
    /// Converts an object with a `class_name` to an identifier, and any other object to a table by output name.
    fn from(value: Value) -> Self {
        match value {
            Value::Array(list) => list.into(),
            Value::Object(mut object) if object.get("class_name").is_some_and(|name| name == "__tuple__") => {
                object.remove("items").unwrap_or_default().into()
            }
            Value::Object(object) if !object.contains_key("class_name") => PerOutput::table(object),
            other => PerOutput::One(other.into()),
        }
    }
}

/// Loss weights: one for all losses, a list of them, or a table by output name.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LossWeights {
    /// Every loss has the weight 1.
    #[default]
    None,
    /// One weight for all losses.
    All(f64),
    /// A weight for each loss, in order.
    List(Vec<f64>),
    /// A weight for each output name.
    Table(Vec<(String, f64)>),
}

impl LossWeights {
    /// Creates a table by output name.
    pub fn table<K: Into<String>>(entries: impl IntoIterator<Item = (K, f64)>) -> Self {
        LossWeights::Table(entries.into_iter().map(|(name, weight)| (name.into(), weight)).collect())
    }

    /// Converts to JSON, in the form that `Compile::from_json` reads.
    pub fn to_json(&self) -> Value {
        match self {
            LossWeights::None => Value::Null,
            LossWeights::All(weight) => (*weight).into(),
            LossWeights::List(weights) => weights.clone().into(),
            LossWeights::Table(weights) => {
                weights.iter().map(|(name, weight)| (name.clone(), (*weight).into())).collect::<Map<_, _>>().into()
            }
        }
    }
}

impl From<f64> for LossWeights {
    fn from(weight: f64) -> Self {
        LossWeights::All(weight)
    }
}

impl<const N: usize> From<[f64; N]> for LossWeights {
    fn from(weights: [f64; N]) -> Self {
        LossWeights::List(weights.into())
    }
}

impl From<Vec<f64>> for LossWeights {
    fn from(weights: Vec<f64>) -> Self {
        LossWeights::List(weights)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(per_output: impl Into<PerOutput>) -> Vec<String> {
        let placed = per_output.into().placed("compile.metrics");
        placed.into_iter().map(|Placed { place, identifier }| format!("{place} {identifier}")).collect()
    }

    #[test]
    fn every_identifier_is_returned_with_its_place() {
        assert_eq!(places("mse"), ["compile.metrics mse"]);
        assert_eq!(places(["mse", "mae"]), ["compile.metrics[0] mse", "compile.metrics[1] mae"]);
        assert_eq!(
            places(PerOutput::table([("a", vec!["mse"]), ("b", vec!["mae", "acc"])])),
            ["compile.metrics.a[0] mse", "compile.metrics.b[0] mae", "compile.metrics.b[1] acc"]
        );
    }

    #[test]
    fn json_is_read_and_written_back() {
        for value in [
            json!("mse"),
            json!(null),
            json!(["mse", null, ["a", {"class_name": "AUC", "config": {}}]]),
            json!({"flag": "mse", "kind": {"class_name": "Huber", "config": {"delta": 2.0}}}),
        ] {
            assert_eq!(PerOutput::from(value.clone()).to_json(), value);
        }
        let tuple = PerOutput::from(json!({"class_name": "__tuple__", "items": ["a", "b"]}));
        assert_eq!(tuple.to_json(), json!(["a", "b"]));
    }
}
