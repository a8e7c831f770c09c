//! `plugfit.loss/1`.

use super::{
    borrowed::{floats_mut, tensor, tensor_mut, with_inputs},
    plugin::{component, Plugin, Probe},
    wall::{dropping, wall},
};
use crate::{
    lanes::formulas::{self, rows_shape},
    loss::{ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss},
    Error, Host, Inputs, Result, TensorMut,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr, RString, RVec},
    Handle,
};
use serde_json::{Map, Value};

/// A loss of any level.
pub trait AnyLoss: Send + Sync {
    #[doc(hidden)]
    fn config(&self) -> Map<String, Value>;
    #[doc(hidden)]
    fn info(&self) -> LossInfo;
    #[doc(hidden)]
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>>;
    #[doc(hidden)]
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals>;
}

struct ByTensor<T>(T);
struct ByRow<T>(T);
struct ByElement<T>(T);

impl<T: Loss> AnyLoss for ByTensor<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> LossInfo {
        self.0.info()
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        self.0.output_shape(inputs)
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        self.0.call(inputs, output, host)
    }
}

impl<T: RowLoss> AnyLoss for ByRow<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> LossInfo {
        self.0.info().along(self.0.axis())
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        rows_shape(inputs, self.0.axis())
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        formulas::rowwise(&self.0, inputs, output, host)
    }
}

impl<T: ElementwiseLoss> AnyLoss for ByElement<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> LossInfo {
        self.0.info().along(Some(self.0.axis()))
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        rows_shape(inputs, Some(self.0.axis()))
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        formulas::elementwise(&self.0, inputs, output, host)
    }
}

/// Level 3 comes first.
pub trait LossByTensor {
    #[doc(hidden)]
    fn make_loss(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyLoss>>;
}
impl<T: Loss> LossByTensor for &&Probe<T> {
    fn make_loss(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyLoss>> {
        let mut loss = T::from_json(config)?;
        loss.prepare(host)?;
        Ok(by_tensor(loss))
    }
}

/// Then level 2.
pub trait LossByRow {
    #[doc(hidden)]
    fn make_loss(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyLoss>>;
}
impl<T: RowLoss> LossByRow for &Probe<T> {
    fn make_loss(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyLoss>> {
        Ok(by_row(T::from_json(config)?))
    }
}

/// Then level 1.
pub trait LossByElement {
    #[doc(hidden)]
    fn make_loss(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyLoss>>;
}
impl<T: ElementwiseLoss> LossByElement for Probe<T> {
    fn make_loss(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyLoss>> {
        Ok(by_element(T::from_json(config)?))
    }
}

pub(crate) fn by_tensor(loss: impl Loss) -> Object {
    Box::new(ByTensor(loss))
}

pub(crate) fn by_row(loss: impl RowLoss) -> Object {
    Box::new(ByRow(loss))
}

pub(crate) fn by_element(loss: impl ElementwiseLoss) -> Object {
    Box::new(ByElement(loss))
}

pub(crate) type Object = Box<dyn AnyLoss>;

/// The table of a plug-in's losses.
pub(crate) const fn table<P: Plugin>() -> abi::LossV1 {
    abi::LossV1 { create: create::<P>, release, config, instance_info, output_shape, call }
}

component! { create = Plugin::loss, release, config, instance_info: Object }

unsafe extern "C" fn output_shape(loss: Handle, inputs: &abi::Inputs<'_>) -> RResult<RVec<i64>, abi::Error> {
    wall(|| {
        // SAFETY: a handle of `create`, and the host's promise of what it lends.
        let (loss, inputs) = unsafe { (&*loss.pointer.cast::<Object>(), inputs) };
        // SAFETY: as above.
        unsafe { with_inputs(inputs, |inputs| loss.output_shape(inputs)) }.map(Into::into)
    })
}

/// Inputs that a gradient may be asked for.
const MAX_GRADIENTS: usize = 8;

unsafe extern "C" fn call(
    loss: Handle,
    host: &abi::Host,
    inputs: &abi::Inputs<'_>,
    output: &abi::LossOutput<'_>,
) -> RResult<LossTotals, abi::Error> {
    wall(|| {
        // SAFETY: a handle of `create`.
        let loss = unsafe { &*loss.pointer.cast::<Object>() };
        if output.gradients.len() > MAX_GRADIENTS {
            return Err(Error::input(format!("more than {MAX_GRADIENTS} gradients were asked for")));
        }
        let mut gradients: [Option<TensorMut<'_>>; MAX_GRADIENTS] = Default::default();
        for (gradient, raw) in gradients.iter_mut().zip(output.gradients.iter()) {
            // SAFETY: the host's promise of what it lends to be written; so below.
            *gradient = unsafe { tensor_mut(raw) }?;
        }
        // SAFETY: as above.
        let (values, valid, upstream) = unsafe {
            (
                floats_mut(&output.values, "the memory for the values")?,
                floats_mut(&output.valid, "the memory for the mask")?,
                tensor(&output.upstream)?,
            )
        };
        let mut output = LossOutput {
            values,
            valid,
            gradients: &mut gradients[..output.gradients.len()],
            upstream: upstream.map(|upstream| upstream.f32s("the upstream weight")).transpose()?,
            scale: output.scale as f32,
        };
        // SAFETY: the host's promise of what it lends.
        unsafe { with_inputs(inputs, |inputs| loss.call(inputs, &mut output, &Host::new(host))) }
    })
}
