//! The door back: what a plug-in may ask of the host that calls it.

use crate::{Error, Handle};
use abi_stable::{
    std_types::{RResult, RStr, RString},
    StableAbi,
};
use std::ffi::c_void;

/// Given to creation and to every call. Valid until the call returns.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Host {
    /// [`crate::ABI_VERSION`] of the host.
    pub abi_version: u32,
    /// The host's own; goes back to it as the first argument of every function of its interfaces.
    pub context: *const c_void,
    /// The host's interface with this id, as a pointer to [`crate::Interface`], or null. A plug-in works without any.
    pub get_interface: unsafe extern "C" fn(context: *const c_void, id: RStr<'_>) -> *const c_void,
}

/// The id of [`ParallelV1`].
pub const PARALLEL_V1: &str = "plugfit.host.parallel/1";
/// The id of [`ComponentV1`].
pub const COMPONENT_V1: &str = "plugfit.host.component/1";
/// The id of [`LogV1`].
pub const LOG_V1: &str = "plugfit.host.log/1";
/// The id of [`CancelV1`].
pub const CANCEL_V1: &str = "plugfit.host.cancel/1";

/// Threads that the host lends.
#[repr(C)]
#[derive(StableAbi)]
pub struct ParallelV1 {
    /// How many threads a call may use now, itself included; at least 1.
    pub threads: unsafe extern "C" fn(context: *const c_void) -> u32,
    /// Runs `task(data, 0)` to `task(data, tasks - 1)` in any order on any of the threads, and returns when all are done. A
    /// task must not unwind.
    pub run: unsafe extern "C" fn(context: *const c_void, tasks: u64, data: *const c_void, task: Task),
}

/// A piece of work.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Task {
    /// Called with the data given to `run` and the number of the piece.
    pub function: unsafe extern "C" fn(data: *const c_void, index: u64),
}

/// A component that the host has resolved for a plug-in: the metric of a loss, the optimizer inside Lookahead.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Component {
    /// The table of its kind, as a pointer to [`crate::Interface`]; lives as long as the process.
    pub interface: *const c_void,
    /// The component.
    pub handle: Handle,
    /// Its identifier in full, `{"class_name": …, "config": …}`, which resolves to it again.
    pub identifier: RString,
    /// Goes to `release`.
    pub owner: *const c_void,
    /// Gives the component back. The plug-in calls it, once.
    pub release: unsafe extern "C" fn(owner: *const c_void),
}

/// Components by identifier, of this plug-in or another.
#[repr(C)]
#[derive(StableAbi)]
pub struct ComponentV1 {
    /// `interface_id` says the kind (`plugfit.optimizer/1`), `identifier` is JSON: a string, or an object with `class_name`.
    pub get: unsafe extern "C" fn(
        context: *const c_void,
        interface_id: RStr<'_>,
        identifier: RStr<'_>,
    ) -> RResult<Component, Error>,
}

/// Lines for the host's log.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogV1 {
    /// `level` is one of the `LOG_…` codes.
    pub log: unsafe extern "C" fn(context: *const c_void, level: u32, message: RStr<'_>),
}

/// Whether to go on.
#[repr(C)]
#[derive(StableAbi)]
pub struct CancelV1 {
    /// Not 0 once the user wants it to stop: a long call should then return `ERROR_CANCELLED`.
    pub is_cancelled: unsafe extern "C" fn(context: *const c_void) -> u8,
}
