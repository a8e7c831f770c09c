use crate::{DType, Error, Handle, Host, Tensor};
use abi_stable::{
    std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    StableAbi,
};

/// The id of [`OptimizerV1`].
pub const OPTIMIZER_V1: &str = "plugfit.optimizer/1";

/// What is trained, without its values.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// Such as `kernel`.
    pub name: RStr<'a>,
    /// Such as `dense_1/kernel`; no two are the same.
    pub path: RStr<'a>,
    /// Its shape.
    pub shape: RSlice<'a, i64>,
    /// Its dtype.
    pub dtype: DType,
    /// The `PARAMETER_…` bits. Unknown bits are ignored.
    pub flags: u64,
}

/// A tensor that the optimizer wants to have kept.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Slot {
    /// The index of its parameter, or [`crate::NONE`] for one of the optimizer as a whole.
    pub parameter: i64,
    /// Such as `momentum`; no two of one parameter are the same.
    pub name: RString,
    /// Its shape.
    pub shape: RVec<i64>,
    /// Its dtype: float32 or float64.
    pub dtype: DType,
    /// One of the `SLOT_…` codes.
    pub start: u32,
    /// For `SLOT_CONSTANT`.
    pub value: f64,
}

/// One parameter in an update.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct UpdateEntry<'a> {
    /// Which.
    pub parameter: Parameter<'a>,
    /// Its values, which the update changes.
    pub value: Tensor,
    /// The gradient; absent: the parameter stays as it is.
    pub gradient: ROption<Tensor>,
    /// Its slots, in the order that `slots` gave.
    pub slots: RSlice<'a, Tensor>,
    /// Multiplies the gradient first (clipping by norm, loss scale).
    pub gradient_scale: f64,
    /// Then each element is clipped to ±this; infinity: not.
    pub clip_value: f64,
    /// Then `value -= value * weight_decay * learning rate`, before the step.
    pub weight_decay: f64,
    /// Multiplies the learning rate.
    pub learning_rate_factor: f64,
    /// After the step: `ema = ema_momentum * ema + (1 - ema_momentum) * value`.
    pub ema: ROption<Tensor>,
    /// See `ema`.
    pub ema_momentum: f64,
}

/// One step of all parameters.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Updates made before this one.
    pub iteration: u64,
    /// Steps made before this one; more than `iteration` where gradients are accumulated.
    pub step: u64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// For those that need randomness: differs from step to step, the same when a run is repeated.
    pub seed: u64,
    /// The parameters, those without a gradient too, in the order that `slots` saw.
    pub entries: RSlice<'a, UpdateEntry<'a>>,
    /// The slots of the optimizer as a whole.
    pub slots: RSlice<'a, Tensor>,
}

/// The functions of the optimizers of a plug-in.
#[repr(C)]
#[derive(StableAbi)]
pub struct OptimizerV1 {
    /// Makes an optimizer of this name from a JSON object, written for this config version.
    pub create:
        unsafe extern "C" fn(host: &Host, name: RStr<'_>, config: RStr<'_>, version: u32) -> RResult<Handle, Error>,
    /// Gives an optimizer back.
    pub release: unsafe extern "C" fn(optimizer: Handle),
    /// The configuration, every key of it, as a JSON object.
    pub config: unsafe extern "C" fn(optimizer: Handle) -> RResult<RString, Error>,
    /// What depends on the configuration, as a JSON object. Unknown keys are ignored.
    pub instance_info: unsafe extern "C" fn(optimizer: Handle) -> RResult<RString, Error>,
    /// The slots for these parameters.
    pub slots: unsafe extern "C" fn(
        optimizer: Handle,
        host: &Host,
        parameters: RSlice<'_, Parameter<'_>>,
    ) -> RResult<RVec<Slot>, Error>,
    /// Fills slot number `slot` of what `slots` gave, whose start is `SLOT_FILLED`; `parameter` is absent for one of the
    /// optimizer as a whole.
    pub fill_slot: unsafe extern "C" fn(
        optimizer: Handle,
        host: &Host,
        parameters: RSlice<'_, Parameter<'_>>,
        slot: u64,
        parameter: &ROption<Tensor>,
        seed: u64,
        target: &Tensor,
    ) -> RResult<(), Error>,
    /// One step.
    pub update: unsafe extern "C" fn(optimizer: Handle, host: &Host, update: &Update<'_>) -> RResult<(), Error>,
    /// Once, when training is over: moves the parameters to where they shall be evaluated (schedule-free). Gradients are absent.
    pub finalize: unsafe extern "C" fn(optimizer: Handle, host: &Host, update: &Update<'_>) -> RResult<(), Error>,
}
