//! Optimizers that XLA calls.

use std::sync::PoisonError;

use plugfit::{Error, Result};

use super::frame::{Frame, Output};
use super::live::Live;
use crate::optimizer::SharedState;

/// The optimizers in use.
pub static OPTIMIZERS: Live<SharedState> = Live::new();

/// Updates the parameters by one step of the optimizer of the attribute `number`. The arguments are the parameters, the
/// gradients of those that the attribute `present` says have one, and the learning rate unless the optimizer has a
/// schedule. The results are the parameters.
///
/// # Errors
/// Returns the errors of the optimizer, and an error if the number or the shapes of the arrays differ.
pub fn step(frame: &Frame<'_>, results: Vec<Output<'_>>) -> Result<()> {
    let optimizer = OPTIMIZERS.get(frame.json("number")?)?;
    let present: Vec<bool> = frame.json("present")?;
    let count = results.len();
    let after = count + present.iter().filter(|present| **present).count();
    if present.len() != count || !(after..=after + 1).contains(&frame.arguments()) {
        let given = frame.arguments();
        return Err(Error::failure(format!("XLA passed {given} arrays for a step of {count} parameters")));
    }
    let (mut shapes, mut values, mut gradients) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = count..after;
    for (index, (result, present)) in results.into_iter().zip(present).enumerate() {
        let shape = result.shape();
        let of_shape = |index: usize, what: &str| {
            let (numbers, other) = frame.floats(index)?;
            if other == shape {
                return Ok(numbers);
            }
            Err(Error::failure(format!("{what} has the shape {other:?}, and the result of its parameter {shape:?}")))
        };
        let value = result.values::<f32>()?;
        value.copy_from_slice(of_shape(index, "a parameter")?);
        values.push(value);
        shapes.push(shape.iter().map(|&length| length as usize).collect());
        let gradient = next.by_ref().take(usize::from(present)).next();
        gradients.push(gradient.map(|index| of_shape(index, "a gradient")).transpose()?);
    }
    let rate = if after < frame.arguments() { Some(frame.number(after)?) } else { None };
    let mut optimizer = optimizer.lock().unwrap_or_else(PoisonError::into_inner);
    let shared: Vec<&[f32]> = values.iter().map(|value| &**value).collect();
    optimizer.build_described(shapes, &shared)?;
    optimizer.step(rate, &gradients, &mut values)
}
