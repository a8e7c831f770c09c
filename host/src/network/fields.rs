//! Reads the fields of a layer configuration. Errors report the path of the field and the available names.

use serde_json::{Map, Value};

use crate::identifier::package;
use crate::text::nearest;
use crate::{Error, Result};

/// The unread fields of a JSON object, and the path of the object.
pub struct Fields {
    map: Map<String, Value>,
    path: String,
    known: Vec<&'static str>,
}

impl Fields {
    /// Creates a reader for the fields of `value`, which must be an object; `path` locates it in errors.
    pub fn new(value: &Value, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Fields { map: map.clone(), path, known: Vec::new() }),
            other => Err(Error::usage(format!("expected an object, found {}", kind(other))).with("in", path)),
        }
    }

    /// Returns the path of a field, for errors.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Removes a field and returns its value; `None` if it is absent or null.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Assigns positional arguments to the fields that they stand for.
    pub fn place_positional(&mut self, values: Option<Value>, keys: &[&'static str]) -> Result<()> {
        let values = match values {
            None => return Ok(()),
            Some(Value::Array(values)) => values,
            Some(other) => return Err(self.type_error("args", "a list", &other)),
        };
        if values.len() > keys.len() {
            let message = format!("{} values without a name, at most {} are taken", values.len(), keys.len());
            return Err(Error::usage(message).with("in", &self.path).with("order", keys.join(", ")));
        }
        for (key, value) in keys.iter().zip(values) {
            if self.map.insert((*key).to_owned(), value).is_some() {
                return Err(
                    Error::usage(format!("\"{key}\" is given twice, by place and by name")).with("in", &self.path)
                );
            }
        }
        Ok(())
    }

    /// Reads a field from which `read` takes the value; `expected` describes it.
    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| self.type_error(key, expected, &value))
    }

    /// Reads a field that must be a string.
    pub fn string(&mut self, key: &'static str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a field that must be true or false.
    pub fn flag(&mut self, key: &'static str, default: bool) -> Result<bool> {
        self.typed(key, "true or false", Value::as_bool).map(|flag| flag.unwrap_or(default))
    }

    /// Reads a field that must be an integer of at least 0.
    pub fn whole(&mut self, key: &'static str) -> Result<Option<u64>> {
        self.typed(key, "a whole number of at least 0", Value::as_u64)
    }

    /// Reads a field that must be a finite number.
    pub fn number(&mut self, key: &'static str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// Reads fields that Keras writes and the embedded network doesn't support. They must be null or absent.
    pub fn require_absent(&mut self, keys: &[&'static str]) -> Result<()> {
        for key in keys {
            if let Some(value) = self.take(key) {
                let message = format!("the embedded network has no \"{key}\"");
                return Err(Error::usage(message).with("in", self.path(key)).with("found", value.to_string()));
            }
            self.known.pop(); // not something to suggest
        }
        Ok(())
    }

    /// Reads the fields in which Keras stores the package of a class.
    ///
    /// # Errors
    /// Returns an error if the class isn't from Keras: the network has no other classes.
    pub fn check_keras_package(&mut self, what: &str, class_name: &str) -> Result<()> {
        if let Some(package) = package(&self.map) {
            return Err(Error::usage(format!("the {what} \"{class_name}\" is of the package \"{package}\""))
                .with("in", self.path("registered_name"))
                .hint(format!(
                    "the network has Keras's own; leave \"module\" and \"registered_name\" out if that {what} is meant"
                )));
        }
        self.ignore(&["module", "registered_name"]);
        Ok(())
    }

    /// Discards fields that don't affect the computation.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.remove(*key);
        }
    }

    /// Returns an error if unread fields remain.
    pub fn finish(self, what: &str) -> Result<()> {
        let Some(key) = self.map.keys().next() else { return Ok(()) };
        let error = Error::usage(format!("{what} has no setting \"{key}\"")).with("in", self.path(key));
        let near = nearest(key, self.known.iter().copied());
        Err(error.near(near.get(..1).unwrap_or_default()).with("has", self.known.join(", ")))
    }

    /// Creates the error for a field of the wrong type.
    pub fn type_error(&self, key: &str, expected: &str, found: &Value) -> Error {
        Error::usage(format!("\"{key}\" must be {expected}"))
            .with("in", self.path(key))
            .with("found", found.to_string())
    }
}

/// Creates the error for an unknown name.
pub fn unknown_name<'a>(what: &str, name: &str, path: String, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let error = Error::usage(format!("no {what} is called \"{name}\"")).with("in", path);
    error.near(&nearest(name, names.clone())).with("has", names.collect::<Vec<_>>().join(", "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
