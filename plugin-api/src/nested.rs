//! Components that a component obtains from the host.

use crate::{
    config::Identifier,
    error::into_result,
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

/// A component of the host with the function table of its kind. Released on drop.
pub(crate) struct Nested<T: 'static> {
    component: abi::Component,
    table: &'static T,
    kind: PhantomData<T>,
}

// SAFETY: the ABI requires that any thread may use the handle of a component, several at once.
unsafe impl<T> Send for Nested<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Nested<T> {}

impl<T: StableAbi> Nested<T> {
    pub(crate) fn new(component: abi::Component) -> Result<Self> {
        // SAFETY: the pointer is null, or the host guarantees an `Interface` that lives as long as the process.
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
            // SAFETY: the size and the layout of the table match those of `T`.
            Some(interface) => {
                Ok(Nested { component, table: unsafe { &*interface.functions.cast::<T>() }, kind: PhantomData })
            }
            None => {
                // SAFETY: the component is released once, with its own owner.
                unsafe { (component.release)(component.owner) };
                Err(Error::unsupported("the host provides a component whose table has another layout"))
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
        // SAFETY: the component is released once, with its own owner.
        unsafe { (self.component.release)(self.component.owner) };
    }
}

/// Calls `f` with the raw host, or with one that has no interfaces if there is none.
fn with_host<T>(host: &Host<'_>, f: impl FnOnce(&abi::Host) -> T) -> T {
    unsafe extern "C" fn no_interface(_: *const std::ffi::c_void, _: RStr<'_>) -> *const std::ffi::c_void {
        std::ptr::null()
    }
    match host.raw() {
        Some(raw) => f(raw),
        None => f(&abi::Host { abi_version: abi::ABI_VERSION, context: std::ptr::null(), get_interface: no_interface }),
    }
}

impl Host<'_> {
    /// Returns an optimizer of this plug-in or another, such as the one inside Lookahead. Call it in `prepare`.
    ///
    /// # Errors
    /// Returns an error if the host can't create the optimizer, or provides no components.
    pub fn optimizer(&self, identifier: &Identifier) -> Result<NestedOptimizer> {
        self.component(abi::OPTIMIZER_V1, identifier).map(NestedOptimizer)
    }

    /// Returns a loss by its identifier.
    ///
    /// # Errors
    /// As [`optimizer`](Self::optimizer).
    pub fn loss(&self, identifier: &Identifier) -> Result<NestedLoss> {
        self.component(abi::LOSS_V1, identifier).map(NestedLoss)
    }

    /// Returns a learning-rate schedule by its identifier.
    ///
    /// # Errors
    /// As [`optimizer`](Self::optimizer).
    pub fn schedule(&self, identifier: &Identifier) -> Result<NestedSchedule> {
        self.component(abi::SCHEDULE_V1, identifier).map(NestedSchedule)
    }

    fn component<T: StableAbi>(&self, interface: &'static str, identifier: &Identifier) -> Result<Nested<T>> {
        let (table, context) = self
            .interface::<abi::ComponentV1>(abi::COMPONENT_V1)
            .ok_or_else(|| Error::unsupported("this host provides no components"))?;
        let json = identifier.0.to_string();
        // SAFETY: the table and the context belong to the same host.
        let component = unsafe { (table.get)(context, RStr::from_str(interface), RStr::from_str(&json)) };
        Nested::new(into_result(component)?)
    }
}

