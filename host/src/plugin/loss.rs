//! Losses of plug-ins.

use std::sync::Arc;

use plugfit_abi::{self as abi, LossV1, LossV2};
use plugfit_api::instance::Instance;
use plugfit_api::loss::{LossInfo, LossOutput, LossTotals};
use plugfit_api::{Element, Float, Inputs, Tensor, TensorMut};

use super::bounds;
use super::component::{ComponentHandle, component_type};
use super::inputs::{MAX_INPUTS, with_inputs};
use crate::{Error, Result};

/// A loss of a plug-in: unreduced values and gradients.
#[derive(Clone)]
pub struct Loss {
    inner: Arc<Inner>,
}

struct Inner {
    component: ComponentHandle<LossV1>,
    /// Its float64 table, if the plug-in offers one.
    float64: Option<&'static LossV2>,
    info: LossInfo,
}

component_type!(Loss, LossV1, "loss");

impl Loss {
    pub(super) fn new(component: ComponentHandle<LossV1>, float64: Option<&'static LossV2>) -> Result<Self> {
        let info = component.info()?;
        Ok(Loss { inner: Arc::new(Inner { component, float64, info }) })
    }

    /// Takes over a loss that was created in this process. Errors call it `label`, or by its name if there is none.
    pub(crate) fn from_instance(instance: Instance<LossV1>, label: Option<&str>) -> Self {
        let component = ComponentHandle::of_instance(instance, label);
        let info = component.info().unwrap_or_default();
        Loss { inner: Arc::new(Inner { component, float64: Some(plugfit_api::instance::loss_v2()), info }) }
    }

    /// Returns whether both are one instance.
    pub(crate) fn is_instance_of(&self, other: &Loss) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Returns the information that depends on the configuration.
    pub fn info(&self) -> &LossInfo {
        &self.inner.info
    }

    /// Checks that the loss can compute in float64.
    ///
    /// # Errors
    /// Returns an error if it computes in float32 only.
    pub fn check_float64(&self) -> Result<()> {
        if self.info().float64 && self.inner.float64.is_some() {
            return Ok(());
        }
        let error = Error::usage(format!("{} computes only in float32", self.full_name())).with("in", "dtype");
        Err(match self.inner.float64 {
            None => error.hint(format!(
                "{} offers no {}: rebuild it with plugfit-api {}, or leave dtype out",
                self.plugin(),
                abi::LOSS_V2,
                env!("CARGO_PKG_VERSION")
            )),
            Some(_) => error.hint("leave dtype out"),
        })
    }

    pub(super) fn component(&self) -> &ComponentHandle<LossV1> {
        &self.inner.component
    }

    /// Returns the shape of the values for inputs of these shapes.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit or the plug-in returns an impossible shape.
    pub fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        let component = &self.inner.component;
        // SAFETY: the handle belongs to this table.
        let shape = component.checked(with_inputs(inputs, |inputs| unsafe {
            (component.table.output_shape)(component.handle, inputs)
        })?)?;
        component.at_most(shape.len(), bounds::MAX_AXES, "axes")?;
        let shape: Vec<i64> = shape.into();
        let batch = broadcast(inputs);
        let rows_stay = self.inner.info.rows_independent;
        // A function of the program itself has already computed the values.
        let fits = fits(&shape, &batch, rows_stay) || component.is_own && !rows_stay;
        match fits {
            true => Ok(shape),
            false => Err(component.contract_violation(&format!(
                "says that its values have the shape {shape:?}, for inputs of the shape {batch:?}"
            ))),
        }
    }

    /// Computes values, gradients or both, depending on which buffers `output` has. `shape` is the result of
    /// `output_shape`, and each buffer has the number of elements to match.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit, if float64 is requested of a loss without it, or if the plug-in fails.
    pub fn call<F: Float>(
        &self,
        inputs: &Inputs<'_>,
        shape: &[i64],
        output: &mut LossOutput<'_, F>,
    ) -> Result<LossTotals> {
        let component = &self.inner.component;
        let mut gradients = [abi::abi_stable::std_types::ROption::RNone; MAX_INPUTS];
        for (raw, gradient) in gradients.iter_mut().zip(output.gradients.iter()) {
            *raw = gradient.as_ref().map(|gradient| gradient.raw()).into();
        }
        let writable = |buffer: Option<&mut [F]>| buffer.map(|buffer| TensorMut::new(buffer, shape).raw());
        let raw = abi::LossOutput {
            values: writable(output.values.as_deref_mut()).into(),
            valid: writable(output.valid.as_deref_mut()).into(),
            gradients: gradients[..output.gradients.len().min(MAX_INPUTS)].into(),
            upstream: output.upstream.map(|upstream| Tensor::new(upstream, shape).raw()).into(),
            scale: output.scale.to_f64(),
        };
        let call = match self.inner.float64 {
            Some(table) if F::DTYPE == f64::DTYPE => table.call,
            _ => component.table.call,
        };
        // SAFETY: the handle belongs to these tables; the arguments are borrowed for the call, outputs mutably.
        let result = with_inputs(inputs, |inputs| unsafe { call(component.handle, &component.host, inputs, &raw) })?;
        let totals = component.checked(result)?;
        // A function of the program itself may return other values for inputs of the same shapes. A loss that leaves the
        // count out isn't checked.
        let (info, expected) = (&self.inner.info, shape.iter().product::<i64>() as f64);
        let is_checked = component.is_own && !info.rows_independent && !info.own_mask && totals.count != 0.0;
        if is_checked && totals.count != expected {
            let message = format!(
                "the loss returned {} values; for other inputs of these shapes it returned {expected}",
                totals.count
            );
            return Err(Error::usage(message));
        }
        Ok(totals)
    }
}

