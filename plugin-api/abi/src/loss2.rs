use crate::{Error, Handle, Host, Inputs, LossOutput, LossTotals};
use abi_stable::{std_types::RResult, StableAbi};

/// The id of [`LossV2`].
pub const LOSS_V2: &str = "plugfit.loss/2";

/// What the losses of a plug-in can do in float64. It stands beside [`LossV1`](crate::LossV1) of the same plug-in, whose handles it
/// takes: losses are made, described and released there.
#[repr(C)]
#[derive(StableAbi)]
pub struct LossV2 {
    /// As `LossV1::call`, in the dtype of `y_pred`, float32 or float64: every tensor of the output has it, and every input that isn't
    /// of integers. A loss whose `instance_info` doesn't say `"float64": true` gives `ERROR_UNSUPPORTED` for float64.
    pub call: unsafe extern "C" fn(
        loss: Handle,
        host: &Host,
        inputs: &Inputs<'_>,
        output: &LossOutput<'_>,
    ) -> RResult<LossTotals, Error>,
}