macro_rules! nested {
    ($(#[$doc:meta])* $name:ident, $table:ident) => {
        $(#[$doc])*
        pub struct $name(pub(crate) Nested<abi::$table>);

        impl $name {
            /// Returns the full identifier: `{"class_name": …, "config": …}`.
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
    /// A loss that the host provides.
    NestedLoss, LossV1
}
nested! {
    /// An optimizer that the host provides.
    NestedOptimizer, OptimizerV1
}
nested! {
    /// A schedule that the host provides.
    NestedSchedule, ScheduleV1
}

impl NestedSchedule {
    /// Returns the learning rate.
    ///
    /// # Errors
    /// Returns an error if the schedule does.
    pub fn learning_rate(&self, when: &When, host: &Host<'_>) -> Result<f64> {
        let call = when.raw();
        // SAFETY: the handle belongs to the table.
        into_result(with_host(host, |host| unsafe {
            (self.0.table.learning_rate)(self.0.component.handle, host, &call)
        }))
    }
}

impl NestedLoss {
    /// Computes the unreduced values of a batch.
    ///
    /// # Errors
    /// Returns an error if the loss does, or if it reports an invalid output shape.
    pub fn values(&self, inputs: &Inputs<'_>, host: &Host<'_>) -> Result<Vec<f32>> {
        let tensors: Vec<abi::NamedTensor<'_>> = inputs
            .tensors()
            .iter()
            .map(|(name, tensor)| abi::NamedTensor { name: RStr::from_str(name), tensor: tensor.raw() })
            .collect();
        let raw = abi::Inputs { tensors: RSlice::from_slice(&tensors), weight: ROption::RNone, mask: ROption::RNone };
        // SAFETY: the handle belongs to the table.
        let shape = into_result(unsafe { (self.0.table.output_shape)(self.0.component.handle, &raw) })?;
        let count =
            crate::tensor::elements(&shape).ok_or_else(|| Error::other("the loss reports an invalid output shape"))?;
        let mut values = vec![0.0f32; count];
        let target = crate::TensorMut::new(&mut values, &shape).raw();
        let output = abi::LossOutput {
            values: ROption::RSome(target),
            valid: ROption::RNone,
            gradients: RSlice::from_slice(&[]),
            upstream: ROption::RNone,
            scale: 1.0,
        };
        // SAFETY: as above; nothing else accesses `values` during the call.
        into_result(with_host(host, |host| unsafe {
            (self.0.table.call)(self.0.component.handle, host, &raw, &output)
        }))?;
        Ok(values)
    }
}

impl NestedOptimizer {
    /// Returns the slots that the optimizer requires for these parameters.
    ///
    /// # Errors
    /// Returns an error if the optimizer does, or if a slot isn't float32 or is filled by the optimizer, which isn't
    /// supported here.
    pub fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        let raw: Vec<abi::Parameter<'_>> = parameters.iter().map(Parameter::raw).collect();
        // SAFETY: the handle belongs to the table.
        let slots = into_result(with_host(host, |host| unsafe {
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

    /// Performs one step on the entries of `update`. Its slots must be those that [`slots`](Self::slots) returned.
    ///
    /// # Errors
    /// Returns an error if the optimizer does.
    pub fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        self.call(self.0.table.update, update, host)
    }

    /// See [`Optimizer::finalize`](crate::optimizer::Optimizer::finalize).
    ///
    /// # Errors
    /// Returns an error if the optimizer does.
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
        let global_slots: Vec<abi::Tensor> = update.slots.iter().map(|slot| slot.raw()).collect();
        let raw = abi::Update {
            iteration: step.iteration,
            step: step.step,
            learning_rate: step.learning_rate,
            seed: step.seed,
            entries: RSlice::from_slice(&entries),
            slots: RSlice::from_slice(&global_slots),
        };
        // SAFETY: the handle belongs to the table; `update` is borrowed mutably, so nothing else accesses its memory.
        into_result(with_host(host, |host| unsafe { function(self.0.component.handle, host, &raw) }))
    }
}

/// Converts an entry. The caller of the outer optimizer has already applied clipping, weight decay and the moving
/// average.
fn raw_entry<'e>(
    entry: &'e Entry<'_>,
    slots: &'e [abi::Tensor],
    step: &crate::optimizer::Step,
    gradient_scale: f64,
) -> abi::UpdateEntry<'e> {
    let factor = if step.learning_rate == 0.0 { 1.0 } else { entry.learning_rate / step.learning_rate };
    abi::UpdateEntry {
        parameter: entry.parameter.raw(),
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
        // SAFETY: `owner` points to the counter of the test.
        unsafe { &*owner.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_component_with_an_invalid_interface_is_released() {
        let releases = AtomicUsize::new(0);
        let component = abi::Component {
            interface: std::ptr::null(),
            handle: abi::Handle { pointer: std::ptr::null_mut() },
            identifier: "{}".into(),
            owner: (&raw const releases).cast(),
            release: count,
        };
        assert!(Nested::<abi::LossV1>::new(component).is_err());
        assert_eq!(releases.load(Ordering::Relaxed), 1);
    }
}
