//! Losses that XLA calls.

use plugfit::component::LossValue;
use plugfit::{Error, Result};

use super::digest;
use super::frame::{Frame, Output, exactly};
use super::pool::{self, Pool};
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
pub fn loss(frame: &Frame<'_>, results: Vec<Output<'_>>) -> Result<()> {
    let (text, compiled_for) = (frame.text("identifier")?, frame.text("digest")?);
    let make = || {
        let loss = global_host()?.loss(identifier_of(text)?)?;
        digest::check(plugfit::plugin::Kind::Loss, &loss.plugin().full_name(), compiled_for)?;
        Ok(Computation::new(loss))
    };
    LOSSES.with(&pool::key(text, compiled_for), make, |computation| {
        let batch = batch(frame, 0)?;
        let (value, gradient) = if results.len() == 1 {
            let [value] = exactly(results)?;
            (value, None)
        } else {
            let [value, gradient] = exactly(results)?;
            (value, Some(gradient))
        };
        if let Some(gradient) = &gradient
            && gradient.shape() != batch.y_pred.shape()
        {
            return Err(Error::failure("the gradient hasn't the shape of y_pred"));
        }
        let mut gradient = match gradient {
            Some(gradient) if computation.loss.is_float64() => Some(gradient.tensor::<f64>()?),
            Some(gradient) => Some(gradient.tensor::<f32>()?),
            None => None,
        };
        match computation.compute(&batch, gradient.as_mut())? {
            LossValue::Scalar(number) => value.write_all(&[], &[number]),
            LossValue::Array { shape, values } => value.copy_all(shape, values),
            LossValue::Array64 { shape, values } => value.copy_all(shape, values),
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
    Ok(Batch {
        y_true: find("y_true")?,
        y_pred,
        weight: find("sample_weight")?,
        mask: find("mask")?,
        further: Vec::new(),
    })
}
