use crate::{Error, Handle, Host, Inputs};
use abi_stable::{
    std_types::{RResult, RSlice, RStr, RString, RVec},
    StableAbi,
};

/// The id of [`MetricV1`].
pub const METRIC_V1: &str = "plugfit.metric/1";

/// What a state has come to.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct MetricResult {
    /// One of the `RESULT_…` codes.
    pub kind: u32,
    /// One number for a scalar; as many as the shape's product; as many as names.
    pub values: RVec<f64>,
    /// For an array.
    pub shape: RVec<i64>,
    /// For named values.
    pub names: RVec<RString>,
}

/// A state as bytes, exact to the bit.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct SavedState {
    /// The author's version of what the bytes mean.
    pub version: u32,
    /// The bytes.
    pub bytes: RVec<u8>,
}

/// The functions of the metrics of a plug-in. A component is shared and never changes; a state is one thread's at a time.
#[repr(C)]
#[derive(StableAbi)]
pub struct MetricV1 {
    /// Makes a metric of this name from a JSON object, written for this config version.
    pub create:
        unsafe extern "C" fn(host: &Host, name: RStr<'_>, config: RStr<'_>, version: u32) -> RResult<Handle, Error>,
    /// Gives a metric back.
    pub release: unsafe extern "C" fn(metric: Handle),
    /// The configuration, every key of it, as a JSON object.
    pub config: unsafe extern "C" fn(metric: Handle) -> RResult<RString, Error>,
    /// What depends on the configuration, as a JSON object (direction, inputs, …). Unknown keys are ignored.
    pub instance_info: unsafe extern "C" fn(metric: Handle) -> RResult<RString, Error>,
    /// A state that has seen nothing.
    pub new_state: unsafe extern "C" fn(metric: Handle, host: &Host) -> RResult<Handle, Error>,
    /// Gives a state back.
    pub release_state: unsafe extern "C" fn(state: Handle),
    /// Makes a state as if new.
    pub reset: unsafe extern "C" fn(metric: Handle, host: &Host, state: Handle) -> RResult<(), Error>,
    /// A second state of the same content.
    pub clone_state: unsafe extern "C" fn(metric: Handle, state: Handle) -> RResult<Handle, Error>,
    /// Takes in a batch.
    pub update:
        unsafe extern "C" fn(metric: Handle, host: &Host, state: Handle, inputs: &Inputs<'_>) -> RResult<(), Error>,
    /// Takes in what another state of the same metric has seen; the other stays as it is.
    pub merge: unsafe extern "C" fn(metric: Handle, host: &Host, state: Handle, other: Handle) -> RResult<(), Error>,
    /// What the state has come to; the state stays as it is.
    pub result: unsafe extern "C" fn(metric: Handle, host: &Host, state: Handle) -> RResult<MetricResult, Error>,
    /// The state as bytes.
    pub save: unsafe extern "C" fn(metric: Handle, state: Handle) -> RResult<SavedState, Error>,
    /// A state from bytes of that version.
    pub load: unsafe extern "C" fn(
        metric: Handle,
        host: &Host,
        version: u32,
        bytes: RSlice<'_, u8>,
    ) -> RResult<Handle, Error>,
}
