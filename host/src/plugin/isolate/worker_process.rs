//! A worker as the host sees it: starts, calls, monitors and ends it.

use std::io::Result;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr};
use plugfit_abi::{self as abi, Interface};

use super::memory::{BODY, ENDED, HOST, Memory, WORKER, header};
use super::program::{WORKER_ARGUMENT, WORKER_VARIABLE, check_worker_program};
use super::system::{self, Mapping, RESERVED};
use super::wire::{Call, Reader, Return, Writer, copy_back};
use super::worker_output::WorkerOutput;
use super::{CONTRACT_VIOLATED, CRASHED, Isolation};
use crate::plugin::abi_error::other_error;
use crate::plugin::sync::lock_ignoring_poison;
use crate::plugin::{Kind, bounds};
use crate::text::{printable_path, shell_word};
use crate::threads;

/// A process that runs the components of one plug-in. Dropping it ends the process.
pub struct Worker {
    channel: Mutex<Channel>,
    process: Arc<Process>,
    limit: Duration,
    /// The argument for `plugfit check`, for errors.
    to_check: String,
}

struct Channel {
    memory: Memory,
    returns: Vec<Return>,
    /// The buffer that an answer is copied to.
    answer: Vec<u64>,
}

/// Maximum size of the answer buffer that is reused for the next answer, in words.
const MAX_RETAINED_WORDS: usize = 1 << 20;

/// The state that is shared with the thread that monitors the process.
struct Process {
    mapping: Arc<Mapping>,
    /// The process that started the worker. A fork of it has the same memory, but must not control the worker.
    owner: u32,
    child: u32,
    /// Whether the process has ended or is being ended by the host. The shared memory also says so, but the worker can
    /// write to it.
    ended: AtomicBool,
    /// The reason for which the host ended it.
    kill_reason: Mutex<Option<String>>,
    end: Mutex<Option<End>>,
    has_end: Condvar,
}

/// The end of a process.
struct End {
    how: String,
    /// The last lines that it printed.
    last_lines: String,
    /// The component and the function during whose call it ended.
    during: Option<String>,
}

/// The component that is called, and the host callbacks of the call.
#[derive(Clone, Copy)]
pub struct Caller<'c> {
    pub kind: Kind,
    pub component: &'c str,
    pub host: Option<&'c abi::Host>,
}

impl Worker {
    pub fn start(isolation: &Isolation, path: &Path, in_place: bool) -> Result<Self> {
        let mut command = match &isolation.program[..] {
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            [] => Command::new(check_worker_program().and_then(|()| system::this_program())?),
        };
        const BEGIN: usize = 1 << 16;
        let mapping = Arc::new(Mapping::create(BEGIN)?);
        let memory = isolation.memory_limit.unwrap_or_else(system::available_memory);
        let numbers = [u64::from(std::process::id()), memory, threads::count() as u64];
        command.arg(WORKER_ARGUMENT).arg(env!("CARGO_PKG_VERSION")).args(numbers.map(|number| number.to_string()));
        command.env(WORKER_VARIABLE, "1");

        // The parent-death signal is sent when the thread that started the process ends, so each worker gets its own
        // thread.
        let (sender, receiver) = mpsc::channel();
        let shared = mapping.clone();
        let output = WorkerOutput::new(path);
        std::thread::Builder::new().name("plugfit-worker".into()).spawn(move || {
            match system::start(command, &shared) {
                Err(error) => drop(sender.send(Err(error))),
                Ok(child) => {
                    let process = Process {
                        mapping: shared,
                        owner: std::process::id(),
                        child: child.id(),
                        ended: AtomicBool::new(false),
                        kill_reason: Mutex::default(),
                        end: Mutex::default(),
                        has_end: Condvar::new(),
                    };
                    let process = Arc::new(process);
                    let _ = sender.send(Ok(process.clone()));
                    process.monitor(child, output);
                }
            }
        })?;
        let process = receiver.recv().map_err(std::io::Error::other)??;
        let memory = Memory::of_host(mapping, BEGIN, memory.min(RESERVED as u64));
        let channel = Channel { memory, returns: Vec::new(), answer: Vec::new() };
        let in_place = if in_place { " --load-in-place" } else { "" };
        let to_check = format!("{}{in_place}", shell_word(&printable_path(path)));
        Ok(Worker { channel: Mutex::new(channel), process, limit: isolation.call_limit, to_check })
    }

    pub fn has_ended(&self) -> bool {
        self.process.ended.load(Ordering::Acquire)
    }

