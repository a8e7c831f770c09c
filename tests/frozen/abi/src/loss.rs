use crate::{Error, Handle, Host, Inputs, Tensor};
use abi_stable::{
    std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    StableAbi,
};

/// The id of [`LossV1`].
pub const LOSS_V1: &str = "plugfit.loss/1";

/// Where a loss writes, and by what it multiplies. Every tensor is float32.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct LossOutput<'a> {
    /// Unreduced values, in the shape that `output_shape` gave.
    pub values: ROption<Tensor>,
    /// Of the same shape: 1 where the loss's own mask lets a value count, else 0. Given only to a loss that declares `own_mask`.
    pub valid: ROption<Tensor>,
    /// One for each input, in order: where to write the derivative with respect to it. It is overwritten.
    pub gradients: RSlice<'a, ROption<Tensor>>,
    /// Of the same shape as the values: unnormalised weights. Absent: ones.
    pub upstream: ROption<Tensor>,
    /// Multiplies every gradient besides `upstream`: the divisor of the reduction, a loss scale, a loss weight.
    pub scale: f64,
}

/// Sums over the batch, from which the host makes the reduced loss.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq)]
pub struct LossTotals {
    /// The sum of upstream times value, where valid.
    pub value: f64,
    /// The sum of upstream, where valid.
    pub weight: f64,
    /// The number of values that are valid.
    pub count: f64,
}

/// The functions of the losses of a plug-in.
#[repr(C)]
#[derive(StableAbi)]
pub struct LossV1 {
    /// Makes a loss of this name from a JSON object, written for this config version.
    pub create:
        unsafe extern "C" fn(host: &Host, name: RStr<'_>, config: RStr<'_>, version: u32) -> RResult<Handle, Error>,
    /// Gives a loss back.
    pub release: unsafe extern "C" fn(loss: Handle),
    /// The configuration, every key of it, as a JSON object.
    pub config: unsafe extern "C" fn(loss: Handle) -> RResult<RString, Error>,
    /// What depends on the configuration, as a JSON object (targets, from_logits, …). Unknown keys are ignored.
    pub instance_info: unsafe extern "C" fn(loss: Handle) -> RResult<RString, Error>,
    /// The shape of the unreduced values for inputs of these shapes and dtypes (their data are not looked at).
    pub output_shape: unsafe extern "C" fn(loss: Handle, inputs: &Inputs<'_>) -> RResult<RVec<i64>, Error>,
    /// Values, or gradients, or both fused, by what `output` asks for.
    pub call: unsafe extern "C" fn(
        loss: Handle,
        host: &Host,
        inputs: &Inputs<'_>,
        output: &LossOutput<'_>,
    ) -> RResult<LossTotals, Error>,
}
