//! Implements `plugfit.optimizer/1`.

use super::{
    borrowed::{tensor, tensor_mut},
    catch_panics::{catch_panics, dropping},
    plugin::{component, Plugin, Probe},
};
use crate::{
    kernels::{
        disjoint_slices::DisjointSlices,
        update::{self, Job, MAX_SLOTS},
    },
    optimizer::{ElementwiseOptimizer, Entry, Optimizer, Parameter, Slot, Start, Step, Update},
    Element, Error, Host, Result, Tensor, TensorMut,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    Handle,
};
use serde_json::{Map, Value};

/// One parameter of an update as the host passes it, before scaling, clipping and weight decay.
#[doc(hidden)]
pub struct HostEntry<'a> {
    parameter: Parameter<'a>,
    value: TensorMut<'a>,
    gradient: Option<Tensor<'a>>,
    slots: Vec<TensorMut<'a>>,
    gradient_scale: f32,
    clip_value: f32,
    weight_decay: f64,
    learning_rate: f64,
    ema: Option<TensorMut<'a>>,
    ema_momentum: f32,
}

/// A type-erased optimizer of any level.
pub trait AnyOptimizer: Send + Sync {
    #[doc(hidden)]
    fn config(&self) -> Map<String, Value>;
    #[doc(hidden)]
    fn info(&self) -> Value;
    #[doc(hidden)]
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>>;
    #[doc(hidden)]
    fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        slot: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut TensorMut<'_>,
        host: &Host<'_>,
    ) -> Result<()>;
    #[doc(hidden)]
    fn update(
        &self,
        step: Step,
        host_entries: Vec<HostEntry<'_>>,
        global_slots: &mut [TensorMut<'_>],
        host: &Host<'_>,
    ) -> Result<()>;
    #[doc(hidden)]
    fn finalize(
        &self,
        step: Step,
        host_entries: Vec<HostEntry<'_>>,
        global_slots: &mut [TensorMut<'_>],
        host: &Host<'_>,
    ) -> Result<()>;
}

struct ByTensor<T>(T);
struct ByElement<T, const N: usize>(T);

impl<T: ElementwiseOptimizer<N>, const N: usize> AnyOptimizer for ByElement<T, N> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> Value {
        serde_json::to_value(self.0.info()).unwrap_or_default()
    }
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let declared = self.0.slots();
        if declared.len() > N.min(MAX_SLOTS) {
            return Err(Error::other(format!(
                "{} slots are declared; at most {} are possible",
                declared.len(),
                N.min(MAX_SLOTS)
            )));
        }
        let mut slots = Vec::with_capacity(parameters.len() * declared.len());
        for (index, parameter) in parameters.iter().enumerate() {
            for &(name, start) in &declared {
                slots.push(Slot { start: Start::Constant(start), ..Slot::like(index, parameter, name) });
            }
        }
        Ok(slots)
    }
    fn fill_slot(
        &self,
        _: &[Parameter<'_>],
        slot: usize,
        _: Option<Tensor<'_>>,
        _: u64,
        _: &mut TensorMut<'_>,
        _: &Host<'_>,
    ) -> Result<()> {
        Err(Error::unsupported(format!("slot {slot} starts with a constant; it isn't filled")))
    }
    fn update(
        &self,
        step: Step,
        host_entries: Vec<HostEntry<'_>>,
        _: &mut [TensorMut<'_>],
        host: &Host<'_>,
    ) -> Result<()> {
        let mut jobs = Vec::with_capacity(host_entries.len());
        for entry in host_entries {
            let Some(gradient) = entry.gradient else { continue };
            let gradient = gradient.f32s("the gradient")?;
            let fits = |length: usize, what: &str| match length == gradient.len() {
                true => Ok(()),
                false => Err(Error::input(format!(
                    "{what} of {} has {length} elements; its gradient has {}",
                    entry.parameter.path,
                    gradient.len()
                ))),
            };
            fits(entry.value.len(), "the value")?;
            let mut slots = [const { None }; MAX_SLOTS];
            if entry.slots.len() > MAX_SLOTS.min(N) {
                return Err(Error::input(format!("{} has more slots than were asked for", entry.parameter.path)));
            }
            for (place, slot) in slots.iter_mut().zip(entry.slots) {
                fits(slot.len(), "a slot")?;
                *place = Some(DisjointSlices::new(slot.into_floats::<f32>("a slot")?));
            }
            if let Some(ema) = &entry.ema {
                fits(ema.len(), "the average")?;
            }
            let ema = entry.ema.map(|ema| ema.into_floats::<f32>("the average")).transpose()?;
            jobs.push(Job {
                value: DisjointSlices::new(entry.value.into_floats::<f32>("the value")?),
                gradient,
                slots,
                numbers: self.0.numbers(&Step { learning_rate: entry.learning_rate, ..step }),
                gradient_scale: entry.gradient_scale,
                clip_value: entry.clip_value,
                decay: (entry.weight_decay * entry.learning_rate) as f32,
                ema: ema.map(|ema| (DisjointSlices::new(ema), entry.ema_momentum)),
            });
        }
        update::update(&self.0, &jobs, host);
        Ok(())
    }
    fn finalize(&self, _: Step, _: Vec<HostEntry<'_>>, _: &mut [TensorMut<'_>], _: &Host<'_>) -> Result<()> {
        Ok(())
    }
}

