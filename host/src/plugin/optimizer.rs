//! Optimizers of plug-ins, their slots, and the arguments of an update.

use std::collections::{HashSet, TryReserveError};
use std::sync::Arc;

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RSlice};
use plugfit_abi::{self as abi, Handle, OptimizerV1};
use plugfit_api::instance::Instance;
use plugfit_api::optimizer::{Parameter, Start, Step};
use plugfit_api::{Element, Tensor, TensorMut};
use serde_json::{Map, Value};

use super::bounds;
use super::component::{ComponentHandle, component_type};
use crate::Result;

/// A slot that an optimizer requests.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotSpec {
    /// The index of the slot's parameter; `None` if the slot belongs to the optimizer as a whole.
    pub parameter: Option<usize>,
    /// The slot's name, such as "momentum".
    pub name: String,
    /// The slot's shape.
    pub shape: Vec<i64>,
    /// Whether the slot is float64; otherwise it is float32.
    pub double: bool,
    /// The initial values.
    pub start: Start,
}

/// The values of a slot.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotValues {
    /// float32 values.
    Single(Vec<f32>),
    /// float64 values.
    Double(Vec<f64>),
}

impl SlotValues {
    /// Creates `count` values that all equal `value`.
    ///
    /// # Errors
    /// Returns an error if there isn't enough memory.
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

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        match self {
            SlotValues::Single(values) => values.len(),
            SlotValues::Double(values) => values.len(),
        }
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor that is stored for an optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The slot as the optimizer requested it.
    pub spec: SlotSpec,
    /// The values, in C order.
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

/// The slots of a parameter in an update.
pub enum Slots<'a> {
    /// Those of the host.
    Owned(&'a mut [Slot]),
    /// Memory of the caller.
    Borrowed(&'a [TensorMut<'a>]),
}

impl Slots<'_> {
    fn len(&self) -> usize {
        match self {
            Slots::Owned(slots) => slots.len(),
            Slots::Borrowed(slots) => slots.len(),
        }
    }

    fn add_to(&mut self, all: &mut Vec<abi::Tensor>) {
        match self {
            Slots::Owned(slots) => all.extend(slots.iter_mut().map(Slot::raw)),
            Slots::Borrowed(slots) => all.extend(slots.iter().map(TensorMut::raw)),
        }
    }
}

/// One parameter of an update.
pub struct Entry<'a> {
    /// The parameter.
    pub parameter: Parameter<'a>,
    /// The parameter's values.
    pub value: &'a mut [f32],
    /// The gradient; `None` leaves the parameter unchanged.
    pub gradient: Option<&'a [f32]>,
    /// The parameter's slots, in the order in which they were requested.
    pub slots: Slots<'a>,
    /// The first factor: multiplies the gradient before clipping.
    pub gradient_scale: f64,
    /// Each element of the scaled gradient is clipped to ± this; infinity disables clipping.
    pub clip_value: f64,
    /// Then `value -= value * weight_decay * learning rate`.
    pub weight_decay: f64,
    /// Multiplies the learning rate.
    pub learning_rate_factor: f64,
    /// After the step, `ema = momentum * ema + (1 - momentum) * value`.
    pub ema: Option<&'a mut [f32]>,
    /// The momentum of `ema`.
    pub ema_momentum: f64,
}

impl<'a> Entry<'a> {
    /// Creates an entry to which the update alone applies: without clipping, weight decay and average.
    pub fn plain(
        parameter: Parameter<'a>,
        value: &'a mut [f32],
        gradient: Option<&'a [f32]>,
        slots: Slots<'a>,
    ) -> Self {
        Entry {
            parameter,
            value,
            gradient,
            slots,
            gradient_scale: 1.0,
            clip_value: f64::INFINITY,
            weight_decay: 0.0,
            learning_rate_factor: 1.0,
            ema: None,
            ema_momentum: 0.0,
        }
    }
}

/// An optimizer of a plug-in.
#[derive(Clone)]
pub struct Optimizer {
    component: Arc<ComponentHandle<OptimizerV1>>,
    info: Map<String, Value>,
}

component_type!(Optimizer, OptimizerV1, "optimizer");

impl Optimizer {
    pub(super) fn new(component: ComponentHandle<OptimizerV1>) -> Result<Self> {
        let info = component.info()?;
        Ok(Optimizer { component: Arc::new(component), info })
    }

    /// Takes over an optimizer that was created in this process. Errors call it `label`, or by its name if there is
    /// none.
    pub(crate) fn from_instance(instance: Instance<OptimizerV1>, label: Option<&str>) -> Self {
        let component = ComponentHandle::of_instance(instance, label);
        let info = component.info().unwrap_or_default();
        Optimizer { component: Arc::new(component), info }
    }

    /// Returns the information that depends on the configuration.
    pub fn info(&self) -> &Map<String, Value> {
        &self.info
    }

    pub(super) fn component(&self) -> &ComponentHandle<OptimizerV1> {
        &self.component
    }

