use std::collections::{HashSet, TryReserveError};
use std::fmt;
use std::sync::Arc;

use plugfit_abi::abi_stable::std_types::{ROption, RSlice, RStr};
use plugfit_abi::{self as abi, Handle, OptimizerV1};
use plugfit_api::instance::Instance;
use plugfit_api::optimizer::{Parameter, Start, Step};
use plugfit_api::{Element, Tensor, TensorMut};
use serde_json::{Map, Value};

use super::bounds;
use super::component::Owned;
use crate::Result;

/// What an optimizer wants to have kept.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotSpec {
    /// The index of its parameter; none: it is the optimizer's as a whole.
    pub parameter: Option<usize>,
    /// Such as "momentum".
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Whether it is float64, else float32.
    pub double: bool,
    /// How it starts.
    pub start: Start,
}

/// The numbers of a slot.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotValues {
    /// float32.
    Single(Vec<f32>),
    /// float64.
    Double(Vec<f64>),
}

impl SlotValues {
    /// So many numbers, each of this value.
    ///
    /// # Errors
    /// There isn't as much memory.
    pub fn filled(count: usize, value: f64, double: bool) -> Result<Self, TryReserveError> {
        fn filled<T: Clone>(count: usize, value: T) -> Result<Vec<T>, TryReserveError> {
            let mut values = Vec::new();
            values.try_reserve_exact(count)?;
            values.resize(count, value);
            Ok(values)
        }
        Ok(match double {
            true => SlotValues::Double(filled(count, value)?),
            false => SlotValues::Single(filled(count, value as f32)?),
        })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        match self {
            SlotValues::Single(values) => values.len(),
            SlotValues::Double(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor that is kept for an optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// What the optimizer asked for.
    pub spec: SlotSpec,
    /// The numbers, in C order.
    pub values: SlotValues,
}

impl Slot {
    fn raw(&mut self) -> abi::Tensor {
        match &mut self.values {
            SlotValues::Single(values) => TensorMut::new(values, &self.spec.shape).raw(),
            SlotValues::Double(values) => TensorMut::new(values, &self.spec.shape).raw(),
        }
    }
}

/// One parameter in an update.
pub struct Entry<'a> {
    /// Which.
    pub parameter: Parameter<'a>,
    /// Its values.
    pub value: &'a mut [f32],
    /// Its gradient; none: it stays as it is.
    pub gradient: Option<&'a [f32]>,
    /// Its slots, in the order they were asked for.
    pub slots: &'a mut [Slot],
    /// Multiplies the gradient first.
    pub gradient_scale: f64,
    /// Then each element is clipped to ± this; infinity: not.
    pub clip_value: f64,
    /// Then `value -= value * weight_decay * learning rate`.
    pub weight_decay: f64,
    /// Multiplies the learning rate.
    pub learning_rate_factor: f64,
    /// After the step, `ema = momentum * ema + (1 - momentum) * value`.
    pub ema: Option<&'a mut [f32]>,
    /// See `ema`.
    pub ema_momentum: f64,
}

/// An optimizer of a plug-in.
#[derive(Clone)]
pub struct Optimizer {
    owned: Arc<Owned<OptimizerV1>>,
    info: Map<String, Value>,
}

impl From<Instance<OptimizerV1>> for Optimizer {
    fn from(instance: Instance<OptimizerV1>) -> Self {
        Optimizer::from_instance(instance, None)
    }
}

impl Optimizer {
    pub(super) fn new(owned: Owned<OptimizerV1>) -> Result<Self> {
        let info = owned.info()?;
        Ok(Optimizer { owned: Arc::new(owned), info })
    }

    /// An optimizer that was made in this process, and is taken over; `label` is what errors call it, if not by its name.
    pub(crate) fn from_instance(instance: Instance<OptimizerV1>, label: Option<&str>) -> Self {
        let owned = Owned::of_instance(instance, label);
        let info = owned.info().unwrap_or_default();
        Optimizer { owned: Arc::new(owned), info }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.owned.name()
    }

    /// Its name with its plug-in's before it.
    pub fn full_name(&self) -> String {
        self.owned.full_name()
    }

    /// Its plug-in and version.
    pub fn plugin(&self) -> &str {
        self.owned.plugin()
    }

    /// Every key of its own configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn config(&self) -> Result<Map<String, Value>> {
        self.owned.config()
    }

    /// What depends on the configuration.
    pub fn info(&self) -> &Map<String, Value> {
        &self.info
    }

    pub(super) fn owned(&self) -> &Owned<OptimizerV1> {
        &self.owned
    }

    /// What it wants to have kept for these parameters.
    ///
    /// # Errors
    /// It doesn't take such parameters, or its slots can't be.
    pub fn slots(&self, parameters: &[Parameter<'_>]) -> Result<Vec<SlotSpec>> {
        let owned = &*self.owned;
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(raw_parameter).collect();
        // SAFETY: the handle belongs to this table; so in the following.
        let slots =
            owned.checked(unsafe { (owned.table.slots)(owned.handle, &owned.host, RSlice::from_slice(&raw)) })?;
        owned.at_most(slots.len(), bounds::SLOTS * (parameters.len() + 1), "slots")?;
        let mut specs: Vec<SlotSpec> = Vec::with_capacity(slots.len());
        let mut known = HashSet::new();
        let count = |shape: &[i64]| {
            let lengths = shape.iter().map(|&length| u64::try_from(length).ok());
            lengths.into_iter().try_fold(1_u64, |product, length| product.checked_mul(length?))
        };
        let of_parameters = parameters.iter().map(|parameter| count(parameter.shape).unwrap_or(0));
        let most = of_parameters.fold(0, u64::saturating_add).saturating_mul(bounds::SLOTS as u64);
        let mut left = most.saturating_add(bounds::SLOT_NUMBERS);
        for slot in slots {
            let parameter = match slot.parameter {
                abi::NONE => None,
                index => match usize::try_from(index).ok().filter(|&index| index < parameters.len()) {
                    Some(index) => Some(index),
                    None => return Err(owned.mistake(&format!("asks for a slot of parameter {index}"))),
                },
            };
            let double = slot.dtype == f64::DTYPE;
            let name = owned.short_name(&slot.name, "slot's name")?.to_owned();
            owned.at_most(slot.shape.len(), bounds::AXES, "axes")?;
            let rest = count(&slot.shape).and_then(|numbers| left.checked_sub(numbers));
            let (Some(rest), true) = (rest, double || slot.dtype == f32::DTYPE) else {
                return Err(
                    owned.mistake(&format!("asks for a slot \"{name}\" of shape {:?}, which can't be", slot.shape))
                );
            };
            left = rest;
            let start = match slot.start {
                abi::SLOT_CONSTANT => Start::Constant(slot.value),
                abi::SLOT_COPY_OF_PARAMETER => {
                    let same = parameter.is_some_and(|index| parameters[index].shape == slot.shape.as_slice());
                    if !same || double {
                        return Err(
                            owned.mistake(&format!("asks for a slot \"{name}\" as a copy of what has another shape"))
                        );
                    }
                    Start::Copy
                }
                abi::SLOT_FILLED => Start::Filled,
                other => {
                    return Err(owned.mistake(&format!("asks for a slot \"{name}\" with the unknown start {other}")));
                }
            };
            if !known.insert((parameter, name.clone())) {
                return Err(owned.mistake(&format!("asks for two slots \"{name}\" of one parameter")));
            }
            specs.push(SlotSpec { parameter, name, shape: slot.shape.into(), double, start });
        }
        Ok(specs)
    }

    /// Fills slot number `index` of what [`slots`](Self::slots) gave.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        index: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut Slot,
    ) -> Result<()> {
        let owned = &*self.owned;
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(raw_parameter).collect();
        let parameter: ROption<abi::Tensor> = parameter.map(|parameter| parameter.raw()).into();
        let target = target.raw();
        // SAFETY: as above; `target` is borrowed mutably.
        owned.checked(unsafe {
            (owned.table.fill_slot)(
                owned.handle,
                &owned.host,
                RSlice::from_slice(&raw),
                index as u64,
                &parameter,
                seed,
                &target,
            )
        })
    }

    /// One step of every parameter, in the order that `slots` saw.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn update(&self, step: &Step, entries: &mut [Entry<'_>], own: &mut [Slot]) -> Result<()> {
        self.call(self.owned.table.update, step, entries, own)
    }

