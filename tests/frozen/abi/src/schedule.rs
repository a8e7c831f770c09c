use crate::{Error, Handle, Host};
use abi_stable::{
    std_types::{RResult, RStr, RString},
    StableAbi,
};

/// The id of [`ScheduleV1`].
pub const SCHEDULE_V1: &str = "plugfit.schedule/1";

/// When.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct ScheduleCall<'a> {
    /// Steps made before this one.
    pub step: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Steps in an epoch, or [`crate::NONE`] if nobody knows.
    pub steps_per_epoch: i64,
    /// Empty, or a JSON object with whatever else a host knows. Unknown keys are ignored.
    pub extras: RStr<'a>,
}

/// The functions of the learning-rate schedules of a plug-in.
#[repr(C)]
#[derive(StableAbi)]
pub struct ScheduleV1 {
    /// Makes a schedule of this name from a JSON object, written for this config version.
    pub create:
        unsafe extern "C" fn(host: &Host, name: RStr<'_>, config: RStr<'_>, version: u32) -> RResult<Handle, Error>,
    /// Gives a schedule back.
    pub release: unsafe extern "C" fn(schedule: Handle),
    /// The configuration, every key of it, as a JSON object.
    pub config: unsafe extern "C" fn(schedule: Handle) -> RResult<RString, Error>,
    /// What depends on the configuration, as a JSON object. Unknown keys are ignored.
    pub instance_info: unsafe extern "C" fn(schedule: Handle) -> RResult<RString, Error>,
    /// The learning rate.
    pub learning_rate:
        unsafe extern "C" fn(schedule: Handle, host: &Host, call: &ScheduleCall<'_>) -> RResult<f64, Error>,
}
