//! The loss as the plug-in computes it, in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Result, Tensor};
use plugfit::{Host, component};
use plugfit_emit::{Array, NativeLoss};

use crate::arrays::{array, compute_dtype, error, tensor};
use crate::operation::with_gradient;
use crate::reduction::fitting;

/// A loss that the plug-in computes in float32, or in float64 if the predictions are float64 and the plug-in can.
#[derive(Debug)]
pub(super) struct Native {
    single: Arc<Mutex<NativeLoss>>,
    double: Option<Arc<Mutex<NativeLoss>>>,
}

impl Native {
    /// Creates the loss.
    pub fn new(host: &Host, loss: component::Loss) -> plugfit::Result<Self> {
        let loss = NativeLoss::new(loss);
        let shared = |loss| Arc::new(Mutex::new(loss));
        let double = if loss.is_float64() { None } else { loss.in_float64(host)?.map(shared) };
        Ok(Native { single: shared(loss), double })
    }

    /// Returns the loss with the reduction.
    pub fn value(&self, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        let is_double = compute_dtype(y_pred) == DType::F64;
        let loss = self.double.as_ref().filter(|_| is_double).unwrap_or(&self.single).clone();
        let (labels, predictions) = (array(y_true)?, array(y_pred)?);
        let weights = weight.map(array).transpose()?;
        let mut gradient = None;
        let value = if y_pred.track_op() {
            let both = locked(&loss).value_and_gradient(&labels, &predictions, weights.as_ref()).map_err(error)?;
            gradient = Some(both.1).filter(|_| both.0.shape().is_empty());
            both.0
        } else {
            locked(&loss).value(&labels, &predictions, weights.as_ref()).map_err(error)?
        };
        let dtype = if locked(&loss).is_float64() { DType::F64 } else { compute_dtype(y_pred) };
        let value = tensor(&value, dtype, y_pred.device())?;
        let weight = weight.map(Tensor::detach);
        let backward = move |y_pred: &Tensor, _: &Tensor, of_value: &Tensor| {
            let on_device = |gradient: &Array| tensor(gradient, y_pred.dtype(), y_pred.device());
            if let Some(gradient) = &gradient {
                return Ok((Some(on_device(gradient)?.broadcast_mul(&of_value.to_dtype(y_pred.dtype())?)?), None));
            }
            // Without reduction, the derivatives with respect to the values are weights.
            let weight = match &weight {
                None => of_value.clone(),
                Some(weight) => {
                    of_value.broadcast_mul(&fitting(weight, of_value.dims())?.to_dtype(of_value.dtype())?)?
                }
            };
            let both = locked(&loss).value_and_gradient(&labels, &predictions, Some(&array(&weight)?));
            Ok((Some(on_device(&both.map_err(error)?.1)?), None))
        };
        with_gradient(&value, y_pred, &y_true.detach(), Box::new(backward))
    }
}

/// A panic leaves no state that the next call depends on.
fn locked(loss: &Mutex<NativeLoss>) -> MutexGuard<'_, NativeLoss> {
    loss.lock().unwrap_or_else(PoisonError::into_inner)
}
