//! Components that the host lends.

use crate::{
    optimizer::{Entry, Parameter, Slot, Start, Update},
    schedule::When,
    Element, Error, Host, Inputs, Result, Tensor,
};
use plugfit_abi::{
    self as abi,
    abi_stable::{
        std_types::{ROption, RResult, RSlice, RStr},
        StableAbi,
    },
    Interface,
};
use serde_json::Value;
use std::{fmt, marker::PhantomData};

/// A component that the host resolved, with the table of its kind.
pub(crate) struct Nested<T: 'static> {
    component: abi::Component,
    table: &'static T,
    kind: PhantomData<T>,
}

// SAFETY: handles of components are shared between threads, by the ABI's rules.
unsafe impl<T> Send for Nested<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Nested<T> {}

impl<T: StableAbi> Nested<T> {
    pub(crate) fn new(component: abi::Component) -> Result<Self> {
        // SAFETY: the host's promise: an `Interface` that lives as long as the process.
        let interface = unsafe { component.interface.cast::<Interface>().as_ref() };
        let fits = interface.filter(|interface| {
            interface.size == std::mem::size_of::<T>()
                && abi::abi_stable::abi_stability::abi_checking::check_layout_compatibility_with_globals(
                    T::LAYOUT,
                    interface.layout,
                    &abi::abi_stable::abi_stability::abi_checking::CheckingGlobals::new(),
                )
                .is_ok()
        });
        match fits {
            // SAFETY: size and layout were just checked.
            Some(interface) => {
                Ok(Nested { component, table: unsafe { &*interface.functions.cast::<T>() }, kind: PhantomData })
            }
            None => {
                // SAFETY: given back once, as the ABI asks.
                unsafe { (component.release)(component.owner) };
                Err(Error::unsupported("the host lent a component of another layout"))
            }
        }
    }
}

impl<T> Nested<T> {
    fn identifier(&self) -> Value {
        serde_json::from_str(&self.component.identifier).unwrap_or(Value::Null)
    }
}

impl<T> Drop for Nested<T> {
    fn drop(&mut self) {
        // SAFETY: given back once, as the ABI asks.
        unsafe { (self.component.release)(self.component.owner) };
    }
}

fn back<T>(result: RResult<T, abi::Error>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => Err(error.into()),
    }
}

/// Gives `f` a host for a call; without one, a host that offers nothing.
fn with_host<T>(host: &Host<'_>, f: impl FnOnce(&abi::Host) -> T) -> T {
    unsafe extern "C" fn nothing(_: *const std::ffi::c_void, _: RStr<'_>) -> *const std::ffi::c_void {
        std::ptr::null()
    }
    match host.raw() {
        Some(raw) => f(raw),
        None => f(&abi::Host { abi_version: abi::ABI_VERSION, context: std::ptr::null(), get_interface: nothing }),
    }
}

