//! Plug-ins in processes of their own: a crash of one ends its components with an error, and nothing else.
//!
//! For each plug-in's file there is a worker, a process of the same program, started when the first of its components is made. The
//! host's wrappers call [tables](proxy) that look like any plug-in's; each function [lays its arguments down](wire) in memory that
//! both processes share, and waits for the [worker](worker) to do the call and to write the answer behind them. Arrays are copied in, and
//! those that the plug-in writes are copied back; nothing is allocated for a batch once the memory is large enough.
//!
//! A worker can be ended by its plug-in (a segfault, an abort, `exit()`), by the host (a call took too long) or by anything else. From
//! then on each of its components fails and says how it ended. The next component that is made of the plug-in gets a new worker.
//!
//! It holds crashes; it is no sandbox. A worker has the user's rights.

mod memory;
mod printed;
mod process;
mod proxy;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod system;
mod wire;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugfit_abi::abi_stable::std_types::RResult;
use plugfit_abi::{self as abi, Handle, Interface, LossV1, LossV2, MetricV1, OptimizerV1, ScheduleV1};

pub use worker::{worker_main, worker_main_of};

use self::process::{Caller, Worker, other};
use self::wire::{Call, locked};
use super::Kind;

/// The kind of error of a call to a process that has ended. It doesn't cross: it is made on this side.
pub const CRASHED: u32 = u32::MAX;

/// The kind of error of a plug-in that broke its word, where this side noticed it.
pub const MISTAKEN: u32 = u32::MAX - 1;

/// The first argument of a worker.
const WORKER_ARGUMENT: &str = "plugfit-worker";
/// Set for a worker, which isn't to start itself again.
const WORKER_VARIABLE: &str = "PLUGFIT_WORKER";

/// How plug-ins are isolated.
#[derive(Clone, Debug, PartialEq)]
pub struct Isolation {
    /// The command that workers are started by: a program whose `main` begins with [`worker_main`], as `plugfit` does, and the arguments
    /// before a worker's own; empty: this program.
    pub program: Vec<OsString>,
    /// How long a call may take; a plug-in that takes longer is ended.
    pub call_limit: Duration,
    /// How much memory a worker may use, in bytes; none: what is available when it is started.
    pub memory_limit: Option<u64>,
    /// Whether training goes on without a metric that crashed.
    pub goes_on: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Isolation { program: Vec::new(), call_limit: Duration::from_secs(60), memory_limit: None, goes_on: true }
    }
}

/// What a worker loads.
pub struct Source {
    /// The library, vetted.
    pub bytes: Vec<u8>,
    /// Where it is from.
    pub path: PathBuf,
    /// Whether it is loaded from there.
    pub in_place: bool,
    /// The function of it that is a loss; none: it is a plug-in.
    pub function: Option<String>,
}

/// A plug-in whose code runs in a worker.
pub struct Isolated {
    isolation: Isolation,
    source: Source,
    worker: Mutex<Option<Arc<Worker>>>,
}

impl Isolated {
    pub fn new(isolation: Isolation, source: Source) -> Self {
        Isolated { isolation, source, worker: Mutex::new(None) }
    }

    /// Makes a component, for the table of its kind.
    pub fn create(
        &self,
        kind: Kind,
        host: &abi::Host,
        name: &str,
        config: &str,
        version: u32,
    ) -> RResult<Handle, abi::Error> {
        let worker = match self.worker(Caller { kind, component: name, host: Some(host) }) {
            RResult::ROk(worker) => worker,
            RResult::RErr(error) => return RResult::RErr(error),
        };
        proxy::component(worker, kind, host, name, config, version)
    }

    /// The worker; a new one if there is none that runs.
    fn worker(&self, caller: Caller<'_>) -> RResult<Arc<Worker>, abi::Error> {
        let mut current = locked(&self.worker);
        if let Some(worker) = current.as_ref().filter(|worker| !worker.has_ended()) {
            return RResult::ROk(worker.clone());
        }
        let Source { bytes, path, in_place, function } = &self.source;
        // As `plugfit check` takes it.
        let mut named = path.clone().into_os_string();
        if let Some(function) = function {
            named.push("#");
            named.push(function);
        }
        let worker = match Worker::start(&self.isolation, named.as_ref(), *in_place) {
            Ok(worker) => Arc::new(worker),
            Err(error) => return RResult::RErr(other(format!("can't be isolated: {error}"))),
        };
        let loaded = worker.call(
            caller,
            Call::Load,
            |w| {
                w.bytes(path.as_os_str().as_encoded_bytes());
                w.number(u64::from(*in_place));
                w.list(function.as_slice(), |w, function| w.text(function));
                w.bytes(bytes);
            },
            |_| (),
        );
        loaded.map(|()| current.insert(worker).clone())
    }
}

macro_rules! tables {
    ($($name:ident: $type:ident = $table:ident,)*) => {$(
        /// The table of isolated components of this kind.
        pub fn $name() -> (&'static $type, &'static Interface) {
            static INTERFACE: Interface = Interface::of(&proxy::$table);
            (&proxy::$table, &INTERFACE)
        }
    )*};
}

/// What isolated losses do in float64.
pub fn loss_v2() -> &'static LossV2 {
    &proxy::LOSS_V2
}

tables! {
    loss: LossV1 = LOSS,
    metric: MetricV1 = METRIC,
    optimizer: OptimizerV1 = OPTIMIZER,
    schedule: ScheduleV1 = SCHEDULE,
}
