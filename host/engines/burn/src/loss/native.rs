//! The loss as the plug-in computes it, in memory.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, FloatDType, Tensor, backend::Backend};
use plugfit::{Host, Result, component};
use plugfit_emit::NativeLoss;

use super::surrogate::zero_with_derivative;
use crate::labels::{Labels, array, compute_dtype, tensor};

/// A loss that the plug-in computes in float32, or in float64 if the predictions are float64 and the plug-in can.
#[derive(Debug)]
pub(super) struct Native {
    single: Mutex<NativeLoss>,
    double: Option<Mutex<NativeLoss>>,
}

impl Native {
    /// Creates the loss.
    pub fn new(host: &Host, loss: component::Loss) -> Result<Self> {
        let loss = NativeLoss::new(loss);
        let double = if loss.is_float64() { None } else { loss.in_float64(host)?.map(Mutex::new) };
        Ok(Native { single: Mutex::new(loss), double })
    }

    /// Returns the loss with its reduction, with the shape `[1]`, or the values if there is no reduction and no
    /// autodiff.
    pub fn value<B: Backend, const D: usize, const W: usize>(
        &self,
        y_true: impl Labels<B>,
        y_pred: Tensor<B, D>,
        weight: Option<Tensor<B, W>>,
    ) -> Result<Tensor<B, 1>> {
        let loss = self.double.as_ref().filter(|_| y_pred.dtype() == DType::F64).unwrap_or(&self.single);
        // A panic leaves no state that the next call depends on.
        let mut loss = loss.lock().unwrap_or_else(PoisonError::into_inner);
        let (device, count) = (y_pred.device(), y_pred.shape().num_elements());
        let dtype = if loss.is_float64() { FloatDType::F64 } else { compute_dtype(y_pred.dtype()) };
        let (labels, predictions) = (y_true.array(), array(y_pred.clone()));
        let weight = weight.map(array);
        if !B::ad_enabled(&device) || count == 0 {
            let value = loss.value(&labels, &predictions, weight.as_ref())?.to_f64();
            let length = [value.len()];
            return Ok(tensor(value, length, &device, dtype));
        }
        let (value, gradient) = loss.value_and_gradient(&labels, &predictions, weight.as_ref())?;
        let value = tensor(value.to_f64(), [1, 1], &device, dtype);
        let gradient = tensor(gradient.to_f64(), [1, count], &device, dtype);
        let zero = zero_with_derivative(gradient, y_pred.reshape([1, count]).cast(dtype), true);
        Ok((value + zero).reshape([1]))
    }
}