macro_rules! nested {
    ($(#[$doc:meta])* $name:ident, $table:ident) => {
        $(#[$doc])*
        pub struct $name(pub(crate) Nested<abi::$table>);

        impl $name {
            /// The identifier in full: `{"class_name": …, "config": …}`.
            pub fn identifier(&self) -> Value {
                self.0.identifier()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.component.identifier)
            }
        }
    };
}
nested! {
    /// A loss that the host lends.
    NestedLoss, LossV1
}
nested! {
    /// An optimizer that the host lends.
    NestedOptimizer, OptimizerV1
}
nested! {
    /// A schedule that the host lends.
    NestedSchedule, ScheduleV1
}

impl NestedSchedule {
    /// The learning rate.
    ///
    /// # Errors
    /// The schedule's own.
    pub fn learning_rate(&self, when: &When, host: &Host<'_>) -> Result<f64> {
        let call = abi::ScheduleCall {
            step: when.step,
            epoch: when.epoch,
            steps_per_epoch: when.steps_per_epoch.and_then(|steps| i64::try_from(steps).ok()).unwrap_or(abi::NONE),
            extras: RStr::from_str(""),
        };
        // SAFETY: the handle belongs to this table.
        back(with_host(host, |host| unsafe { (self.0.table.learning_rate)(self.0.component.handle, host, &call) }))
    }
}

impl NestedLoss {
    /// The unreduced values of a batch.
    ///
    /// # Errors
    /// The loss's own.
    pub fn values(&self, inputs: &Inputs<'_>, host: &Host<'_>) -> Result<Vec<f32>> {
        let tensors: Vec<abi::NamedTensor<'_>> = inputs
            .tensors()
            .iter()
            .map(|(name, tensor)| abi::NamedTensor { name: RStr::from_str(name), tensor: tensor.raw() })
            .collect();
        let raw = abi::Inputs { tensors: RSlice::from_slice(&tensors), weight: ROption::RNone, mask: ROption::RNone };
        // SAFETY: the handle belongs to this table; so below.
        let shape = back(unsafe { (self.0.table.output_shape)(self.0.component.handle, &raw) })?;
        let count = crate::lanes::tensor::elements(&shape).ok_or_else(|| Error::other("a loss of impossible shape"))?;
        let mut values = vec![0.0f32; count];
        let target = crate::TensorMut::new(&mut values, &shape).raw();
        let output = abi::LossOutput {
            values: ROption::RSome(target),
            valid: ROption::RNone,
            gradients: RSlice::from_slice(&[]),
            upstream: ROption::RNone,
            scale: 1.0,
        };
        // SAFETY: as above; `values` is written by nobody else meanwhile.
        back(with_host(host, |host| unsafe { (self.0.table.call)(self.0.component.handle, host, &raw, &output) }))?;
        Ok(values)
    }
}

impl NestedOptimizer {
    /// The slots that it wants for these parameters.
    ///
    /// # Errors
    /// The optimizer's own; a slot that isn't float32 or that it fills itself can't be passed on.
    pub fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(raw_parameter).collect();
        // SAFETY: the handle belongs to this table.
        let slots = back(with_host(host, |host| unsafe {
            (self.0.table.slots)(self.0.component.handle, host, RSlice::from_slice(&raw))
        }))?;
        slots
            .into_iter()
            .map(|slot| {
                let start = match slot.start {
                    abi::SLOT_CONSTANT => Start::Constant(slot.value),
                    abi::SLOT_COPY_OF_PARAMETER => Start::Copy,
                    _ => return Err(Error::unsupported(format!("slot {} can't be started here", slot.name))),
                };
                if slot.dtype != f32::DTYPE {
                    return Err(Error::unsupported(format!("slot {} isn't float32", slot.name)));
                }
                Ok(Slot {
                    parameter: usize::try_from(slot.parameter).ok(),
                    name: slot.name.into(),
                    shape: slot.shape.into(),
                    start,
                })
            })
            .collect()
    }

    /// One step, with what `update` holds: its slots must be those that [`slots`](Self::slots) asked for.
    ///
    /// # Errors
    /// The optimizer's own.
    pub fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        self.call(self.0.table.update, update, host)
    }

    /// See [`Optimizer::finalize`](crate::optimizer::Optimizer::finalize).
    ///
    /// # Errors
    /// The optimizer's own.
    pub fn finalize(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        self.call(self.0.table.finalize, update, host)
    }

    fn call(
        &self,
        function: unsafe extern "C" fn(abi::Handle, &abi::Host, &abi::Update<'_>) -> RResult<(), abi::Error>,
        update: &mut Update<'_, '_>,
        host: &Host<'_>,
    ) -> Result<()> {
        let step = update.step;
        let slots: Vec<Vec<abi::Tensor>> =
            update.entries.iter().map(|entry| entry.slots.iter().map(|slot| slot.raw()).collect()).collect();
        let entries: Vec<abi::UpdateEntry<'_>> = update
            .entries
            .iter()
            .zip(&slots)
            .map(|(entry, slots)| raw_entry(entry, slots, &step, update.gradient_scale))
            .collect();
        let own: Vec<abi::Tensor> = update.slots.iter().map(|slot| slot.raw()).collect();
        let raw = abi::Update {
            iteration: step.iteration,
            step: step.step,
            learning_rate: step.learning_rate,
            seed: step.seed,
            entries: RSlice::from_slice(&entries),
            slots: RSlice::from_slice(&own),
        };
        // SAFETY: the handle belongs to this table; `update` is borrowed mutably, so that nobody else writes its memory.
        back(with_host(host, |host| unsafe { function(self.0.component.handle, host, &raw) }))
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

/// Gradient scale, clipping, decay and EMA have been seen to by whoever calls the outer optimizer.
fn raw_entry<'e>(
    entry: &'e Entry<'_>,
    slots: &'e [abi::Tensor],
    step: &crate::optimizer::Step,
    gradient_scale: f64,
) -> abi::UpdateEntry<'e> {
    let factor = if step.learning_rate == 0.0 { 1.0 } else { entry.learning_rate / step.learning_rate };
    abi::UpdateEntry {
        parameter: raw_parameter(&entry.parameter),
        value: entry.value.raw(),
        gradient: entry.gradient.map(|gradient: Tensor<'_>| gradient.raw()).into(),
        slots: RSlice::from_slice(slots),
        gradient_scale,
        clip_value: f64::INFINITY,
        weight_decay: 0.0,
        learning_rate_factor: factor,
        ema: ROption::RNone,
        ema_momentum: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::c_void,
        sync::atomic::{AtomicUsize, Ordering},
    };

    unsafe extern "C" fn count(owner: *const c_void) {
        // SAFETY: the counter below.
        unsafe { &*owner.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_component_that_doesnt_fit_is_given_back() {
        let given_back = AtomicUsize::new(0);
        let component = abi::Component {
            interface: std::ptr::null(),
            handle: abi::Handle { pointer: std::ptr::null_mut() },
            identifier: "{}".into(),
            owner: (&raw const given_back).cast(),
            release: count,
        };
        assert!(Nested::<abi::LossV1>::new(component).is_err());
        assert_eq!(given_back.load(Ordering::Relaxed), 1);
    }
}
