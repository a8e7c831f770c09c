//! An optimizer inside another one, with its own learning rate, weight decay and clipping. The plug-in of the outer
//! optimizer calls it through the same table as any other.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec};
use plugfit_abi::{self as abi, Handle, Interface, OptimizerV1};
use plugfit_api::Tensor;
use serde_json::{Map, Value};

use super::abi_error::{catch_panics, host_error};
use super::{Clip, Optimizer};
use crate::{Error, Result};

/// An optimizer with the settings that the host applies in addition to its own configuration.
pub struct Nested {
    /// The plug-in's optimizer.
    pub optimizer: Optimizer,
    /// The learning rate after this many steps; `None` uses that of the outer optimizer.
    pub rate: Option<Box<dyn Fn(u64) -> Result<f64> + Send + Sync>>,
    /// The fraction of each weight that a step of learning rate 1 subtracts.
    pub weight_decay: f64,
    /// How gradients are clipped.
    pub clip: Clip,
    /// The complete configuration.
    pub config: Map<String, Value>,
}

static TABLE: OptimizerV1 = OptimizerV1 { create, release, config, instance_info, slots, fill_slot, update, finalize };
static INTERFACE: Interface = Interface::of(&TABLE);

impl Nested {
    /// Converts this to the ABI's form.
    pub(super) fn into_component(self) -> abi::Component {
        let identifier =
            serde_json::json!({"class_name": self.optimizer.full_name(), "config": self.config}).to_string();
        let owner = Box::into_raw(Box::new(self)).cast::<c_void>();
        abi::Component {
            interface: std::ptr::from_ref(&INTERFACE).cast(),
            handle: Handle { pointer: owner },
            identifier: identifier.into(),
            owner,
            release: release_owner,
        }
    }

    /// Calls `function` with the learning rate, weight decay and clipping of this optimizer.
    fn call(
        &self,
        function: unsafe extern "C" fn(Handle, &abi::Host, &abi::Update<'_>) -> RResult<(), abi::Error>,
        update: &abi::Update<'_>,
    ) -> Result<RResult<(), abi::Error>> {
        let rate = self.rate.as_ref().map_or(Ok(update.learning_rate), |rate| rate(update.step))?;
        let mut entries: Vec<abi::UpdateEntry<'_>> = update.entries.to_vec();
        let mut gradients = Vec::with_capacity(entries.len());
        for entry in &entries {
            gradients.push(match entry.gradient {
                ROption::RNone => None,
                // SAFETY: the outer plug-in borrowed the tensor for this call, and passes it on.
                ROption::RSome(raw) => {
                    let tensor = unsafe { Tensor::from_raw(raw) };
                    Some(
                        tensor
                            .and_then(|tensor| tensor.f32s("a gradient"))
                            .map_err(|error| Error::plugin(error.message()))?,
                    )
                }
            });
        }
        let mut scales: Vec<f64> = entries.iter().map(|entry| entry.gradient_scale).collect();
        self.clip.by_norm(&gradients, &mut scales);
        for (entry, scale) in entries.iter_mut().zip(scales) {
            entry.gradient_scale = scale;
            entry.clip_value = entry.clip_value.min(self.clip.value());
            let decays = entry.gradient.is_some() && entry.parameter.flags & abi::PARAMETER_WITHOUT_DECAY == 0;
            entry.weight_decay += if decays { self.weight_decay } else { 0.0 };
        }
        let update = abi::Update { learning_rate: rate, entries: RSlice::from_slice(&entries), ..*update };
        let component = self.optimizer.component();
        // SAFETY: the handle belongs to this table; the update's pointers are borrowed for this call.
        Ok(unsafe { function(component.handle, &component.host, &update) })
    }
}

/// # Safety
/// `handle` must come from [`Nested::into_component`], and must not have been released.
unsafe fn nested<'n>(handle: Handle) -> &'n Nested {
    // SAFETY: guaranteed by the caller.
    unsafe { &*handle.pointer.cast::<Nested>() }
}

unsafe extern "C" fn create(_: &abi::Host, _: RStr<'_>, _: RStr<'_>, _: u32) -> RResult<Handle, abi::Error> {
    RResult::RErr(host_error("this table makes nothing; ask the host for a component"))
}

/// Does nothing: the component's owner is released separately.
unsafe extern "C" fn release(_: Handle) {}

unsafe extern "C" fn release_owner(owner: *const c_void) {
    // SAFETY: `owner` comes from `into_component`, and is released once.
    let nested = unsafe { Box::from_raw(owner.cast_mut().cast::<Nested>()) };
    let _ = catch_unwind(AssertUnwindSafe(move || drop(nested)));
}

unsafe extern "C" fn config(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: the handle belongs to this table.
    catch_panics(|| RResult::ROk(Value::Object(unsafe { nested(handle) }.config.clone()).to_string().into()))
}

unsafe extern "C" fn instance_info(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: the handle belongs to this table.
    let component = unsafe { nested(handle) }.optimizer.component();
    // SAFETY: the inner handle belongs to the inner table.
    unsafe { (component.table.instance_info)(component.handle) }
}

unsafe extern "C" fn slots(
    handle: Handle,
    _: &abi::Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
) -> RResult<RVec<abi::Slot>, abi::Error> {
    // SAFETY: the handle belongs to this table.
    let component = unsafe { nested(handle) }.optimizer.component();
    // SAFETY: the inner handle belongs to the inner table.
    unsafe { (component.table.slots)(component.handle, &component.host, parameters) }
}

unsafe extern "C" fn fill_slot(
    handle: Handle,
    _: &abi::Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
    slot: u64,
    parameter: &ROption<abi::Tensor>,
    seed: u64,
    target: &abi::Tensor,
) -> RResult<(), abi::Error> {
    // SAFETY: the handle belongs to this table.
    let component = unsafe { nested(handle) }.optimizer.component();
    // SAFETY: the inner handle belongs to the inner table.
    unsafe { (component.table.fill_slot)(component.handle, &component.host, parameters, slot, parameter, seed, target) }
}

unsafe extern "C" fn update(handle: Handle, _: &abi::Host, update: &abi::Update<'_>) -> RResult<(), abi::Error> {
    // SAFETY: the handle belongs to this table.
    let nested = unsafe { nested(handle) };
    let call = || nested.call(nested.optimizer.component().table.update, update);
    catch_panics(|| call().unwrap_or_else(|error| RResult::RErr(host_error(error.to_string()))))
}

unsafe extern "C" fn finalize(handle: Handle, _: &abi::Host, update: &abi::Update<'_>) -> RResult<(), abi::Error> {
    // SAFETY: the handle belongs to this table.
    let nested = unsafe { nested(handle) };
    let call = || nested.call(nested.optimizer.component().table.finalize, update);
    catch_panics(|| call().unwrap_or_else(|error| RResult::RErr(host_error(error.to_string()))))
}