/// Returns the shape of the inputs after broadcasting them against one another.
fn broadcast(inputs: &Inputs<'_>) -> Vec<i64> {
    let shapes = || inputs.tensors().iter().map(|(_, tensor)| tensor.shape());
    let rank = shapes().map(<[i64]>::len).max().unwrap_or(0);
    let longest =
        |axis: usize| shapes().filter_map(|shape| shape.len().checked_sub(rank - axis).map(|at| shape[at])).max();
    (0..rank).filter_map(longest).collect()
}

/// Returns whether values of this shape are possible for a batch of this shape. The values have at most as many
/// elements as the batch. If each row's value depends on that row alone (`rows_stay`), they have as many rows, or the
/// batch's shape without one axis.
fn fits(shape: &[i64], batch: &[i64], rows_stay: bool) -> bool {
    let count = |shape: &[i64]| {
        let lengths = shape.iter().map(|&length| usize::try_from(length).ok());
        lengths.into_iter().try_fold(1_usize, |product, length| product.checked_mul(length?))
    };
    let lacks_axis = |axis: &usize| batch[..*axis] == shape[..*axis] && batch[axis + 1..] == shape[*axis..];
    let has_rows = shape.is_empty()
        || batch.is_empty()
        || shape[0] == batch[0]
        || shape.len() + 1 == batch.len() && (0..batch.len()).any(|axis| lacks_axis(&axis));
    // The axis that the values lack may have length 0.
    let batch: Vec<i64> = batch.iter().map(|&length| length.max(1)).collect();
    let most = count(&batch).unwrap_or(usize::MAX);
    (has_rows || !rows_stay) && count(shape).is_some_and(|count| count <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_the_values_must_fit_the_batch() {
        for (shape, batch) in [
            (&[][..], &[4, 2][..]),
            (&[4], &[4, 2]),
            (&[4, 1], &[4, 2]),
            (&[4, 2], &[4, 2]),
            (&[2], &[4, 2]),
            (&[4, 3], &[4, 2, 3]),
            (&[2, 3], &[4, 2, 3]),
            (&[0], &[0, 2]),
            (&[4], &[4, 0]),
            (&[1], &[]),
            (&[], &[0]),
        ] {
            assert!(fits(shape, batch, true) && fits(shape, batch, false), "{shape:?} {batch:?}");
        }
        for (shape, batch) in [
            (&[8, 4][..], &[4, 2][..]),
            (&[5], &[4, 2]),
            (&[4, 3], &[4, 2]),
            (&[4, 1 << 44], &[4, 2]),
            (&[-1], &[4, 2]),
            (&[i64::MAX, i64::MAX], &[4, 2]),
            (&[2, 3, 4], &[4, 2, 3]),
            (&[2], &[]),
        ] {
            assert!(!fits(shape, batch, true), "{shape:?} {batch:?}");
        }
        // If rows depend on each other, a value needn't belong to a row.
        assert!(fits(&[5], &[4, 2], false) && !fits(&[9], &[4, 2], false));
    }

    #[test]
    fn inputs_are_broadcast_to_one_another() {
        let numbers = [0.0_f32; 12];
        let [a, b] = [[4, 1, 3], [1, 4, 1]].map(|shape| shape.map(i64::from));
        let (a, b, c) = (Tensor::new(&numbers, &a), Tensor::new(&numbers[..4], &b), Tensor::new(&numbers[..1], &[]));
        let tensors = [("y_true", a), ("y_pred", b), ("third", c)];
        assert_eq!(broadcast(&Inputs::new(&tensors, None, None)), [4, 4, 3]);
    }
}
