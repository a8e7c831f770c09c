//! Conversion to float32, and the errors for numbers that float32 can't represent.

use std::path::Path;

use super::array::{Array, Rows};
use super::number::Number;
use crate::{Error, Result};

pub const NOT_FINITE: &str = "a number is NaN or infinite";
pub const TOO_LARGE: &str = "a number is too large for float32";
pub const NO_BOOLEAN: &str = "the run was trained on booleans, and a number is neither 0 nor 1";
pub const ROUNDED: &str = "an integer can't be an input, since float32 rounds it";
pub const ROUNDED_HINT: &str =
    "leave ids out; store a quantity as floating point (in a CSV, with a decimal point), or set data.scale";

/// Returns why a number is rejected as an input, or `None` if it is accepted.
///
/// `float` is `number` multiplied by the scale and converted to float32.
pub fn rejection<T: Number>(number: T, float: f32, scaled: bool) -> Option<&'static str> {
    if !number.to_f64().is_finite() {
        Some(NOT_FINITE)
    } else if !float.is_finite() {
        Some(TOO_LARGE)
    } else if !scaled && number.is_inexact_f32() {
        Some(ROUNDED)
    } else {
        None
    }
}

/// Creates the error for a rejected number; `at` is its index in the array.
pub fn rejection_error(what: &'static str, array: &str, at: usize, row_shape: &[usize]) -> Error {
    let row_len = row_shape.iter().product::<usize>().max(1);
    let column = match row_shape {
        _ if row_len == 1 => String::new(),
        [_] => format!(", column {}", at % row_len),
        _ => {
            let (mut rest, mut index) = (at % row_len, Vec::new());
            for &axis in row_shape.iter().rev() {
                index.insert(0, (rest % axis).to_string());
                rest /= axis;
            }
            format!(", at [{}]", index.join(", "))
        }
    };
    let error = Error::failure(what).with("in", format!("{array}, row {} (from 0){column}", at / row_len));
    error.hint(match what {
        NOT_FINITE => "leave such samples out before saving the file",
        ROUNDED => ROUNDED_HINT,
        NO_BOOLEAN => "correct the file, or name one like the run's",
        _ => "scale such numbers, or leave the samples out",
    })
}

impl Array {
    /// Returns an error if an element is NaN or infinite; `path` and `name` locate the array in the error.
    pub(super) fn check_finite(self, path: &Path, name: &str) -> Result<Self> {
        let at = match &self {
            Array::F32(rows) => rows.values().iter().position(|value| !value.is_finite()),
            Array::F64(rows) => rows.values().iter().position(|value| !value.is_finite()),
            Array::I32(_) | Array::I64(_) | Array::U8(_) => None,
        };
        match at {
            None => Ok(self),
            Some(at) => Err(rejection_error(NOT_FINITE, &format!("{}, {name}", path.display()), at, self.row_shape())),
        }
    }

    /// Converts to float32 inputs, multiplied by `scale`; `place` locates the array in errors. NaN and infinity are
    /// accepted.
    ///
    /// # Errors
    /// Returns an error if a number is too large for float32, or if the element type is an integer type, `scale` is 1
    /// and an integer isn't exact in float32.
    pub fn into_inputs(self, scale: Option<f64>, place: &str) -> Result<Rows<f32>> {
        self.into_f32(scale, place, true)
    }

    /// Converts to float32 weights; `place` locates the array in errors. NaN and infinity are accepted.
    ///
    /// # Errors
    /// Returns an error if a number is too large for float32.
    pub fn into_weights(self, place: &str) -> Result<Rows<f32>> {
        self.into_f32(None, place, false)
    }

    /// Checks that the targets are in the range of float32, the type of predictions. Integer targets always pass.
    ///
    /// # Errors
    /// Returns an error if a number is too large for float32.
    pub fn check_targets(&self, place: &str) -> Result<()> {
        let Array::F64(rows) = self else { return Ok(()) };
        let too_large = |value: &f64| value.is_finite() && !(*value as f32).is_finite();
        match rows.values().iter().position(too_large) {
            None => Ok(()),
            Some(at) => Err(rejection_error(TOO_LARGE, place, at, rows.row_shape())),
        }
    }

    fn into_f32(self, scale: Option<f64>, place: &str, inputs: bool) -> Result<Rows<f32>> {
        match self {
            Array::F32(rows) if scale.unwrap_or(1.0) == 1.0 => Ok(rows),
            Array::F32(rows) => scaled(rows, scale.unwrap_or(1.0), place),
            Array::F64(rows) => floats(&rows, scale, place, inputs),
            Array::I32(rows) => floats(&rows, scale, place, inputs),
            Array::I64(rows) => floats(&rows, scale, place, inputs),
            Array::U8(rows) => floats(&rows, scale, place, inputs),
        }
    }
}

fn floats<T: Number>(rows: &Rows<T>, scale: Option<f64>, place: &str, inputs: bool) -> Result<Rows<f32>> {
    let scale = scale.unwrap_or(1.0);
    let floats = rows.map(|value| (value.to_f64() * scale) as f32);
    let quantity = !inputs || scale != 1.0;
    let mut pairs = rows.values().iter().zip(floats.values());
    let found =
        pairs.position(|(&number, &float)| matches!(rejection(number, float, quantity), Some(TOO_LARGE | ROUNDED)));
    match found {
        None => Ok(floats),
        Some(at) => {
            let what = rejection(rows.values()[at], floats.values()[at], quantity).unwrap_or(TOO_LARGE);
            Err(rejection_error(what, place, at, rows.row_shape()))
        }
    }
}

/// Multiplies in place.
fn scaled(mut rows: Rows<f32>, scale: f64, place: &str) -> Result<Rows<f32>> {
    for (at, value) in rows.values_mut().iter_mut().enumerate() {
        let float = (f64::from(*value) * scale) as f32;
        if float.is_infinite() && value.is_finite() {
            return Err(rejection_error(TOO_LARGE, place, at, rows.row_shape()));
        }
        *value = float;
    }
    Ok(rows)
}
