//! The worker process: loads one plug-in, and makes the calls that the host writes to the shared memory.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use super::memory::{BODY, HOST, Memory, WORKER, header};
use super::program::WORKER_ARGUMENT;
use super::system::{self, Mapping};
use super::wire::{Call, Reader, Writer, locked, other};
use crate::plugin::component::{Making, Table};
use crate::plugin::load::Offered;
use crate::plugin::{HostCallbacks, Kind, Level, Plugin, Refusal, Resolve, bounds, symbol};
use plugfit_abi::abi_stable::std_types::{RResult, RSlice, RStr};
use plugfit_abi::{self as abi, Handle, Inputs, LossV1, LossV2, MetricV1, OptimizerV1, ScheduleV1};

/// The host of a worker: it resolves the components that the plug-in nests.
pub trait WorkerHost: Resolve {
    /// Returns the callbacks of this host, without a resolver.
    fn callbacks(&self) -> &Arc<HostCallbacks>;

    /// Adds the plug-in of the worker.
    fn add(&self, plugin: Arc<Plugin>);
}

/// Acts as a worker, and never returns, if `arguments` are those of a worker; otherwise does nothing. `host` creates the worker's host.
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
        return Err(std::io::Error::other("this isn't how a worker is started"));
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

/// The lines that the plug-in logs in a call, with their levels.
type Lines = Arc<Mutex<Vec<(u32, String)>>>;

struct Server {
    mapping: Arc<Mapping>,
    /// The limit on the address space in bytes, including the used part of the shared memory.
    limit: u64,
    host: Arc<dyn WorkerHost>,
    callbacks: Arc<HostCallbacks>,
    lines: Lines,
    loaded: Loaded,
}

/// The tables of the loaded plug-in.
#[derive(Default)]
struct Loaded {
    loss: Option<&'static LossV1>,
    float64: Option<&'static LossV2>,
    metric: Option<&'static MetricV1>,
    optimizer: Option<&'static OptimizerV1>,
    schedule: Option<&'static ScheduleV1>,
    plugin: Option<Arc<Plugin>>,
    /// The handle of a C function, which already exists.
    function: Option<Handle>,
}