    /// Moves the parameters to where they shall be evaluated.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn finalize(&self, step: &Step, entries: &mut [Entry<'_>], own: &mut [Slot]) -> Result<()> {
        self.call(self.owned.table.finalize, step, entries, own)
    }

    fn call(
        &self,
        function: unsafe extern "C" fn(
            Handle,
            &abi::Host,
            &abi::Update<'_>,
        ) -> abi::abi_stable::std_types::RResult<(), abi::Error>,
        step: &Step,
        entries: &mut [Entry<'_>],
        own: &mut [Slot],
    ) -> Result<()> {
        let owned = &*self.owned;
        let own: Vec<abi::Tensor> = own.iter_mut().map(Slot::raw).collect();
        let mut slots: Vec<abi::Tensor> = Vec::with_capacity(entries.iter().map(|entry| entry.slots.len()).sum());
        for entry in entries.iter_mut() {
            slots.extend(entry.slots.iter_mut().map(Slot::raw));
        }
        let mut rest = &slots[..];
        let mut raw = Vec::with_capacity(entries.len());
        for entry in entries.iter_mut() {
            let (slots, others) = rest.split_at(entry.slots.len());
            rest = others;
            let shape = entry.parameter.shape;
            raw.push(abi::UpdateEntry {
                parameter: raw_parameter(&entry.parameter),
                value: TensorMut::new(entry.value, shape).raw(),
                gradient: entry.gradient.map(|gradient| Tensor::new(gradient, shape).raw()).into(),
                slots: RSlice::from_slice(slots),
                gradient_scale: entry.gradient_scale,
                clip_value: entry.clip_value,
                weight_decay: entry.weight_decay,
                learning_rate_factor: entry.learning_rate_factor,
                ema: entry.ema.as_deref_mut().map(|ema| TensorMut::new(ema, shape).raw()).into(),
                ema_momentum: entry.ema_momentum,
            });
        }
        let update = abi::Update {
            iteration: step.iteration,
            step: step.step,
            learning_rate: step.learning_rate,
            seed: step.seed,
            entries: RSlice::from_slice(&raw),
            slots: RSlice::from_slice(&own),
        };
        // SAFETY: the handle belongs to this table; what it may write is borrowed mutably until the call returns.
        owned.checked(unsafe { function(owned.handle, &owned.host, &update) })
    }
}

fn raw_parameter<'a>(parameter: &Parameter<'a>) -> abi::Parameter<'a> {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    abi::Parameter {
        name: RStr::from_str(parameter.name),
        path: RStr::from_str(parameter.path),
        shape: RSlice::from_slice(parameter.shape),
        dtype: f32::DTYPE,
        flags: flag(parameter.trainable, abi::PARAMETER_TRAINABLE)
            | flag(parameter.embedding, abi::PARAMETER_EMBEDDING)
            | flag(!parameter.decays, abi::PARAMETER_WITHOUT_DECAY),
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_by_the_parameters() {
        let shape = [600_000_000];
        let parameter = Parameter {
            name: "kernel",
            path: "kernel",
            shape: &shape,
            trainable: true,
            embedding: false,
            decays: true,
        };
        let host = crate::Host::new();
        let adam = host.resolve(super::super::Kind::Optimizer, &"adam".into());
        let Ok(super::super::Resolved::Optimizer(adam)) = adam else { panic!("it is there") };
        let slots = adam.slots(&[parameter]).expect("a large network");
        assert!(slots.len() >= 2, "{slots:?}");
    }
}