impl<T: Optimizer> AnyOptimizer for ByTensor<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn info(&self) -> Value {
        serde_json::to_value(self.0.info()).unwrap_or_default()
    }
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        self.0.slots(parameters, host)
    }
    fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        slot: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut TensorMut<'_>,
        host: &Host<'_>,
    ) -> Result<()> {
        self.0.fill_slot(parameters, slot, parameter, seed, target, host)
    }
    fn update(
        &self,
        step: Step,
        mut host_entries: Vec<HostEntry<'_>>,
        global_slots: &mut [TensorMut<'_>],
        host: &Host<'_>,
    ) -> Result<()> {
        let mut scaled = Vec::with_capacity(host_entries.len());
        for entry in &mut host_entries {
            scaled.push(decay_and_scale(entry)?);
        }
        let mut averages = Vec::with_capacity(host_entries.len());
        let mut entries = Vec::with_capacity(host_entries.len());
        for (entry, scaled) in host_entries.into_iter().zip(&scaled) {
            averages.push((entry.ema, entry.ema_momentum));
            let gradient = match (scaled, entry.gradient) {
                (Some(scaled), Some(gradient)) => Some(Tensor::new(scaled, gradient.shape())),
                (_, gradient) => gradient,
            };
            entries.push(Entry {
                parameter: entry.parameter,
                value: entry.value,
                gradient,
                slots: entry.slots,
                learning_rate: entry.learning_rate,
            });
        }
        with_reborrowed(global_slots, |global_slots| {
            self.0.update(&mut Update { step, entries: &mut entries, slots: global_slots, gradient_scale: 1.0 }, host)
        })?;
        for (entry, (ema, momentum)) in entries.iter_mut().zip(averages) {
            if let (Some(ema), true) = (ema, entry.gradient.is_some()) {
                let value = entry.value.f32s_mut("the value")?;
                for (ema, value) in ema.into_floats::<f32>("the average")?.iter_mut().zip(value) {
                    *ema = momentum * *ema + (1.0 - momentum) * *value;
                }
            }
        }
        Ok(())
    }
    fn finalize(
        &self,
        step: Step,
        host_entries: Vec<HostEntry<'_>>,
        global_slots: &mut [TensorMut<'_>],
        host: &Host<'_>,
    ) -> Result<()> {
        let entry = |host_entry| {
            let HostEntry { parameter, value, gradient, slots, learning_rate, .. } = host_entry;
            Entry { parameter, value, gradient, slots, learning_rate }
        };
        let mut entries: Vec<_> = host_entries.into_iter().map(entry).collect();
        with_reborrowed(global_slots, |global_slots| {
            self.0.finalize(&mut Update { step, entries: &mut entries, slots: global_slots, gradient_scale: 1.0 }, host)
        })
    }
}

/// Calls `f` with the global slots reborrowed for the lifetime of the entries.
fn with_reborrowed<'o, T>(
    global_slots: &'o mut [TensorMut<'_>],
    f: impl FnOnce(&mut [TensorMut<'o>]) -> Result<T>,
) -> Result<T> {
    let mut global_slots: Vec<TensorMut<'o>> = global_slots.iter_mut().map(TensorMut::reborrow).collect();
    f(&mut global_slots)
}

/// Applies weight decay to the value. Returns the scaled and clipped gradient, or `None` if there is none or it is
/// unchanged.
fn decay_and_scale(entry: &mut HostEntry<'_>) -> Result<Option<Vec<f32>>> {
    let Some(gradient) = entry.gradient else { return Ok(None) };
    let decay = (entry.weight_decay * entry.learning_rate) as f32;
    if decay != 0.0 {
        entry.value.f32s_mut("the value")?.iter_mut().for_each(|value| *value -= *value * decay);
    }
    if entry.gradient_scale == 1.0 && entry.clip_value.is_infinite() {
        return Ok(None);
    }
    let (scale, clip) = (entry.gradient_scale, entry.clip_value);
    let gradient = gradient.f32s("the gradient")?;
    Ok(Some(gradient.iter().map(|&gradient| (gradient * scale).clamp(-clip, clip)).collect()))
}

/// Creates an optimizer of level 2 from a probe; tried first.
pub trait OptimizerByTensor {
    #[doc(hidden)]
    fn make_optimizer(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyOptimizer>>;
}
impl<T: Optimizer> OptimizerByTensor for &Probe<T> {
    fn make_optimizer(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyOptimizer>> {
        let mut optimizer = T::from_json(config)?;
        optimizer.prepare(host)?;
        Ok(by_tensor(optimizer))
    }
}

/// Creates an optimizer of level 1 from a probe; tried second.
pub trait OptimizerByElement<const N: usize> {
    #[doc(hidden)]
    fn make_optimizer(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyOptimizer>>;
}
impl<T: ElementwiseOptimizer<N>, const N: usize> OptimizerByElement<N> for Probe<T> {
    fn make_optimizer(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyOptimizer>> {
        Ok(by_element::<T, N>(T::from_json(config)?))
    }
}

pub(crate) fn by_tensor(optimizer: impl Optimizer) -> Box<dyn AnyOptimizer> {
    Box::new(ByTensor(optimizer))
}

pub(crate) fn by_element<T: ElementwiseOptimizer<N>, const N: usize>(optimizer: T) -> Box<dyn AnyOptimizer> {
    Box::new(ByElement::<T, N>(optimizer))
}

pub(crate) type Object = Box<dyn AnyOptimizer>;

/// Returns the function table of a plug-in's optimizers.
pub(crate) const fn table<P: Plugin>() -> abi::OptimizerV1 {
    abi::OptimizerV1 { create: create::<P>, release, config, instance_info, slots, fill_slot, update, finalize }
}

component! { create = Plugin::optimizer, release, config, instance_info: Object }

/// Returns the optimizer of a handle.
///
/// # Safety
/// `create` must have returned the handle, and it must not be released during `'a`.
unsafe fn optimizer<'a>(handle: Handle) -> &'a Object {
    // SAFETY: the caller upholds the contract of this function.
    unsafe { &*handle.pointer.cast() }
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
        let slots = unsafe { optimizer(handle) }.slots(&parameters, &Host::new(host))?;
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
            unsafe { (optimizer(handle), tensor(value)?, TensorMut::from_raw(*target)?) };
        optimizer.fill_slot(&parameters, slot as usize, value, seed, &mut target, &Host::new(host))
    })
}

/// Converts an update and checks each tensor. Returns the step, the entries and the global slots.
///
/// # Safety
/// The tensors of `raw` must have the shapes and dtypes that they declare. Those that are written must not overlap each
/// other, and nothing else may access them during `'a`.
unsafe fn read_update<'a>(raw: &'a abi::Update<'_>) -> Result<(Step, Vec<HostEntry<'a>>, Vec<TensorMut<'a>>)> {
    let step = Step { iteration: raw.iteration, step: raw.step, learning_rate: raw.learning_rate, seed: raw.seed };
    let mut entries = Vec::with_capacity(raw.entries.len());
    for entry in raw.entries.iter() {
        // SAFETY: the caller guarantees the tensors.
        let slots = entry.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
        // SAFETY: as above.
        let (value, gradient, ema) =
            unsafe { (TensorMut::from_raw(entry.value)?, tensor(&entry.gradient)?, tensor_mut(&entry.ema)?) };
        entries.push(HostEntry {
            parameter: parameter(&entry.parameter),
            value,
            gradient,
            slots,
            gradient_scale: entry.gradient_scale as f32,
            clip_value: entry.clip_value as f32,
            weight_decay: entry.weight_decay,
            learning_rate: raw.learning_rate * entry.learning_rate_factor,
            ema,
            ema_momentum: entry.ema_momentum as f32,
        });
    }
    // SAFETY: as above.
    let global_slots = raw.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
    Ok((step, entries, global_slots))
}

unsafe extern "C" fn update(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and the host guarantees that the tensors are valid during the call.
        let (optimizer, (step, entries, mut global_slots)) = unsafe { (optimizer(handle), read_update(raw)?) };
        optimizer.update(step, entries, &mut global_slots, &Host::new(host))
    })
}

unsafe extern "C" fn finalize(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and the host guarantees that the tensors are valid during the call.
        let (optimizer, (step, entries, mut global_slots)) = unsafe { (optimizer(handle), read_update(raw)?) };
        optimizer.finalize(step, entries, &mut global_slots, &Host::new(host))
    })
}