impl Server {
    fn new(host: Arc<dyn WorkerHost>, mapping: Arc<Mapping>, limit: u64) -> Self {
        let resolve: Weak<dyn Resolve> = Arc::downgrade(&host) as _;
        let callbacks = Arc::new(host.callbacks().towards(resolve));
        let lines = Lines::default();
        let shared = lines.clone();
        callbacks.set_log(move |level, line| {
            let level = match level {
                Level::Debug => abi::LOG_DEBUG,
                Level::Info => abi::LOG_INFO,
                Level::Warning => abi::LOG_WARNING,
            };
            let mut lines = locked(&shared);
            if lines.len() < bounds::LOG_LINES {
                lines.push((level, line.to_owned()));
            }
        });
        Server { mapping, limit, host, callbacks, lines, loaded: Loaded::default() }
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
            head.look_for_end_of_turn(HOST);
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
            return Err(std::io::Error::other("asked for a call that isn't known"));
        };
        let question = Question { call, host: &self.callbacks.host(), r };
        let answer = Answer { w, lines: &self.lines };
        // SAFETY: the handles come from these tables, and the host releases each once; other arguments are in the
        // shared memory until the call is answered.
        unsafe {
            match (call, kind, &self.loaded) {
                (Call::Load, ..) => {
                    let loaded = load(&*self.host, question.r);
                    answer.write(loaded.map(|loaded| self.loaded = loaded).into(), |_, ()| ());
                }
                (_, Kind::Loss, Loaded { loss: Some(table), float64, function, .. }) => {
                    loss(table, *float64, *function, question, answer);
                }
                (_, Kind::Metric, Loaded { metric: Some(table), .. }) => metric(table, question, answer),
                (_, Kind::Optimizer, Loaded { optimizer: Some(table), .. }) => optimizer(table, question, answer),
                (_, Kind::Schedule, Loaded { schedule: Some(table), .. }) => schedule(table, question, answer),
                _ => {
                    let reason = self.loaded.plugin.as_ref().and_then(|plugin| plugin.missing(kind));
                    let reason = reason.unwrap_or("it has no such component");
                    answer.write(RResult::RErr(other(format!("can't be used: {reason}"))), |_, ()| ());
                }
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
    let refused = |refusal: Refusal| other(format!("can't be loaded in its process: it {}", refusal.line()));
    if let Some(function) = function {
        let instance = symbol::instance(bytes, path, &function, in_place).map_err(refused)?;
        let (_, table, handle) = instance.into_parts();
        return Ok(Loaded { loss: Some(table), function: Some(handle), ..Loaded::default() });
    }
    fn table<T>(offered: &Offered<T>) -> Option<&'static T> {
        offered.as_ref().ok().map(|checked| checked.table)
    }
    let plugin = Plugin::load(bytes, path, path, in_place, true).map_err(refused)?;
    let loaded = Loaded {
        loss: table(&plugin.loss),
        float64: plugin.float64,
        metric: table(&plugin.metric),
        optimizer: table(&plugin.optimizer),
        schedule: table(&plugin.schedule),
        plugin: Some(plugin.clone()),
        function: None,
    };
    host.add(plugin);
    Ok(loaded)
}

/// A call, its arguments, and the host that is passed to the plug-in.
struct Question<'q, 'm> {
    call: Call,
    host: &'q abi::Host,
    r: &'q mut Reader<'m>,
}

/// The destination of an answer.
struct Answer<'a, 'm> {
    w: &'a mut Writer<'m>,
    lines: &'a Lines,
}

impl Answer<'_, '_> {
    /// Writes the log lines, then the result.
    fn write<T>(self, result: RResult<T, abi::Error>, value: impl FnOnce(&mut Writer<'_>, T)) {
        self.w.list(&std::mem::take(&mut *locked(self.lines)), |w, (level, line)| {
            w.number(u64::from(*level));
            w.text(line);
        });
        self.w.result(result, value);
    }
}

/// # Safety
/// The handles in the question must belong to this table, and the memory of its arguments must exist until the answer
/// is written.
unsafe fn component<T: Table>(table: &T, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::Create => {
                let (name, config, version) = (r.text(), r.text(), r.number() as u32);
                // Components that it requests in this process count as created for it.
                let _making = Making::begin(name).ok();
                let created = (table.create())(host, RStr::from_str(name), RStr::from_str(config), version);
                answer.write(created, |w, handle| w.handle(handle));
            }
            Call::Release => {
                (table.release())(r.handle());
                answer.write(RResult::ROk(()), |_, ()| ());
            }
            Call::Config => answer.write((table.config())(r.handle()), |w, text| w.text(&text)),
            Call::InstanceInfo => answer.write((table.instance_info())(r.handle()), |w, text| w.text(&text)),
            call => answer.write(RResult::RErr(other(format!("has no {}", call.name()))), |_, ()| ()),
        }
    }
}

