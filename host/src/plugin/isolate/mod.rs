//! Runs plug-ins in separate processes, so that a crash affects only the plug-in's own components.
//!
//! Each plug-in file has a worker: a process of the same program, started when the first of its components is created.
//! The host calls [tables](proxy) that look like those of any plug-in. Each of their functions [writes its
//! arguments](wire) to memory that both processes share, and waits until the [worker](worker) has made the call and
//! written the answer after them. Arrays are copied in, and arrays that the plug-in writes are copied back. Once the
//! memory is large enough, a batch allocates nothing.
//!
//! A worker can be ended by its plug-in (a segfault, an abort, `exit()`), by the host (a call took too long) or from
//! outside. Then each of its components fails with an error that reports how the worker ended. The next component of
//! the plug-in that is created gets a new worker.
//!
//! Isolation contains crashes; it isn't a sandbox. A worker has the user's rights.

mod dispatch;
mod memory;
mod program;
mod proxy;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod system;
mod wire;
mod worker;
mod worker_output;
mod worker_process;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugfit_abi::abi_stable::std_types::RResult;
use plugfit_abi::{self as abi, Handle, Interface, LossV1};

pub use program::declare_worker_program;
pub use worker::{WorkerHost, serve_if_worker};

use self::wire::Call;
use self::worker_process::{Caller, Worker};
use super::abi_error::other_error;
use super::interface::{Checked, Interfaces, check_manifest};
use super::sync::lock_ignoring_poison;
use super::{Kind, Manifest};

/// The error kind of a call to a process that has ended. It never crosses the ABI: only the host creates it.
pub const CRASHED: u32 = u32::MAX;

/// The error kind of a plug-in that violates the API, if the host notices it.
pub const CONTRACT_VIOLATED: u32 = u32::MAX - 1;

/// How plug-ins are isolated.
#[derive(Clone, Debug, PartialEq)]
pub struct Isolation {
    /// The command that starts workers: a program whose `main` begins with [`worker_main`](crate::worker_main), as that
    /// of `plugfit` does, and the arguments that precede a worker's own. If empty, this program is used.
    pub program: Vec<OsString>,
    /// How long a call may take; a plug-in that takes longer is ended.
    pub call_limit: Duration,
    /// How much memory a worker may use, in bytes; `None` means what is available when it starts.
    pub memory_limit: Option<u64>,
    /// Whether training continues without a metric that crashed.
    pub continue_on_crash: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Isolation {
            program: Vec::new(),
            call_limit: Duration::from_secs(60),
            memory_limit: None,
            continue_on_crash: true,
        }
    }
}

/// The library that a worker loads.
pub struct Source {
    /// The bytes of the library, which were vetted.
    pub bytes: Vec<u8>,
    /// The file that the bytes were read from.
    pub path: PathBuf,
    /// Whether the file itself is loaded, instead of a copy of `bytes`.
    pub in_place: bool,
    /// The function that is a loss; `None` if the library is a plug-in.
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

    /// Creates a component, for the table of its kind.
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

    /// Returns the worker, and starts a new one if none is running.
    fn worker(&self, caller: Caller<'_>) -> RResult<Arc<Worker>, abi::Error> {
        let mut current = lock_ignoring_poison(&self.worker);
        if let Some(worker) = current.as_ref().filter(|worker| !worker.has_ended()) {
            return RResult::ROk(worker.clone());
        }
        let Source { bytes, path, in_place, function } = &self.source;
        // The name as `plugfit check` accepts it.
        let mut name_to_check = path.clone().into_os_string();
        if let Some(function) = function {
            name_to_check.push("#");
            name_to_check.push(function);
        }
        let worker = match Worker::start(&self.isolation, name_to_check.as_ref(), *in_place) {
            Ok(worker) => Arc::new(worker),
            Err(error) => return RResult::RErr(other_error(format!("can't be isolated: {error}"))),
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

macro_rules! proxy {
    ($table:ident) => {{
        static INTERFACE: Interface = Interface::of(&proxy::$table);
        Checked { interface: &INTERFACE, table: &proxy::$table }
    }};
}

/// Returns the interface of isolated losses.
pub fn loss() -> Checked<LossV1> {
    proxy!(LOSS)
}

/// Returns the interfaces of a plug-in whose code runs in a worker. The manifest is trusted.
pub fn interfaces(manifest: &Manifest) -> Interfaces {
    Interfaces {
        loss: check_manifest(loss(), Kind::Loss, manifest),
        float64: manifest.offers(abi::LOSS_V2).then_some(&proxy::LOSS_V2),
        metric: check_manifest(proxy!(METRIC), Kind::Metric, manifest),
        optimizer: check_manifest(proxy!(OPTIMIZER), Kind::Optimizer, manifest),
        schedule: check_manifest(proxy!(SCHEDULE), Kind::Schedule, manifest),
        formula: manifest.offers(abi::FORMULA_V1).then_some(&proxy::FORMULA),
    }
}