    /// Calls a function in the worker. Only one call runs at a time.
    pub fn call<T>(
        &self,
        caller: Caller<'_>,
        call: Call,
        write: impl FnOnce(&mut Writer<'_>),
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> RResult<T, abi::Error> {
        if self.process.owner != std::process::id() {
            return RResult::RErr(other_error(
                "can't be called: its process belongs to the one that this was forked from",
            ));
        }
        let mut channel = lock_ignoring_poison(&self.channel);
        let Channel { memory, returns, answer } = &mut *channel;
        let mut writer = Writer::new(memory, returns, BODY);
        writer.number(call as u64);
        writer.number(caller.kind as u64);
        write(&mut writer);
        let end = match writer.finish() {
            Ok(end) => end,
            Err(error) => return RResult::RErr(other_error(format!("can't be called in its process: {error}"))),
        };
        if !self.pass_turn(caller) {
            return RResult::RErr(self.crash(caller, None));
        }
        if !self.wait_for_answer(memory, caller) {
            return RResult::RErr(self.crash(caller, Some(call)));
        }

        let mut reader = Reader::of_copy(memory, end, call.longest_answer(), answer);
        let lines = reader.at_most(bounds::MAX_LOG_LINES, "lines of its log", |r| (r.number() as u32, r.shown()));
        let result = reader.result(read);
        let (problem, is_whole) = (reader.problem(), reader.is_whole());
        if answer.len() > MAX_RETAINED_WORDS {
            *answer = Vec::new();
        }
        if let Some(problem) = problem {
            return RResult::RErr(abi::Error { kind: CONTRACT_VIOLATED, ..other_error(problem) });
        }
        if !is_whole {
            // The worker has overwritten the message.
            self.process.end("was ended, since it left an answer that can't be read");
            return RResult::RErr(self.crash(caller, Some(call)));
        }
        if matches!(result, RResult::ROk(_)) {
            // SAFETY: the call just ended, and its arguments are still borrowed.
            unsafe { copy_back(memory, returns) };
        }
        // The receiver of the lines may call the plug-in, so unlock first.
        drop(channel);
        for (level, line) in lines {
            caller.log(level, &line);
        }
        // Only the host may create errors of these kinds.
        let is_host_kind = |kind: u32| matches!(kind, CRASHED | CONTRACT_VIOLATED);
        result.map_err(
            |error| if is_host_kind(error.kind) { abi::Error { kind: abi::ERROR_OTHER, ..error } } else { error },
        )
    }

    /// Passes the turn to the worker. Returns false if it has ended.
    fn pass_turn(&self, caller: Caller<'_>) -> bool {
        let head = header(&self.process.mapping);
        head.cancelled.store(u32::from(caller.is_cancelled()), Ordering::Relaxed);
        head.wanted.store(0, Ordering::Relaxed);
        if self.has_ended() {
            return false;
        }
        if head.turn.compare_exchange(HOST, WORKER, Ordering::Release, Ordering::Relaxed).is_err() && !self.has_ended()
        {
            self.process.end("was ended, because it acted out of turn");
        }
        if self.has_ended() {
            return false;
        }
        system::wake(&head.turn);
        true
    }

    /// Waits for the answer. Returns false if there won't be one.
    fn wait_for_answer(&self, memory: &mut Memory, caller: Caller<'_>) -> bool {
        /// Interval at which cancellation is checked.
        const POLL_INTERVAL: Duration = Duration::from_millis(50);
        let head = header(&self.process.mapping);
        let begin = Instant::now();
        head.spin_while_turn(WORKER);
        loop {
            let turn = head.turn.load(Ordering::Acquire);
            if self.has_ended() {
                return false;
            }
            let left = self.limit.saturating_sub(begin.elapsed());
            match turn {
                HOST => match head.wanted.swap(0, Ordering::Relaxed) {
                    0 => return true,
                    wanted => self.grow_memory(memory, wanted),
                },
                WORKER => {}
                // The monitoring thread sets `ended` before it writes that the worker has ended.
                _ => self.process.end("was ended, because it reported that it had ended"),
            }
            if left.is_zero() {
                self.process.end(&format!("was ended, because a call may take at most {} s", self.limit.as_secs_f64()));
            }
            if self.has_ended() {
                return false;
            }
            system::wait(&head.turn, WORKER, Some(left.min(POLL_INTERVAL)));
            if caller.is_cancelled() && head.cancelled.swap(1, Ordering::Relaxed) == 0 {
                system::wake(&head.cancelled);
            }
        }
    }

    /// Grows the memory for an answer, and passes the turn back to the worker.
    fn grow_memory(&self, memory: &mut Memory, wanted: u64) {
        if let Err(error) = memory.reserve(usize::try_from(wanted).unwrap_or(usize::MAX)) {
            self.process.end(&format!("was ended: {error}"));
            return;
        }
        let turn = &header(&self.process.mapping).turn;
        turn.store(WORKER, Ordering::Release);
        system::wake(turn);
    }

    /// Returns the error for a call to a process that has ended, during this call or before.
    #[cold]
    fn crash(&self, caller: Caller<'_>, call: Option<Call>) -> abi::Error {
        /// Longer than the system needs to end a process.
        const END_TIMEOUT: Duration = Duration::from_secs(10);
        let waited =
            self.process
                .has_end
                .wait_timeout_while(lock_ignoring_poison(&self.process.end), END_TIMEOUT, |end| end.is_none());
        let (mut end, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let unknown = || End { how: "is being ended".into(), last_lines: String::new(), during: None };
        let end = end.get_or_insert_with(unknown);
        let how = lock_ignoring_poison(&self.process.kill_reason).clone().unwrap_or_else(|| end.how.clone());
        let message = match (&end.during, call) {
            (None, Some(call)) => {
                end.during = Some(format!("{} ({})", caller.component, call.name()));
                format!("crashed in {}: its process {how}", call.name())
            }
            (Some(during), _) => format!("can't continue: its process {how}, in {during}"),
            (None, None) => format!("can't continue: its process {how}, between two calls"),
        };
        let last_lines = Some(end.last_lines.clone()).filter(|last_lines| !last_lines.is_empty());
        abi::Error {
            kind: CRASHED,
            message: message.into(),
            field: ROption::RSome(self.to_check.as_str().into()),
            place: last_lines.map(Into::into).into(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill();
    }
}

impl Process {
    /// Ends the process for this reason, if it hasn't ended.
    fn end(&self, kill_reason: &str) {
        lock_ignoring_poison(&self.kill_reason).get_or_insert_with(|| kill_reason.to_owned());
        self.kill();
    }

    fn kill(&self) {
        self.ended.store(true, Ordering::Release);
        let end = lock_ignoring_poison(&self.end);
        if end.is_none() && self.owner == std::process::id() {
            system::kill(self.child);
        }
    }

    fn monitor(&self, mut child: Child, mut output: WorkerOutput) {
        let result = system::wait_for_end(&mut child, |bytes| output.take(bytes));
        let mut end = lock_ignoring_poison(&self.end);
        // Kills the processes that the worker started, and the worker itself if it can't be monitored.
        system::kill(self.child);
        let how = match (result, child.wait()) {
            (Ok(()), Ok(status)) => system::describe_status(status),
            (Err(error), _) | (_, Err(error)) => format!("couldn't be monitored: {error}"),
        };
        *end = Some(End { how, last_lines: output.end(), during: None });
        self.ended.store(true, Ordering::Release);
        self.has_end.notify_all();
        let turn = &header(&self.mapping).turn;
        turn.store(ENDED, Ordering::Release);
        system::wake(turn);
    }
}

impl Caller<'_> {
    fn is_cancelled(self) -> bool {
        let ask = |host: &abi::Host| {
            // SAFETY: the host's table with this id has this type.
            let table = unsafe { interface::<abi::CancelV1>(host, abi::CANCEL_V1) }?;
            // SAFETY: the host guarantees this function.
            Some(unsafe { (table.is_cancelled)(host.context) } != 0)
        };
        self.host.and_then(ask).unwrap_or(false)
    }

    fn log(self, level: u32, line: &str) {
        let Some(host) = self.host else { return };
        // SAFETY: the same as for `is_cancelled`.
        if let Some(table) = unsafe { interface::<abi::LogV1>(host, abi::LOG_V1) } {
            // SAFETY: the same as for `is_cancelled`.
            unsafe { (table.log)(host.context, level, RStr::from_str(line)) };
        }
    }
}

/// # Safety
/// `T` must be the table type of the interface `id`.
unsafe fn interface<'h, T>(host: &'h abi::Host, id: &'static str) -> Option<&'h T> {
    // SAFETY: the host guarantees this function; the interface it returns lives as long as the host.
    unsafe {
        let interface = (host.get_interface)(host.context, RStr::from_str(id)).cast::<Interface>().as_ref()?;
        interface.functions.cast::<T>().as_ref()
    }
}