/// # Safety
/// The same as for [`component`].
unsafe fn loss(
    table: &LossV1,
    float64: Option<&LossV2>,
    function: Option<Handle>,
    question: Question<'_, '_>,
    answer: Answer<'_, '_>,
) {
    let Question { call, host, r } = question;
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (call, function) {
            (Call::Create, Some(function)) => answer.write(RResult::ROk(function), |w, handle| w.handle(handle)),
            (Call::OutputShape, _) => {
                let loss = r.handle();
                let shape = inputs(r, |inputs, _| (table.output_shape)(loss, inputs));
                answer.write(shape, |w, shape| w.lengths(&shape));
            }
            (Call::Loss, _) => {
                let loss = r.handle();
                let totals = inputs(r, |inputs, r| {
                    let (values, valid) = (r.option(), r.option());
                    let gradients = r.list(Reader::option);
                    let gradients = RSlice::from_slice(&gradients);
                    let output = abi::LossOutput { values, valid, gradients, upstream: r.option(), scale: r.float() };
                    // The host makes float64 calls only through the float64 table.
                    let call = float64.map_or(table.call, |float64| float64.call);
                    call(loss, host, inputs, &output)
                });
                answer.write(totals, |w, totals| {
                    w.float(totals.value);
                    w.float(totals.weight);
                    w.float(totals.count);
                });
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn inputs<T>(r: &mut Reader<'_>, f: impl FnOnce(&Inputs<'_>, &mut Reader<'_>) -> T) -> T {
    let tensors = r.list(|r| abi::NamedTensor { name: RStr::from_str(r.text()), tensor: r.tensor() });
    let inputs = Inputs { tensors: RSlice::from_slice(&tensors), weight: r.option(), mask: r.option() };
    f(&inputs, r)
}

/// # Safety
/// The same as for [`component`].
unsafe fn metric(table: &MetricV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::NewState => answer.write((table.new_state)(r.handle(), host), |w, handle| w.handle(handle)),
            Call::ReleaseState => {
                (table.release_state)(r.handle());
                answer.write(RResult::ROk(()), |_, ()| ());
            }
            Call::Reset => answer.write((table.reset)(r.handle(), host, r.handle()), |_, ()| ()),
            Call::CloneState => answer.write((table.clone_state)(r.handle(), r.handle()), |w, handle| w.handle(handle)),
            Call::Update => {
                let (metric, state) = (r.handle(), r.handle());
                let result = inputs(r, |inputs, _| (table.update)(metric, host, state, inputs));
                answer.write(result, |_, ()| ());
            }
            Call::Merge => answer.write((table.merge)(r.handle(), host, r.handle(), r.handle()), |_, ()| ()),
            Call::Outcome => answer.write((table.result)(r.handle(), host, r.handle()), |w, result| {
                w.number(u64::from(result.kind));
                w.list(&result.values, |w, &value| w.float(value));
                w.lengths(&result.shape);
                w.list(&result.names, |w, name| w.text(name));
            }),
            Call::Save => answer.write((table.save)(r.handle(), r.handle()), |w, saved| {
                w.number(u64::from(saved.version));
                w.bytes(&saved.bytes);
            }),
            Call::LoadState => {
                let (metric, version, bytes) = (r.handle(), r.number() as u32, r.bytes());
                answer.write((table.load)(metric, host, version, RSlice::from_slice(bytes)), |w, handle| {
                    w.handle(handle)
                });
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn parameter<'m>(r: &mut Reader<'m>) -> abi::Parameter<'m> {
    abi::Parameter {
        name: RStr::from_str(r.text()),
        path: RStr::from_str(r.text()),
        shape: RSlice::from_slice(r.lengths()),
        dtype: r.dtype(),
        flags: r.number(),
    }
}

/// # Safety
/// The same as for [`component`].
unsafe fn optimizer(table: &OptimizerV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::Slots => {
                let (optimizer, parameters) = (r.handle(), r.list(parameter));
                answer.write((table.slots)(optimizer, host, RSlice::from_slice(&parameters)), |w, slots| {
                    w.list(&slots, |w, slot| {
                        w.number(slot.parameter as u64);
                        w.text(&slot.name);
                        w.lengths(&slot.shape);
                        w.dtype(slot.dtype);
                        w.number(u64::from(slot.start));
                        w.float(slot.value);
                    });
                });
            }
            Call::FillSlot => {
                let (optimizer, parameters) = (r.handle(), r.list(parameter));
                let parameters = RSlice::from_slice(&parameters);
                let (slot, parameter, seed, target) = (r.number(), r.option(), r.number(), r.tensor());
                let result = (table.fill_slot)(optimizer, host, parameters, slot, &parameter, seed, &target);
                answer.write(result, |_, ()| ());
            }
            Call::Step => answer.write(update(r, |optimizer, step| (table.update)(optimizer, host, step)), |_, ()| ()),
            Call::Finalize => {
                answer.write(update(r, |optimizer, step| (table.finalize)(optimizer, host, step)), |_, ()| ());
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn update<T>(r: &mut Reader<'_>, f: impl FnOnce(Handle, &abi::Update<'_>) -> T) -> T {
    let optimizer = r.handle();
    let (iteration, step, learning_rate, seed) = (r.number(), r.number(), r.float(), r.number());
    // Entries borrow their slots, so all slots are read first.
    let mut slots = Vec::new();
    let mut entries = r.list(|r| {
        let (parameter, value, gradient) = (parameter(r), r.tensor(), r.option());
        slots.push(r.list(Reader::tensor));
        abi::UpdateEntry {
            parameter,
            value,
            gradient,
            slots: RSlice::from_slice(&[]),
            ema: r.option(),
            gradient_scale: r.float(),
            clip_value: r.float(),
            weight_decay: r.float(),
            learning_rate_factor: r.float(),
            ema_momentum: r.float(),
        }
    });
    for (entry, slots) in entries.iter_mut().zip(&slots) {
        entry.slots = RSlice::from_slice(slots);
    }
    let own_slots = r.list(Reader::tensor);
    let (entries, slots) = (RSlice::from_slice(&entries), RSlice::from_slice(&own_slots));
    f(optimizer, &abi::Update { iteration, step, learning_rate, seed, entries, slots })
}

/// # Safety
/// The same as for [`component`].
unsafe fn schedule(table: &ScheduleV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::LearningRate => {
                let schedule = r.handle();
                let when = abi::ScheduleCall {
                    step: r.number(),
                    epoch: r.number(),
                    steps_per_epoch: r.number() as i64,
                    extras: RStr::from_str(r.text()),
                };
                answer.write((table.learning_rate)(schedule, host, &when), |w, rate| w.float(rate));
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}
