//! The worker's side: loads one plug-in, and does the calls that the host lays down in the shared memory.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use plugfit_abi::abi_stable::std_types::{RResult, RSlice, RStr};
use plugfit_abi::{self as abi, Handle, Inputs, LossV1, LossV2, MetricV1, OptimizerV1, ScheduleV1};
use serde_json::Value;

use super::memory::{BODY, HOST, Memory, WORKER, header};
use super::process::other;
use super::system::{self, Mapping};
use super::wire::{Call, Reader, Writer, locked};
use super::{WORKER_ARGUMENT, WORKER_VARIABLE};
use crate::Host;
use crate::plugin::component::{Making, Table};
use crate::plugin::load::Offered;
use crate::plugin::{Door, Kind, Level, LoadOptions, Nested, Plugin, Refusal, Resolve, Resolved, bounds, symbol};

/// Whether this program does a worker's work when it is started as one.
static SERVES: AtomicBool = AtomicBool::new(false);

/// To be called first of all in the `main` of a program that isolates plug-ins. Where the program was started as a worker, this does a
/// worker's work and never returns; else it does nothing.
pub fn worker_main() {
    SERVES.store(true, Ordering::Relaxed);
    worker_main_of(std::env::args_os().skip(1));
}

/// As [`worker_main`], for a program that is begun by more than its own file, as `python -m plugfit` is: with the arguments after that.
pub fn worker_main_of(arguments: impl IntoIterator<Item = OsString>) {
    let mut arguments = arguments.into_iter().map(|text| text.to_string_lossy().into_owned());
    if arguments.next().as_deref() != Some(WORKER_ARGUMENT) {
        return;
    }
    if let Err(error) = work(&arguments.collect::<Vec<_>>()) {
        eprintln!("{error}");
    }
    std::process::exit(2);
}

/// Why this program can't be started as a worker.
pub fn check_program() -> std::io::Result<()> {
    if std::env::var_os(WORKER_VARIABLE).is_some() || !SERVES.load(Ordering::Relaxed) {
        let message = "this program's main doesn't begin with plugfit::plugin::worker_main()\n\
            let it, or name the program `plugfit` in Isolation::program";
        return Err(std::io::Error::other(message));
    }
    Ok(())
}

fn work(arguments: &[String]) -> std::io::Result<()> {
    let numbers: Vec<u64> = arguments.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (Some(version), [parent, memory, threads]) = (arguments.first(), &numbers[..]) else {
        return Err(std::io::Error::other("this isn't how a worker is started"));
    };
    if version != env!("CARGO_PKG_VERSION") {
        let own = env!("CARGO_PKG_VERSION");
        return Err(std::io::Error::other(format!("plugfit {version} started a worker of plugfit {own}")));
    }
    let mapping = Arc::new(Mapping::from_stdin()?);
    let limit = system::become_worker(u32::try_from(*parent).unwrap_or_default(), *memory)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::try_from(*threads).unwrap_or(1));
    pool.build_global().map_err(std::io::Error::other)?;
    // Calls are made inside of the pool, as the host makes them.
    rayon::scope(|_| Server::new(mapping, limit).serve())
}

/// What the plug-in logs in a call.
type Lines = Arc<Mutex<Vec<(u32, String)>>>;

struct Server {
    mapping: Arc<Mapping>,
    /// How many bytes of addresses this process may have, those of the shared memory that are used included.
    limit: u64,
    within: Arc<Within>,
    door: Arc<Door>,
    lines: Lines,
    loaded: Loaded,
}

/// The tables that the plug-in has.
#[derive(Default)]
struct Loaded {
    loss: Option<&'static LossV1>,
    float64: Option<&'static LossV2>,
    metric: Option<&'static MetricV1>,
    optimizer: Option<&'static OptimizerV1>,
    schedule: Option<&'static ScheduleV1>,
    plugin: Option<Arc<Plugin>>,
    /// A C function, which is made already.
    function: Option<Handle>,
}

/// What components of the plug-in may nest: those of its own file and of the standard set. Of a further file, which no lock and no
/// signature of the host's would be asked about here, no code runs.
struct Within(Host);

impl Within {
    fn new() -> Self {
        let host = Host::with_options(LoadOptions { manifests_only: true, ..LoadOptions::default() });
        host.add_builtin();
        Within(host)
    }
}

