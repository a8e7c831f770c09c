//! What plug-ins may ask of the host: threads, nested components, lines in the log, whether to go on.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, Weak};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr};
use plugfit_abi::{self as abi, CancelV1, ComponentV1, Interface, LogV1, ParallelV1, Task};
use rayon::prelude::*;
use serde_json::Value;

use super::component::{shown_line, shown_part, utf8};
use super::{Kind, Loss, Metric, Nested, Optimizer, Schedule, bounds};
use crate::Result;

/// Finds components for plug-ins.
pub trait Resolve: Send + Sync {
    /// The component that an identifier stands for.
    ///
    /// # Errors
    /// There is none.
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved>;

    /// The optimizer that an identifier stands for, to be used by another one.
    ///
    /// # Errors
    /// There is none, or it was told what only the optimizer around it can do.
    fn nested(&self, identifier: &Value) -> Result<Nested>;
}

/// A component of any kind.
pub enum Resolved {
    /// A loss.
    Loss(Loss),
    /// A metric.
    Metric(Metric),
    /// An optimizer.
    Optimizer(Optimizer),
    /// A schedule.
    Schedule(Schedule),
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For those who debug the plug-in.
    Debug,
    /// For those who are curious.
    Info,
    /// Something that the user should know of.
    Warning,
}

type Log = dyn Fn(Level, &str) + Send + Sync;

/// The host as its plug-ins see it.
pub struct Door {
    resolve: Option<Weak<dyn Resolve>>,
    log: Arc<RwLock<Option<Box<Log>>>>,
    cancel: Arc<AtomicBool>,
}

impl Door {
    /// A door behind which nobody resolves.
    pub fn closed() -> Self {
        Door { resolve: None, log: Arc::default(), cancel: Arc::default() }
    }

    /// A door to who resolves, with the log and the flag of this one.
    pub fn towards(&self, resolve: Weak<dyn Resolve>) -> Self {
        Door { resolve: Some(resolve), log: self.log.clone(), cancel: self.cancel.clone() }
    }

    /// Takes the lines of the log from now on; without, they are dropped.
    pub fn set_log(&self, log: impl Fn(Level, &str) + Send + Sync + 'static) {
        *self.log.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Box::new(log));
    }

    /// What says that long calls shall stop.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.cancel.clone()
    }

    /// What is passed to every call. It points here.
    pub(super) fn host(self: &Arc<Self>) -> abi::Host {
        abi::Host { abi_version: abi::ABI_VERSION, context: Arc::as_ptr(self).cast(), get_interface }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

static PARALLEL: ParallelV1 = ParallelV1 { threads, run };
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
/// `context` must be that of [`Door::host`], whose door lives as long as the component that it was given to.
unsafe fn door<'d>(context: *const c_void) -> &'d Door {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Door>() }
}

unsafe extern "C" fn threads(_: *const c_void) -> u32 {
    rayon::current_num_threads() as u32
}

unsafe extern "C" fn run(_: *const c_void, tasks: u64, data: *const c_void, task: Task) {
    struct Shared(*const c_void);
    // SAFETY: the plug-in lends its data to several threads; that is what `run` is for.
    unsafe impl Sync for Shared {}
    let data = Shared(data);
    let piece = |index: u64| {
        let data = &data;
        // SAFETY: the plug-in's promise of this function; it doesn't unwind.
        unsafe { (task.function)(data.0, index) }
    };
    if tasks <= 1 || rayon::current_num_threads() == 1 {
        (0..tasks).for_each(piece);
    } else {
        (0..tasks).into_par_iter().for_each(piece);
    }
}

unsafe extern "C" fn log(context: *const c_void, level: u32, message: RStr<'_>) {
    // SAFETY: the context that the host gave.
    let door = unsafe { door(context) };
    let level = match level {
        abi::LOG_WARNING => Level::Warning,
        abi::LOG_INFO => Level::Info,
        _ => Level::Debug,
    };
    // A panic of the program's own logger must not unwind into the plug-in.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(log) = &*door.log.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            log(level, &shown_line(&String::from_utf8_lossy(shown_part(message.as_str().as_bytes()))));
        }
    }));
}

unsafe extern "C" fn is_cancelled(context: *const c_void) -> u8 {
    // SAFETY: the context that the host gave.
    u8::from(unsafe { door(context) }.cancel.load(Ordering::Relaxed))
}

unsafe extern "C" fn get(
    context: *const c_void,
    interface_id: RStr<'_>,
    identifier: RStr<'_>,
) -> RResult<abi::Component, abi::Error> {
    // SAFETY: the context that the host gave.
    let door = unsafe { door(context) };
    let result = catch_unwind(AssertUnwindSafe(|| component(door, interface_id.as_str(), identifier.as_str())));
    match result {
        Ok(Ok(component)) => RResult::ROk(component),
        // Who asked for the component named it: what can't be made is a mistake of the configuration.
        Ok(Err(message)) => RResult::RErr(abi::Error { kind: abi::ERROR_CONFIG, ..failed(&message) }),
        Err(_) => RResult::RErr(failed("the host panicked")),
    }
}

fn failed(message: &str) -> abi::Error {
    abi::Error { kind: abi::ERROR_HOST, message: message.into(), field: ROption::RNone, place: ROption::RNone }
}

fn component(door: &Door, interface_id: &str, identifier: &str) -> Result<abi::Component, String> {
    bounds::check(interface_id.len(), bounds::NAME, "bytes")?;
    let interface_id = utf8(interface_id).ok_or("an interface's id isn't UTF-8")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.interface() == interface_id);
    let kind = kind.ok_or_else(|| format!("this host has no {interface_id}"))?;
    bounds::check(identifier.len(), bounds::JSON, "bytes")?;
    let identifier = utf8(identifier).ok_or("an identifier isn't UTF-8")?;
    let identifier: Value = serde_json::from_str(identifier).map_err(|error| error.to_string())?;
    let resolve = door.resolve.as_ref().and_then(Weak::upgrade).ok_or("there is no host to ask for components")?;
    if kind == Kind::Optimizer {
        return Ok(resolve.nested(&identifier).map_err(|error| error.to_string())?.into_component());
    }
    let resolved = resolve.resolve(kind, &identifier).map_err(|error| error.to_string())?;
    let (name, config, interface, handle) = match &resolved {
        Resolved::Loss(loss) => (loss.full_name(), loss.config(), loss.interface(), loss.handle()),
        Resolved::Metric(metric) => (metric.full_name(), metric.config(), metric.interface(), metric.handle()),
        Resolved::Optimizer(_) => return Err("an optimizer isn't expected here".into()),
        Resolved::Schedule(schedule) => {
            (schedule.full_name(), schedule.config(), schedule.interface(), schedule.handle())
        }
    };
    let config = config.map_err(|error| error.to_string())?;
    let identifier = serde_json::json!({"class_name": name, "config": config}).to_string();
    Ok(abi::Component {
        interface: std::ptr::from_ref(interface).cast(),
        handle,
        identifier: identifier.into(),
        owner: Box::into_raw(Box::new(resolved)).cast::<c_void>(),
        release,
    })
}

unsafe extern "C" fn release(owner: *const c_void) {
    // SAFETY: the owner of `component`, given back once. The component's own release doesn't unwind.
    drop(unsafe { Box::from_raw(owner.cast_mut().cast::<Resolved>()) });
}
