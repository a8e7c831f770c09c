//! Optimizers that XLA calls.

use std::sync::PoisonError;

use plugfit::Result;

use super::frame::Frame;
use super::live::Live;
use crate::optimizer::SharedState;

/// The optimizers in use.
pub static OPTIMIZERS: Live<SharedState> = Live::new();

/// Updates the parameters by one step of the optimizer of the attribute `number`. The arguments are the parameters, the
/// gradients of those that the attribute `present` says have one, and the learning rate unless the optimizer has a
/// schedule. The results are the parameters, whose shapes are the attribute `shapes`.
///
/// # Errors
/// Returns the errors of the optimizer.
pub fn step(frame: &Frame<'_>) -> Result<()> {
    let optimizer = OPTIMIZERS.get(frame.json("number")?)?;
    let shapes: Vec<Vec<usize>> = frame.json("shapes")?;
    let present: Vec<bool> = frame.json("present")?;
    let count = shapes.len();
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let value = frame.result::<f32>(index)?;
        value.copy_from_slice(frame.floats(index)?);
        values.push(value);
    }
    let mut next = count;
    let mut gradients = Vec::with_capacity(count);
    for present in present {
        gradients.push(if present { Some(frame.floats(next)?) } else { None });
        next += usize::from(present);
    }
    let rate = if next < frame.arguments() { Some(frame.number(next)?) } else { None };
    let mut optimizer = optimizer.lock().unwrap_or_else(PoisonError::into_inner);
    let shared: Vec<&[f32]> = values.iter().map(|value| &**value).collect();
    optimizer.build_described(shapes, &shared)?;
    optimizer.step(rate, &gradients, &mut values)
}
