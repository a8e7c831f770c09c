//! Losses that XLA calls.

use plugfit::component::LossValue;
use plugfit::{Error, Result};

use super::digest;
use super::frame::Frame;
use super::pool::Pool;
use crate::batch::Batch;
use crate::host::{global_host, identifier_of};
use crate::loss::Computation;

/// The losses in use.
static LOSSES: Pool<Computation> = Pool::new();

/// Computes a loss, and its gradient with respect to `y_pred` if there is a second result. The arguments are those of
/// the attribute `inputs`, in its order.
///
/// # Errors
/// Returns the errors of the loss, and an error if the plug-in isn't the one for which the function was compiled.
pub fn loss(frame: &Frame<'_>) -> Result<()> {
    let (text, compiled_for) = (frame.text("identifier")?, frame.text("digest")?);
    let make = || {
        let loss = global_host()?.loss(identifier_of(text)?)?;
        digest::check(plugfit::plugin::Kind::Loss, &loss.plugin().full_name(), compiled_for)?;
        Ok(Computation::new(loss))
    };
    LOSSES.with(text, make, |computation| {
        let batch = batch(frame, 0)?;
        let mut gradient = match frame.results() {
            1 => None,
            _ if computation.loss.is_float64() => Some(frame.tensor::<f64>(1)?),
            _ => Some(frame.tensor::<f32>(1)?),
        };
        match computation.compute(&batch, gradient.as_mut())? {
            LossValue::Scalar(value) => frame.write(0, &[value]),
            LossValue::Array { values, .. } => copy(frame.result::<f32>(0)?, values),
            LossValue::Array64 { values, .. } => copy(frame.result::<f64>(0)?, values),
        }
    })
}

/// Reads the arguments from number `first` on as a batch, in the order of the attribute `inputs`.
///
/// # Errors
/// Returns an error if an argument is missing.
pub fn batch<'a>(frame: &Frame<'a>, first: usize) -> Result<Batch<plugfit::compile::Values<'a>>> {
    let names: Vec<&str> = frame.text("inputs")?.split(' ').collect();
    let find = |name: &str| {
        names.iter().position(|other| *other == name).map(|index| frame.argument(first + index)).transpose()
    };
    let y_pred = find("y_pred")?.ok_or_else(|| Error::failure("y_pred is missing"))?;
    Ok(Batch { y_true: find("y_true")?, y_pred, weight: find("sample_weight")?, mask: find("mask")? })
}

fn copy<F: Copy>(target: &mut [F], values: &[F]) -> Result<()> {
    if target.len() != values.len() {
        return Err(Error::failure("the loss has another shape than when it was compiled"));
    }
    target.copy_from_slice(values);
    Ok(())
}
