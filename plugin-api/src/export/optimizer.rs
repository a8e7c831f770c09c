//! `plugfit.optimizer/1`.

use super::{
    borrowed::{tensor, tensor_mut},
    plugin::{component, Plugin, Probe},
    wall::{dropping, wall},
};
use crate::{
    lanes::{
        pieces::Pieces,
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

/// One parameter in an update, as the host gives it: before scaling, clipping and decay.
#[doc(hidden)]
pub struct Given<'a> {
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

/// An optimizer of any level.
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
    fn update(&self, step: Step, given: Vec<Given<'_>>, own: &mut [TensorMut<'_>], host: &Host<'_>) -> Result<()>;
    #[doc(hidden)]
    fn finalize(&self, step: Step, given: Vec<Given<'_>>, own: &mut [TensorMut<'_>], host: &Host<'_>) -> Result<()>;
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
        let wanted = self.0.slots();
        if wanted.len() > N.min(MAX_SLOTS) {
            return Err(Error::other(format!(
                "{} slots are declared; at most {} can be",
                wanted.len(),
                N.min(MAX_SLOTS)
            )));
        }
        let mut slots = Vec::with_capacity(parameters.len() * wanted.len());
        for (index, parameter) in parameters.iter().enumerate() {
            for &(name, start) in &wanted {
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
        Err(Error::unsupported(format!("slot {slot} starts by itself")))
    }
    fn update(&self, step: Step, given: Vec<Given<'_>>, _: &mut [TensorMut<'_>], host: &Host<'_>) -> Result<()> {
        let mut jobs = Vec::with_capacity(given.len());
        for entry in given {
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
                *place = Some(Pieces::new(slot.into_floats::<f32>("a slot")?));
            }
            if let Some(ema) = &entry.ema {
                fits(ema.len(), "the average")?;
            }
            let ema = entry.ema.map(|ema| ema.into_floats::<f32>("the average")).transpose()?;
            jobs.push(Job {
                value: Pieces::new(entry.value.into_floats::<f32>("the value")?),
                gradient,
                slots,
                numbers: self.0.numbers(&Step { learning_rate: entry.learning_rate, ..step }),
                gradient_scale: entry.gradient_scale,
                clip_value: entry.clip_value,
                decay: (entry.weight_decay * entry.learning_rate) as f32,
                ema: ema.map(|ema| (Pieces::new(ema), entry.ema_momentum)),
            });
        }
        update::update(&self.0, &jobs, host);
        Ok(())
    }
    fn finalize(&self, _: Step, _: Vec<Given<'_>>, _: &mut [TensorMut<'_>], _: &Host<'_>) -> Result<()> {
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
    fn update(&self, step: Step, mut given: Vec<Given<'_>>, own: &mut [TensorMut<'_>], host: &Host<'_>) -> Result<()> {
        let mut scaled = Vec::with_capacity(given.len());
        for entry in &mut given {
            scaled.push(prepared(entry)?);
        }
        let mut averages = Vec::with_capacity(given.len());
        let mut entries = Vec::with_capacity(given.len());
        for (entry, scaled) in given.into_iter().zip(&scaled) {
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
        in_one(own, |own| {
            self.0.update(&mut Update { step, entries: &mut entries, slots: own, gradient_scale: 1.0 }, host)
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
    fn finalize(&self, step: Step, given: Vec<Given<'_>>, own: &mut [TensorMut<'_>], host: &Host<'_>) -> Result<()> {
        let entry = |given| {
            let Given { parameter, value, gradient, slots, learning_rate, .. } = given;
            Entry { parameter, value, gradient, slots, learning_rate }
        };
        let mut entries: Vec<_> = given.into_iter().map(entry).collect();
        in_one(own, |own| {
            self.0.finalize(&mut Update { step, entries: &mut entries, slots: own, gradient_scale: 1.0 }, host)
        })
    }
}

/// Lends the optimizer's own slots for as long as the entries live.
fn in_one<'o, T>(own: &'o mut [TensorMut<'_>], f: impl FnOnce(&mut [TensorMut<'o>]) -> Result<T>) -> Result<T> {
    let mut own: Vec<TensorMut<'o>> = own.iter_mut().map(TensorMut::reborrow).collect();
    f(&mut own)
}

/// Applies the decay to the value; the gradient scaled and clipped, where that changes it.
fn prepared(entry: &mut Given<'_>) -> Result<Option<Vec<f32>>> {
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

/// Level 2 comes first.
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

/// Then level 1.
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

/// The table of a plug-in's optimizers.
pub(crate) const fn table<P: Plugin>() -> abi::OptimizerV1 {
    abi::OptimizerV1 { create: create::<P>, release, config, instance_info, slots, fill_slot, update, finalize }
}

component! { create = Plugin::optimizer, release, config, instance_info: Object }

/// # Safety
/// A handle of `create`.
unsafe fn optimizer<'a>(handle: Handle) -> &'a Object {
    // SAFETY: the caller's promise.
    unsafe { &*handle.pointer.cast() }
}

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
    wall(|| {
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(parameter).collect();
        // SAFETY: a handle of `create`.
        let slots = unsafe { optimizer(handle) }.slots(&parameters, &Host::new(host))?;
        Ok(slots.into_iter().map(raw_slot).collect())
    })
}

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
    wall(|| {
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(parameter).collect();
        // SAFETY: a handle of `create`, and the host's promise of what it lends.
        let (optimizer, value, mut target) =
            unsafe { (optimizer(handle), tensor(value)?, TensorMut::from_raw(*target)?) };
        optimizer.fill_slot(&parameters, slot as usize, value, seed, &mut target, &Host::new(host))
    })
}

/// What the host gave, each tensor checked.
///
/// # Safety
/// What `raw` points at must be as its fields say, different memory for each tensor that is written.
unsafe fn given<'a>(raw: &'a abi::Update<'_>) -> Result<(Step, Vec<Given<'a>>, Vec<TensorMut<'a>>)> {
    let step = Step { iteration: raw.iteration, step: raw.step, learning_rate: raw.learning_rate, seed: raw.seed };
    let mut entries = Vec::with_capacity(raw.entries.len());
    for entry in raw.entries.iter() {
        // SAFETY: the caller's promise; so below.
        let slots = entry.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
        // SAFETY: as above.
        let (value, gradient, ema) =
            unsafe { (TensorMut::from_raw(entry.value)?, tensor(&entry.gradient)?, tensor_mut(&entry.ema)?) };
        entries.push(Given {
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
    let own = raw.slots.iter().map(|slot| unsafe { TensorMut::from_raw(*slot) }).collect::<Result<_>>()?;
    Ok((step, entries, own))
}

unsafe extern "C" fn update(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    wall(|| {
        // SAFETY: a handle of `create`, and the host's promise of what it lends.
        let (optimizer, (step, entries, mut own)) = unsafe { (optimizer(handle), given(raw)?) };
        optimizer.update(step, entries, &mut own, &Host::new(host))
    })
}

unsafe extern "C" fn finalize(handle: Handle, host: &abi::Host, raw: &abi::Update<'_>) -> RResult<(), abi::Error> {
    wall(|| {
        // SAFETY: a handle of `create`, and the host's promise of what it lends.
        let (optimizer, (step, entries, mut own)) = unsafe { (optimizer(handle), given(raw)?) };
        optimizer.finalize(step, entries, &mut own, &Host::new(host))
    })
}