impl Resolve for Within {
    fn resolve(&self, kind: Kind, identifier: &Value) -> crate::Result<Resolved> {
        self.0.resolve(kind, identifier).map_err(with_advice)
    }

    fn nested(&self, identifier: &Value) -> crate::Result<Nested> {
        self.0.nested(identifier).map_err(with_advice)
    }
}

/// What a plug-in asked of its host and wasn't given may be there outside.
fn with_advice(error: crate::Error) -> crate::Error {
    error.hint("isolated, a component nests others of its own file and of the standard set alone")
}

impl Server {
    fn new(mapping: Arc<Mapping>, limit: u64) -> Self {
        let within = Arc::new(Within::new());
        let resolve: Weak<dyn Resolve> = Arc::downgrade(&within) as _;
        let door = Arc::new(within.0.door().towards(resolve));
        let lines = Lines::default();
        let taken = lines.clone();
        door.set_log(move |level, line| {
            let level = match level {
                Level::Debug => abi::LOG_DEBUG,
                Level::Info => abi::LOG_INFO,
                Level::Warning => abi::LOG_WARNING,
            };
            let mut lines = locked(&taken);
            if lines.len() < bounds::LOG_LINES {
                lines.push((level, line.to_owned()));
            }
        });
        Server { mapping, limit, within, door, lines, loaded: Loaded::default() }
    }

