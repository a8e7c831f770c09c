//! Reads the arrays of an example.

use super::data::Array;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// Reads an input of an example.
///
/// # Errors
/// Returns an error if the example has no valid array with this key.
pub fn array(example: &Map<String, Value>, key: &str) -> Result<Array> {
    example.get(key).ok_or_else(|| invalid(format!("it has no {key:?}"))).and_then(read)
}

/// Returns an error about an example. Its kind differs from that of rejected inputs.
pub fn invalid(what: impl Into<String>) -> Error {
    Error::state(what)
}

/// Reads a number or nested lists of numbers.
pub fn read(value: &Value) -> Result<Array> {
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
