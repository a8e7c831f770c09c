//! Implements `plugfit.loss/1` and `plugfit.loss/2`.

use super::{
    borrowed::{floats_mut, tensor, tensor_mut, with_inputs, MAX_INPUTS},
    component::{component, config, create, impl_component, instance_info, level, release, Component, Create, Probe},
};
use crate::{
    catch_panics::catch_panics,
    loss::{
        elementwise, recorded, rows_shape, rowwise, ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss,
    },
    Element, Error, Float, Host, Inputs, Result, TensorMut,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RVec},
    Handle,
};

/// A type-erased loss of any level.
pub trait AnyLoss: Component {
    #[doc(hidden)]
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>>;
    #[doc(hidden)]
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals>;
    #[doc(hidden)]
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals>;
}

struct ByTensor<T>(T);
struct ByRow<T>(T);
struct ByElement<T>(T);

impl_component!(ByTensor<T: Loss>, loss => loss.info(), formula loss.formula().map(|formula| formula.0));

impl<T: Loss> AnyLoss for ByTensor<T> {
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        self.0.output_shape(inputs)
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        self.0.call(inputs, output, host)
    }
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        self.0.call_f64(inputs, output, host)
    }
}

impl_component!(ByRow<T: RowLoss>, loss => LossInfo {
    float64: true,
    labels: loss.labels(),
    ..loss.info().along(loss.axis())
}, formula loss.formula().map(|formula| formula.0));

impl<T: RowLoss> AnyLoss for ByRow<T> {
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        rows_shape(inputs, self.0.axis())
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        rowwise(&self.0, inputs, output, host)
    }
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        rowwise(&self.0, inputs, output, host)
    }
}

impl_component!(ByElement<T: ElementwiseLoss>, loss => LossInfo {
    float64: true,
    labels: loss.labels(),
    ..loss.info().along(Some(loss.axis()))
}, formula recorded::elementwise_loss(loss).map(|formula| formula.0));

impl<T: ElementwiseLoss> AnyLoss for ByElement<T> {
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        rows_shape(inputs, Some(self.0.axis()))
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        elementwise(&self.0, inputs, output, host)
    }
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        elementwise(&self.0, inputs, output, host)
    }
}

level! {
    /// Creates a loss of level 3 from a probe; tried first.
    LossByTensor for &&Probe<T> where T: Loss;
    fn create_loss(config, host) -> AnyLoss {
        let mut loss = T::from_json(config)?;
        loss.prepare(host)?;
        Ok(by_tensor(loss))
    }
}

level! {
    /// Creates a loss of level 2 from a probe; tried second.
    LossByRow for &Probe<T> where T: RowLoss;
    fn create_loss(config, _host) -> AnyLoss { Ok(by_row(T::from_json(config)?)) }
}

level! {
    /// Creates a loss of level 1 from a probe; tried last.
    LossByElement for Probe<T> where T: ElementwiseLoss;
    fn create_loss(config, _host) -> AnyLoss { Ok(by_element(T::from_json(config)?)) }
}

pub(crate) fn by_tensor(loss: impl Loss) -> Box<dyn AnyLoss> {
    Box::new(ByTensor(loss))
}

pub(crate) fn by_row(loss: impl RowLoss) -> Box<dyn AnyLoss> {
    Box::new(ByRow(loss))
}

pub(crate) fn by_element(loss: impl ElementwiseLoss) -> Box<dyn AnyLoss> {
    Box::new(ByElement(loss))
}

/// Returns the function table of a plug-in's losses.
pub(crate) const fn table<P: Create<dyn AnyLoss>>() -> abi::LossV1 {
    abi::LossV1 {
        create: create::<P, dyn AnyLoss>,
        release: release::<dyn AnyLoss>,
        config: config::<dyn AnyLoss>,
        instance_info: instance_info::<dyn AnyLoss>,
        output_shape,
        call,
    }
}

unsafe extern "C" fn output_shape(loss: Handle, inputs: &abi::Inputs<'_>) -> RResult<RVec<i64>, abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and the host guarantees that the inputs are valid during the call.
        let loss = unsafe { component::<dyn AnyLoss>(loss) };
        // SAFETY: as above.
        unsafe { with_inputs(inputs, |inputs| loss.output_shape(inputs)) }.map(Into::into)
    })
}

unsafe extern "C" fn call(
    loss: Handle,
    host: &abi::Host,
    inputs: &abi::Inputs<'_>,
    output: &abi::LossOutput<'_>,
) -> RResult<LossTotals, abi::Error> {
    // SAFETY: `create` returned the handle, and the host guarantees that inputs and output are valid during the call.
    catch_panics(|| unsafe {
        call_in(loss, host, inputs, output, |loss, inputs, output, host| loss.call(inputs, output, host))
    })
}

/// The function table of `plugfit.loss/2`, for losses that a table of `plugfit.loss/1` created.
pub(crate) const FLOAT64: &abi::LossV2 = &abi::LossV2 { call: call_v2 };

unsafe extern "C" fn call_v2(
    loss: Handle,
    host: &abi::Host,
    inputs: &abi::Inputs<'_>,
    output: &abi::LossOutput<'_>,
) -> RResult<LossTotals, abi::Error> {
    let is_y_pred = |input: &&abi::NamedTensor<'_>| input.name.as_str() == "y_pred";
    let y_pred = inputs.tensors.iter().find(is_y_pred).or(inputs.tensors.last());
    if y_pred.is_some_and(|y_pred| y_pred.tensor.dtype != f64::DTYPE) {
        // SAFETY: the contract of `call` is the same.
        return unsafe { call(loss, host, inputs, output) };
    }
    // SAFETY: `create` returned the handle, and the host guarantees that inputs and output are valid during the call.
    catch_panics(|| unsafe {
        call_in(loss, host, inputs, output, |loss, inputs, output, host| loss.call_f64(inputs, output, host))
    })
}

/// The method that calls a loss in dtype `F`.
type Call<F> = fn(&dyn AnyLoss, &Inputs<'_>, &mut LossOutput<'_, F>, &Host<'_>) -> Result<LossTotals>;

/// Converts the arguments and calls the loss in dtype `F`.
///
/// # Safety
/// `loss` must be a handle of `create` that isn't released. The tensors of `inputs` and `output` must have the shapes
/// and dtypes that they declare, and nothing else may access those of `output` during the call.
unsafe fn call_in<F: Float>(
    loss: Handle,
    host: &abi::Host,
    inputs: &abi::Inputs<'_>,
    output: &abi::LossOutput<'_>,
    call: Call<F>,
) -> Result<LossTotals> {
    // SAFETY: the caller guarantees a handle of `create`.
    let loss = unsafe { component::<dyn AnyLoss>(loss) };
    if output.gradients.len() > MAX_INPUTS {
        return Err(Error::input(format!("more than {MAX_INPUTS} gradients were requested")));
    }
    let mut gradients: [Option<TensorMut<'_>>; MAX_INPUTS] = Default::default();
    for (gradient, raw) in gradients.iter_mut().zip(output.gradients.iter()) {
        // SAFETY: the caller guarantees the tensors of `output`.
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
        upstream: upstream.map(|upstream| upstream.floats("the upstream weight")).transpose()?,
        scale: F::from_f64(output.scale),
    };
    // SAFETY: the caller guarantees the tensors of `inputs`.
    unsafe { with_inputs(inputs, |inputs| call(loss, inputs, &mut output, &Host::new(host))) }
}