    /// Returns the slots that the optimizer requests for these parameters.
    ///
    /// # Errors
    /// Returns an error if the optimizer doesn't support such parameters or its slots are invalid.
    pub fn slots(&self, parameters: &[Parameter<'_>]) -> Result<Vec<SlotSpec>> {
        let component = &*self.component;
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(Parameter::raw).collect();
        // SAFETY: the handle belongs to this table.
        let slots = component
            .checked(unsafe { (component.table.slots)(component.handle, &component.host, RSlice::from_slice(&raw)) })?;
        component.at_most(slots.len(), bounds::MAX_SLOTS * (parameters.len() + 1), "slots")?;
        let mut specs: Vec<SlotSpec> = Vec::with_capacity(slots.len());
        let mut seen = HashSet::new();
        let count = |shape: &[i64]| {
            let lengths = shape.iter().map(|&length| u64::try_from(length).ok());
            lengths.into_iter().try_fold(1_u64, |product, length| product.checked_mul(length?))
        };
        let of_parameters = parameters.iter().map(|parameter| count(parameter.shape).unwrap_or(0));
        let most = of_parameters.fold(0, u64::saturating_add).saturating_mul(bounds::MAX_SLOTS as u64);
        let mut remaining = most.saturating_add(bounds::MAX_SLOT_NUMBERS);
        for slot in slots {
            let parameter = match slot.parameter {
                abi::NONE => None,
                index => match usize::try_from(index).ok().filter(|&index| index < parameters.len()) {
                    Some(index) => Some(index),
                    None => return Err(component.contract_violation(&format!("requests a slot of parameter {index}"))),
                },
            };
            let double = slot.dtype == f64::DTYPE;
            let name = component.short_name(&slot.name, "slot's name")?.to_owned();
            component.at_most(slot.shape.len(), bounds::MAX_AXES, "axes")?;
            let rest = count(&slot.shape).and_then(|numbers| remaining.checked_sub(numbers));
            let (Some(rest), true) = (rest, double || slot.dtype == f32::DTYPE) else {
                return Err(component.contract_violation(&format!(
                    "requests a slot \"{name}\" of shape {:?} that is invalid, too large, or neither float32 nor float64",
                    slot.shape
                )));
            };
            remaining = rest;
            let start = match slot.start {
                abi::SLOT_CONSTANT => Start::Constant(slot.value),
                abi::SLOT_COPY_OF_PARAMETER => {
                    let same = parameter.is_some_and(|index| parameters[index].shape == slot.shape.as_slice());
                    if !same || double {
                        return Err(component.contract_violation(&format!(
                            "requests a slot \"{name}\" as a copy of a parameter, but the slot has another shape or is float64"
                        )));
                    }
                    Start::Copy
                }
                abi::SLOT_FILLED => Start::Filled,
                other => {
                    return Err(component
                        .contract_violation(&format!("requests a slot \"{name}\" with the unknown start {other}")));
                }
            };
            if !seen.insert((parameter, name.clone())) {
                return Err(component.contract_violation(&format!("requests two slots \"{name}\" of one parameter")));
            }
            specs.push(SlotSpec { parameter, name, shape: slot.shape.into(), double, start });
        }
        Ok(specs)
    }

    /// Fills the slot at `index` of the result of [`slots`](Self::slots).
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        index: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut Slot,
    ) -> Result<()> {
        let component = &*self.component;
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(Parameter::raw).collect();
        let parameter: ROption<abi::Tensor> = parameter.map(|parameter| parameter.raw()).into();
        let target = target.raw();
        // SAFETY: the handle belongs to this table; `target` is borrowed mutably.
        component.checked(unsafe {
            (component.table.fill_slot)(
                component.handle,
                &component.host,
                RSlice::from_slice(&raw),
                index as u64,
                &parameter,
                seed,
                &target,
            )
        })
    }

    /// Updates every parameter by one step. The order of `entries` is that of the parameters in [`slots`](Self::slots).
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn update(&self, step: &Step, entries: &mut [Entry<'_>], own_slots: &mut [Slot]) -> Result<()> {
        self.call(self.component.table.update, step, entries, own_slots)
    }

    /// Moves the parameters to the values at which the model is evaluated.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn finalize(&self, step: &Step, entries: &mut [Entry<'_>], own_slots: &mut [Slot]) -> Result<()> {
        self.call(self.component.table.finalize, step, entries, own_slots)
    }

    fn call(
        &self,
        function: unsafe extern "C" fn(Handle, &abi::Host, &abi::Update<'_>) -> RResult<(), abi::Error>,
        step: &Step,
        entries: &mut [Entry<'_>],
        own_slots: &mut [Slot],
    ) -> Result<()> {
        let component = &*self.component;
        let own_slots: Vec<abi::Tensor> = own_slots.iter_mut().map(Slot::raw).collect();
        let mut slots: Vec<abi::Tensor> = Vec::with_capacity(entries.iter().map(|entry| entry.slots.len()).sum());
        for entry in entries.iter_mut() {
            entry.slots.add_to(&mut slots);
        }
        let mut rest = &slots[..];
        let mut raw = Vec::with_capacity(entries.len());
        for entry in entries.iter_mut() {
            let (slots, following) = rest.split_at(entry.slots.len());
            rest = following;
            let shape = entry.parameter.shape;
            raw.push(abi::UpdateEntry {
                parameter: entry.parameter.raw(),
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
            slots: RSlice::from_slice(&own_slots),
        };
        // SAFETY: the handle belongs to this table; whatever it may write is borrowed mutably until the call returns.
        component.checked(unsafe { function(component.handle, &component.host, &update) })
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn the_bound_on_slots_grows_with_the_parameters() {
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
