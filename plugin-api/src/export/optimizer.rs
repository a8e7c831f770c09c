//! Implements `plugfit.optimizer/1`.

mod levels;

pub(crate) use levels::{by_element, by_tensor};
pub use levels::{AnyOptimizer, OptimizerByElement, OptimizerByTensor};

use super::{
    borrowed::{tensor, tensor_mut},
    component::{component, config, create, instance_info, release, Create},
};
use crate::{
    catch_panics::catch_panics,
    optimizer::{Entry, Parameter, Slot, Start, Step},
    Element, Host, Result, TensorMut,
};
use levels::{HostEntry, HostUpdate};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RResult, RSlice, RVec},
    Handle,
};

/// Returns the function table of a plug-in's optimizers.
pub(crate) const fn table<P: Create<dyn AnyOptimizer>>() -> abi::OptimizerV1 {
    abi::OptimizerV1 {
        create: create::<P, dyn AnyOptimizer>,
        release: release::<dyn AnyOptimizer>,
        config: config::<dyn AnyOptimizer>,
        instance_info: instance_info::<dyn AnyOptimizer>,
        slots,
        fill_slot,
        update,
        finalize,
    }
}

/// Converts a parameter.
fn parameter<'a>(raw: &abi::Parameter<'a>) -> Parameter<'a> {
    Parameter {
        name: raw.name.as_str(),
        path: raw.path.as_str(),
        shape: raw.shape.as_slice(),
        embedding: raw.flags & abi::PARAMETER_EMBEDDING != 0,
        trainable: raw.flags & abi::PARAMETER_TRAINABLE != 0,
        decays: raw.flags & abi::PARAMETER_WITHOUT_DECAY == 0,
    }
}

unsafe extern "C" fn slots(
    handle: Handle,
    host: &abi::Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
) -> RResult<RVec<abi::Slot>, abi::Error> {
    catch_panics(|| {
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(parameter).collect();
        // SAFETY: `create` returned the handle, and it isn't released yet.
        let slots = unsafe { component::<dyn AnyOptimizer>(handle) }.slots(&parameters, &Host::new(host))?;
        Ok(slots.into_iter().map(raw_slot).collect())
    })
}

/// Converts a slot to the ABI's form.
fn raw_slot(slot: Slot) -> abi::Slot {
    let (start, value) = match slot.start {
        Start::Constant(value) => (abi::SLOT_CONSTANT, value),
        Start::Copy => (abi::SLOT_COPY_OF_PARAMETER, 0.0),
        Start::Filled => (abi::SLOT_FILLED, 0.0),
    };
    abi::Slot {
        parameter: slot.parameter.map_or(abi::NONE, |index| index as i64),
        name: slot.name.into(),
        shape: slot.shape.into(),
        dtype: f32::DTYPE,
        start,
        value,
    }
}

unsafe extern "C" fn fill_slot(
    handle: Handle,
    host: &abi::Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
    slot: u64,
    value: &ROption<abi::Tensor>,
    seed: u64,
    target: &abi::Tensor,
) -> RResult<(), abi::Error> {
    catch_panics(|| {
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(parameter).collect();
        // SAFETY: `create` returned the handle, and the host guarantees that the tensors are valid during the call.
        let (optimizer, value, mut target) =
            unsafe { (component::<dyn AnyOptimizer>(handle), tensor(value)?, TensorMut::from_raw(*target)?) };
        optimizer.fill_slot(&parameters, slot as usize, value, seed, &mut target, &Host::new(host))
    })
}

/// Converts an update and checks each tensor.
///
/// # Safety
/// The tensors of `raw` must have the shapes and dtypes that they declare. Those that are written must not overlap each
/// other, and nothing else may access them during `'a`.
unsafe fn read_update<'a>(raw: &'a abi::Update<'_>) -> Result<HostUpdate<'a>> {
    let step = Step { iteration: raw.iteration, step: raw.step, learning_rate: raw.learning_rate, seed: raw.seed };
    let mut entries = Vec::with_capacity(raw.entries.len());
    for entry in raw.entries.iter() {
        // SAFETY: the caller guarantees the tensors.
        let slots = entry.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
        // SAFETY: as above.
        let (value, gradient, ema) =
            unsafe { (TensorMut::from_raw(entry.value)?, tensor(&entry.gradient)?, tensor_mut(&entry.ema)?) };
        entries.push(HostEntry {
            entry: Entry {
                parameter: parameter(&entry.parameter),
                value,
                gradient,
                slots,
                learning_rate: raw.learning_rate * entry.learning_rate_factor,
            },
            gradient_scale: entry.gradient_scale as f32,
            clip_value: entry.clip_value as f32,
            weight_decay: entry.weight_decay,
            ema,
            ema_momentum: entry.ema_momentum as f32,
        });
    }
    // SAFETY: as above.
    let slots = raw.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
    Ok(HostUpdate { step, entries, slots })
}

unsafe extern "C" fn update(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and the host guarantees that the tensors are valid during the call.
        let (optimizer, update) = unsafe { (component::<dyn AnyOptimizer>(handle), read_update(raw)?) };
        optimizer.update(update, &Host::new(host))
    })
}

unsafe extern "C" fn finalize(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and the host guarantees that the tensors are valid during the call.
        let (optimizer, update) = unsafe { (component::<dyn AnyOptimizer>(handle), read_update(raw)?) };
        optimizer.finalize(update, &Host::new(host))
    })
}