    /// Until the process is ended.
    fn serve(mut self) -> std::io::Result<()> {
        let (mapping, cancel) = (self.mapping.clone(), self.door.cancel_flag());
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
            self.door.cancel_flag().store(cancelled, Ordering::Relaxed);
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

    /// Does a call and writes what it came to.
    fn answer(&mut self, r: &mut Reader<'_>, w: &mut Writer<'_>) -> std::io::Result<()> {
        let (Some(call), Some(kind)) = (r.call(), r.kind()) else {
            return Err(std::io::Error::other("asked for a call that isn't known"));
        };
        let question = Question { call, host: &self.door.host(), r };
        let answer = Answer { w, lines: &self.lines };
        // SAFETY: handles are those that these tables gave, and that the host gives back once; what else is lent lies in the shared memory
        // until the call is answered.
        unsafe {
            match (call, kind, &self.loaded) {
                (Call::Load, ..) => {
                    let loaded = load(&self.within.0, question.r);
                    answer.give(loaded.map(|loaded| self.loaded = loaded).into(), |_, ()| ());
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
                    answer.give(RResult::RErr(other(format!("can't be used: {reason}"))), |_, ()| ());
                }
            }
        }
        Ok(())
    }
}

fn load(host: &Host, r: &mut Reader<'_>) -> Result<Loaded, abi::Error> {
    // SAFETY: a path of this program, which is the host's as well.
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

/// A call, its arguments, and what is passed to the plug-in beside them.
struct Question<'q, 'm> {
    call: Call,
    host: &'q abi::Host,
    r: &'q mut Reader<'m>,
}

/// Where the answer goes.
struct Answer<'a, 'm> {
    w: &'a mut Writer<'m>,
    lines: &'a Lines,
}

impl Answer<'_, '_> {
    /// The lines of the log, then the result.
    fn give<T>(self, result: RResult<T, abi::Error>, value: impl FnOnce(&mut Writer<'_>, T)) {
        self.w.list(&std::mem::take(&mut *locked(self.lines)), |w, (level, line)| {
            w.number(u64::from(*level));
            w.text(line);
        });
        self.w.result(result, value);
    }
}

/// # Safety
/// The handles in the question are this table's, and what it lends is there until the answer is given; so below.
unsafe fn component<T: Table>(table: &T, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: the caller's promise; so below.
    unsafe {
        match call {
            Call::Create => {
                let (name, config, version) = (r.text(), r.text(), r.number() as u32);
                // The components that it asks for in this process count as made for it.
                let _making = Making::begin(name).ok();
                let made = (table.create())(host, RStr::from_str(name), RStr::from_str(config), version);
                answer.give(made, |w, handle| w.handle(handle));
            }
            Call::Release => {
                (table.release())(r.handle());
                answer.give(RResult::ROk(()), |_, ()| ());
            }
            Call::Config => answer.give((table.config())(r.handle()), |w, text| w.text(&text)),
            Call::InstanceInfo => answer.give((table.instance_info())(r.handle()), |w, text| w.text(&text)),
            call => answer.give(RResult::RErr(other(format!("has no {}", call.name()))), |_, ()| ()),
        }
    }
}

unsafe fn loss(
    table: &LossV1,
    float64: Option<&LossV2>,
    function: Option<Handle>,
    question: Question<'_, '_>,
    answer: Answer<'_, '_>,
) {
    let Question { call, host, r } = question;
    // SAFETY: as above.
    unsafe {
        match (call, function) {
            (Call::Create, Some(function)) => answer.give(RResult::ROk(function), |w, handle| w.handle(handle)),
            (Call::OutputShape, _) => {
                let loss = r.handle();
                let shape = inputs(r, |inputs, _| (table.output_shape)(loss, inputs));
                answer.give(shape, |w, shape| w.lengths(&shape));
            }
            (Call::Loss, _) => {
                let loss = r.handle();
                let totals = inputs(r, |inputs, r| {
                    let (values, valid) = (r.option(), r.option());
                    let gradients = r.list(Reader::option);
                    let gradients = RSlice::from_slice(&gradients);
                    let output = abi::LossOutput { values, valid, gradients, upstream: r.option(), scale: r.float() };
                    // A call of float64 comes from the host's table of that alone.
                    let call = float64.map_or(table.call, |float64| float64.call);
                    call(loss, host, inputs, &output)
                });
                answer.give(totals, |w, totals| {
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

unsafe fn metric(table: &MetricV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: as above.
    unsafe {
        match call {
            Call::NewState => answer.give((table.new_state)(r.handle(), host), |w, handle| w.handle(handle)),
            Call::ReleaseState => {
                (table.release_state)(r.handle());
                answer.give(RResult::ROk(()), |_, ()| ());
            }
            Call::Reset => answer.give((table.reset)(r.handle(), host, r.handle()), |_, ()| ()),
            Call::CloneState => answer.give((table.clone_state)(r.handle(), r.handle()), |w, handle| w.handle(handle)),
            Call::Update => {
                let (metric, state) = (r.handle(), r.handle());
                let result = inputs(r, |inputs, _| (table.update)(metric, host, state, inputs));
                answer.give(result, |_, ()| ());
            }
            Call::Merge => answer.give((table.merge)(r.handle(), host, r.handle(), r.handle()), |_, ()| ()),
            Call::Outcome => answer.give((table.result)(r.handle(), host, r.handle()), |w, result| {
                w.number(u64::from(result.kind));
                w.list(&result.values, |w, &value| w.float(value));
                w.lengths(&result.shape);
                w.list(&result.names, |w, name| w.text(name));
            }),
            Call::Save => answer.give((table.save)(r.handle(), r.handle()), |w, saved| {
                w.number(u64::from(saved.version));
                w.bytes(&saved.bytes);
            }),
            Call::LoadState => {
                let (metric, version, bytes) = (r.handle(), r.number() as u32, r.bytes());
                answer
                    .give((table.load)(metric, host, version, RSlice::from_slice(bytes)), |w, handle| w.handle(handle));
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

unsafe fn optimizer(table: &OptimizerV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: as above.
    unsafe {
        match call {
            Call::Slots => {
                let (optimizer, parameters) = (r.handle(), r.list(parameter));
                answer.give((table.slots)(optimizer, host, RSlice::from_slice(&parameters)), |w, slots| {
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
                answer.give(result, |_, ()| ());
            }
            Call::Step => answer.give(update(r, |optimizer, step| (table.update)(optimizer, host, step)), |_, ()| ()),
            Call::Finalize => {
                answer.give(update(r, |optimizer, step| (table.finalize)(optimizer, host, step)), |_, ()| ());
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn update<T>(r: &mut Reader<'_>, f: impl FnOnce(Handle, &abi::Update<'_>) -> T) -> T {
    let optimizer = r.handle();
    let (iteration, step, learning_rate, seed) = (r.number(), r.number(), r.float(), r.number());
    // Entries lend their slots, which therefore are read before, all of them.
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
    let own = r.list(Reader::tensor);
    let (entries, slots) = (RSlice::from_slice(&entries), RSlice::from_slice(&own));
    f(optimizer, &abi::Update { iteration, step, learning_rate, seed, entries, slots })
}

unsafe fn schedule(table: &ScheduleV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: as above.
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
                answer.give((table.learning_rate)(schedule, host, &when), |w, rate| w.float(rate));
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}
