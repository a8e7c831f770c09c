//! The functions that the host provides to plug-ins: threads, nested components, log lines and cancellation.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, Weak};

use plugfit_abi::abi_stable::std_types::{RResult, RStr};
use plugfit_abi::{self as abi, CancelV1, ComponentV1, Interface, LogV1, ParallelV1, Task};
use rayon::prelude::*;
use serde_json::Value;

use super::abi_error::{catch_panics, host_error};
use super::shown_text::{shown_line, shown_part, utf8};
use super::{Kind, bounds};
use crate::{Result, threads};

/// Provides the components that plug-ins request, in the form that crosses the ABI.
pub trait ComponentProvider: Send + Sync {
    /// Returns the component of this identifier.
    ///
    /// # Errors
    /// Returns an error if there is no such component.
    fn component(&self, kind: Kind, identifier: &Value) -> Result<abi::Component>;
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For debugging the plug-in.
    Debug,
    /// For information.
    Info,
    /// Something that the user should act on or be aware of.
    Warning,
}

type Log = dyn Fn(Level, &str) + Send + Sync;

/// The host as plug-ins see it.
pub struct HostCallbacks {
    provider: Option<Weak<dyn ComponentProvider>>,
    log: Arc<RwLock<Option<Box<Log>>>>,
    cancel: Arc<AtomicBool>,
}

impl HostCallbacks {
    /// Creates callbacks that provide no components.
    pub fn closed() -> Self {
        HostCallbacks { provider: None, log: Arc::default(), cancel: Arc::default() }
    }

    /// Returns callbacks with the components of `provider`, and with the log and the cancel flag of these.
    pub(crate) fn towards(&self, provider: Weak<dyn ComponentProvider>) -> Self {
        HostCallbacks { provider: Some(provider), log: self.log.clone(), cancel: self.cancel.clone() }
    }

    /// Sets the function that receives log lines from now on; without one, lines are dropped.
    pub fn set_log(&self, log: impl Fn(Level, &str) + Send + Sync + 'static) {
        *self.log.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Box::new(log));
    }

    /// Returns the flag that tells long calls to stop.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.cancel.clone()
    }

    /// Returns the ABI's host structure, which is passed to every call. It points to these callbacks.
    pub(super) fn host(self: &Arc<Self>) -> abi::Host {
        abi::Host { abi_version: abi::ABI_VERSION, context: Arc::as_ptr(self).cast(), get_interface }
    }
}

impl std::fmt::Debug for HostCallbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostCallbacks")
    }
}

static PARALLEL: ParallelV1 = ParallelV1 { threads: thread_count, run };
static COMPONENT: ComponentV1 = ComponentV1 { get };
static LOG: LogV1 = LogV1 { log };
static CANCEL: CancelV1 = CancelV1 { is_cancelled };
static INTERFACES: [Interface; 4] =
    [Interface::of(&PARALLEL), Interface::of(&COMPONENT), Interface::of(&LOG), Interface::of(&CANCEL)];

unsafe extern "C" fn get_interface(_: *const c_void, id: RStr<'_>) -> *const c_void {
    let ids = [abi::PARALLEL_V1, abi::COMPONENT_V1, abi::LOG_V1, abi::CANCEL_V1];
    match ids.iter().position(|known| *known == id.as_str()) {
        Some(index) => std::ptr::from_ref(&INTERFACES[index]).cast(),
        None => std::ptr::null(),
    }
}

/// # Safety
/// `context` must come from [`HostCallbacks::host`], and the callbacks must outlive the call.
unsafe fn callbacks<'d>(context: *const c_void) -> &'d HostCallbacks {
    // SAFETY: guaranteed by the caller.
    unsafe { &*context.cast::<HostCallbacks>() }
}

unsafe extern "C" fn thread_count(_: *const c_void) -> u32 {
    threads::count() as u32
}

unsafe extern "C" fn run(_: *const c_void, tasks: u64, data: *const c_void, task: Task) {
    struct Shared(*const c_void);
    // SAFETY: the plug-in shares its data between threads; that is the contract of `run`.
    unsafe impl Sync for Shared {}
    let data = Shared(data);
    let piece = |index: u64| {
        let data = &data;
        // SAFETY: the plug-in guarantees that the function accepts its data and doesn't unwind.
        unsafe { (task.function)(data.0, index) }
    };
    if tasks <= 1 || threads::count() == 1 {
        (0..tasks).for_each(piece);
    } else {
        threads::install(|| (0..tasks).into_par_iter().for_each(piece));
    }
}

unsafe extern "C" fn log(context: *const c_void, level: u32, message: RStr<'_>) {
    // SAFETY: `context` comes from `HostCallbacks::host`.
    let callbacks = unsafe { callbacks(context) };
    let level = match level {
        abi::LOG_WARNING => Level::Warning,
        abi::LOG_INFO => Level::Info,
        _ => Level::Debug,
    };
    // A panic of the program's own logger must not unwind into the plug-in.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(log) = &*callbacks.log.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            log(level, &shown_line(&String::from_utf8_lossy(shown_part(message.as_str().as_bytes()))));
        }
    }));
}

unsafe extern "C" fn is_cancelled(context: *const c_void) -> u8 {
    // SAFETY: `context` comes from `HostCallbacks::host`.
    u8::from(unsafe { callbacks(context) }.cancel.load(Ordering::Relaxed))
}

unsafe extern "C" fn get(
    context: *const c_void,
    interface_id: RStr<'_>,
    identifier: RStr<'_>,
) -> RResult<abi::Component, abi::Error> {
    // SAFETY: `context` comes from `HostCallbacks::host`.
    let callbacks = unsafe { callbacks(context) };
    // The plug-in named the component in its configuration, so a failure is a configuration error.
    let failed = |message: String| abi::Error { kind: abi::ERROR_CONFIG, ..host_error(message) };
    catch_panics(|| component(callbacks, interface_id.as_str(), identifier.as_str()).map_err(failed).into())
}

fn component(callbacks: &HostCallbacks, interface_id: &str, identifier: &str) -> Result<abi::Component, String> {
    bounds::check(interface_id.len(), bounds::MAX_NAME_LENGTH, "bytes")?;
    let interface_id = utf8(interface_id).ok_or("an interface's id isn't UTF-8")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.interface() == interface_id);
    let kind = kind.ok_or_else(|| format!("this host has no {interface_id}"))?;
    bounds::check(identifier.len(), bounds::MAX_JSON_LENGTH, "bytes")?;
    let identifier = utf8(identifier).ok_or("an identifier isn't UTF-8")?;
    let identifier: Value = serde_json::from_str(identifier).map_err(|error| error.to_string())?;
    let provider =
        callbacks.provider.as_ref().and_then(Weak::upgrade).ok_or("there is no host to request components from")?;
    provider.component(kind, &identifier).map_err(|error| error.to_string())
}
