//! The worker process: loads one plug-in, and makes the calls that the host writes to the shared memory.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use plugfit_abi::{self as abi, Handle, LossV1};

use super::dispatch::{Answer, Lines, Question, formula, loss, metric, optimizer, schedule};
use super::memory::{BODY, HOST, Memory, WORKER, header};
use super::program::WORKER_ARGUMENT;
use super::system::{self, Mapping};
use super::wire::{Call, Reader, Writer};
use crate::plugin::abi_error::other_error;
use crate::plugin::host_callbacks::ComponentProvider;
use crate::plugin::interface::Interfaces;
use crate::plugin::sync::lock_ignoring_poison;
use crate::plugin::{HostCallbacks, Kind, Level, Plugin, Refusal, Resolve, bounds, symbol};

/// The host of a worker: it resolves the components that the plug-in nests.
pub trait WorkerHost: Resolve + ComponentProvider {
    /// Returns the callbacks of this host, without a resolver.
    fn callbacks(&self) -> &Arc<HostCallbacks>;

    /// Adds the plug-in of the worker.
    fn add(&self, plugin: Arc<Plugin>);
}

/// Acts as a worker, and never returns, if `arguments` are those of a worker; otherwise does nothing. `host` creates the
/// worker's host.
pub fn serve_if_worker(
    arguments: impl IntoIterator<Item = OsString>,
    host: impl FnOnce() -> Arc<dyn WorkerHost> + Send,
) {
    let mut arguments = arguments.into_iter().map(|text| text.to_string_lossy().into_owned());
    if arguments.next().as_deref() != Some(WORKER_ARGUMENT) {
        return;
    }
    if let Err(error) = work(&arguments.collect::<Vec<_>>(), host) {
        eprintln!("{error}");
    }
    std::process::exit(2);
}

fn work(arguments: &[String], host: impl FnOnce() -> Arc<dyn WorkerHost> + Send) -> std::io::Result<()> {
    let numbers: Vec<u64> = arguments.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (Some(version), [parent, memory, threads]) = (arguments.first(), &numbers[..]) else {
        return Err(std::io::Error::other("the arguments of a worker are missing or invalid"));
    };
    if version != env!("CARGO_PKG_VERSION") {
        let own_version = env!("CARGO_PKG_VERSION");
        return Err(std::io::Error::other(format!("plugfit {version} started a worker of plugfit {own_version}")));
    }
    let mapping = Arc::new(Mapping::from_stdin()?);
    let limit = system::become_worker(u32::try_from(*parent).unwrap_or_default(), *memory)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::try_from(*threads).unwrap_or(1));
    pool.build_global().map_err(std::io::Error::other)?;
    // Calls run inside the pool, as in the host.
    rayon::scope(|_| Server::new(host(), mapping, limit).serve())
}

struct Server {
    mapping: Arc<Mapping>,
    /// The limit on the address space in bytes, including the used part of the shared memory.
    limit: u64,
    host: Arc<dyn WorkerHost>,
    callbacks: Arc<HostCallbacks>,
    lines: Lines,
    loaded: Loaded,
}

/// What the worker has loaded.
enum Loaded {
    Nothing,
    Plugin(Arc<Plugin>),
    /// A C function: the table and the handle of its loss.
    Function(&'static LossV1, Handle),
}

impl Server {
    fn new(host: Arc<dyn WorkerHost>, mapping: Arc<Mapping>, limit: u64) -> Self {
        let provider: Weak<dyn ComponentProvider> = Arc::downgrade(&host) as _;
        let callbacks = Arc::new(host.callbacks().towards(provider));
        let lines = Lines::default();
        let shared = lines.clone();
        callbacks.set_log(move |level, line| {
            let level = match level {
                Level::Debug => abi::LOG_DEBUG,
                Level::Info => abi::LOG_INFO,
                Level::Warning => abi::LOG_WARNING,
            };
            let mut lines = lock_ignoring_poison(&shared);
            if lines.len() < bounds::MAX_LOG_LINES {
                lines.push((level, line.to_owned()));
            }
        });
        Server { mapping, limit, host, callbacks, lines, loaded: Loaded::Nothing }
    }

