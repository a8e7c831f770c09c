//! An optimizer inside another one, with a learning rate, weight decay and clipping of its own: to the plug-in around it the same
//! table as any other.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec};
use plugfit_abi::{self as abi, Handle, Interface, OptimizerV1};
use plugfit_api::Tensor;
use serde_json::{Map, Value};

use super::Optimizer;
use crate::{Error, Result};

/// An optimizer, and what it was told beyond its own configuration.
pub struct Nested {
    /// The plug-in's.
    pub optimizer: Optimizer,
    /// The learning rate after so many steps; none: that of the optimizer around it.
    pub rate: Option<Box<dyn Fn(u64) -> Result<f64> + Send + Sync>>,
    /// The share of each weight that a step of learning rate 1 takes away.
    pub weight_decay: f64,
    /// How gradients are clipped.
    pub clip: Clip,
    /// The whole configuration.
    pub config: Map<String, Value>,
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Not.
    None,
    /// Each gradient's norm.
    Norm(f64),
    /// The norm of all of them.
    GlobalNorm(f64),
    /// Each element.
    Value(f64),
}

impl Clip {
    /// To what each element is clipped; infinity: not.
    pub fn value(self) -> f64 {
        if let Clip::Value(value) = self { value } else { f64::INFINITY }
    }

    /// Clipping by norm is one more factor of each gradient: multiplies `scales` by it, where the gradients, once scaled, are
    /// too long.
    pub fn by_norm(self, gradients: &[Option<&[f32]>], scales: &mut [f64]) {
        let squares = |gradient: &[f32]| gradient.iter().map(|&slope| f64::from(slope) * f64::from(slope)).sum::<f64>();
        let factor = |norm: f64, most: f64| if norm > most { most / norm } else { 1.0 };
        let pairs = gradients.iter().zip(scales.iter_mut());
        match self {
            Clip::None | Clip::Value(_) => {}
            Clip::Norm(most) => {
                for (gradient, scale) in pairs {
                    if let Some(gradient) = gradient {
                        *scale *= factor(squares(gradient).sqrt() * *scale, most);
                    }
                }
            }
            Clip::GlobalNorm(most) => {
                let all: f64 =
                    pairs.filter_map(|(gradient, scale)| Some(squares((*gradient)?) * *scale * *scale)).sum();
                let factor = factor(all.sqrt(), most);
                scales.iter_mut().for_each(|scale| *scale *= factor);
            }
        }
    }
}

static TABLE: OptimizerV1 = OptimizerV1 { create, release, config, instance_info, slots, fill_slot, update, finalize };
static INTERFACE: Interface = Interface::of(&TABLE);

impl Nested {
    /// As what crosses.
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

    /// The step with the rate, decay and clipping of this optimizer.
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
                // SAFETY: a tensor that the plug-in was lent for this call, and lends on.
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
        let owned = self.optimizer.owned();
        // SAFETY: the handle belongs to this table; what the update points at is lent for this call.
        Ok(unsafe { function(owned.handle, &owned.host, &update) })
    }
}

/// # Safety
/// A handle of [`Nested::into_component`].
unsafe fn nested<'n>(handle: Handle) -> &'n Nested {
    // SAFETY: the caller's promise.
    unsafe { &*handle.pointer.cast::<Nested>() }
}

fn failed(message: impl Into<RString>) -> abi::Error {
    abi::Error { kind: abi::ERROR_HOST, message: message.into(), field: ROption::RNone, place: ROption::RNone }
}

/// Nothing of ours unwinds into a plug-in.
fn wall<T>(f: impl FnOnce() -> RResult<T, abi::Error>) -> RResult<T, abi::Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| RResult::RErr(failed("the host panicked")))
}

unsafe extern "C" fn create(_: &abi::Host, _: RStr<'_>, _: RStr<'_>, _: u32) -> RResult<Handle, abi::Error> {
    RResult::RErr(failed("this table makes nothing; ask the host for a component"))
}

/// The component's owner is given back by itself.
unsafe extern "C" fn release(_: Handle) {}

unsafe extern "C" fn release_owner(owner: *const c_void) {
    // SAFETY: the owner of `into_component`, given back once.
    let nested = unsafe { Box::from_raw(owner.cast_mut().cast::<Nested>()) };
    let _ = catch_unwind(AssertUnwindSafe(move || drop(nested)));
}

unsafe extern "C" fn config(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: a handle of this table; so below.
    wall(|| RResult::ROk(Value::Object(unsafe { nested(handle) }.config.clone()).to_string().into()))
}

unsafe extern "C" fn instance_info(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: as above.
    let owned = unsafe { nested(handle) }.optimizer.owned();
    // SAFETY: the inner handle belongs to the inner table; so below.
    unsafe { (owned.table.instance_info)(owned.handle) }
}

unsafe extern "C" fn slots(
    handle: Handle,
    _: &abi::Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
) -> RResult<RVec<abi::Slot>, abi::Error> {
    // SAFETY: as above.
    let owned = unsafe { nested(handle) }.optimizer.owned();
    // SAFETY: as above.
    unsafe { (owned.table.slots)(owned.handle, &owned.host, parameters) }
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
    // SAFETY: as above.
    let owned = unsafe { nested(handle) }.optimizer.owned();
    // SAFETY: as above.
    unsafe { (owned.table.fill_slot)(owned.handle, &owned.host, parameters, slot, parameter, seed, target) }
}

unsafe extern "C" fn update(handle: Handle, _: &abi::Host, update: &abi::Update<'_>) -> RResult<(), abi::Error> {
    // SAFETY: as above.
    let nested = unsafe { nested(handle) };
    let call = || nested.call(nested.optimizer.owned().table.update, update);
    wall(|| call().unwrap_or_else(|error| RResult::RErr(failed(error.to_string()))))
}

unsafe extern "C" fn finalize(handle: Handle, _: &abi::Host, update: &abi::Update<'_>) -> RResult<(), abi::Error> {
    // SAFETY: as above.
    let nested = unsafe { nested(handle) };
    let call = || nested.call(nested.optimizer.owned().table.finalize, update);
    wall(|| call().unwrap_or_else(|error| RResult::RErr(failed(error.to_string()))))
}