    /// Answers calls until the process is ended.
    fn serve(mut self) -> std::io::Result<()> {
        let (mapping, cancel) = (self.mapping.clone(), self.callbacks.cancel_flag());
        std::thread::Builder::new().name("plugfit-cancel".into()).spawn(move || {
            let word = &header(&mapping).cancelled;
            loop {
                let value = word.load(Ordering::Relaxed);
                cancel.store(value != 0, Ordering::Relaxed);
                system::wait(word, value, None);
            }
        })?;
        let mut questions = Memory::of_worker(self.mapping.clone(), self.limit);
        let mut answers = Memory::of_worker(self.mapping.clone(), self.limit);
        let mut returns = Vec::new();
        loop {
            let head = header(&self.mapping);
            head.spin_while_turn(HOST);
            while head.turn.load(Ordering::Acquire) != WORKER {
                system::wait(&head.turn, HOST, None);
            }
            head.is_here(WORKER);
            let cancelled = head.cancelled.load(Ordering::Relaxed) != 0;
            self.callbacks.cancel_flag().store(cancelled, Ordering::Relaxed);
            let end = usize::try_from(head.end.load(Ordering::Relaxed)).unwrap_or(BODY);
            let mut reader = Reader::new(&mut questions, BODY);
            let mut writer = Writer::new(&mut answers, &mut returns, end);
            self.answer(&mut reader, &mut writer)?;
            writer.finish()?;
            let head = header(&self.mapping);
            head.turn.store(HOST, Ordering::Release);
            system::wake(&head.turn);
        }
    }

    /// Makes a call and writes its result.
    fn answer(&mut self, r: &mut Reader<'_>, w: &mut Writer<'_>) -> std::io::Result<()> {
        let (Some(call), Some(kind)) = (r.call(), r.kind()) else {
            return Err(std::io::Error::other("the host requested an unknown call"));
        };
        let question = Question { call, host: &self.callbacks.host(), r };
        let answer = Answer { w, lines: &self.lines };
        // SAFETY: the handles come from these tables, and the host releases each once; other arguments are in the
        // shared memory until the call is answered.
        unsafe {
            match (call, &self.loaded) {
                (Call::Load, _) => {
                    let loaded = load(&*self.host, question.r);
                    answer.write(loaded.map(|loaded| self.loaded = loaded).into(), |_, ()| ());
                }
                (Call::Formula, Loaded::Plugin(plugin)) => {
                    formula(plugin.interfaces().formula, kind, question.r, answer);
                }
                (_, Loaded::Plugin(plugin)) => match (kind, plugin.interfaces()) {
                    (Kind::Loss, Interfaces { loss: Ok(checked), float64, .. }) => {
                        loss(checked.table, *float64, None, question, answer);
                    }
                    (Kind::Metric, Interfaces { metric: Ok(checked), .. }) => metric(checked.table, question, answer),
                    (Kind::Optimizer, Interfaces { optimizer: Ok(checked), .. }) => {
                        optimizer(checked.table, question, answer);
                    }
                    (Kind::Schedule, Interfaces { schedule: Ok(checked), .. }) => {
                        schedule(checked.table, question, answer);
                    }
                    _ => answer.fail(plugin.unusable_reason(kind).unwrap_or_default()),
                },
                (_, Loaded::Function(table, handle)) if kind == Kind::Loss => {
                    loss(table, None, Some(*handle), question, answer);
                }
                _ => answer.fail("it has no such component"),
            }
        }
        Ok(())
    }
}

fn load(host: &dyn WorkerHost, r: &mut Reader<'_>) -> Result<Loaded, abi::Error> {
    // SAFETY: the path was encoded by the host, which is the same version of plugfit.
    let path = unsafe { OsStr::from_encoded_bytes_unchecked(r.bytes()) };
    let (path, in_place) = (Path::new(path), r.number() != 0);
    let function = r.list(|r| r.text().to_owned()).pop();
    let bytes = r.bytes();
    let refused = |refusal: Refusal| other_error(format!("can't be loaded in its process: it {}", refusal.line()));
    if let Some(function) = function {
        let instance = symbol::instance(bytes, path, &function, in_place).map_err(refused)?;
        let (_, table, handle) = instance.into_parts();
        return Ok(Loaded::Function(table, handle));
    }
    let plugin = Plugin::load(bytes, path, path, in_place, true).map_err(refused)?;
    host.add(plugin.clone());
    Ok(Loaded::Plugin(plugin))
}
