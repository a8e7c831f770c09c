//! A worker as the host sees it: started, called, watched over, ended.

use std::io::Result;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr};
use plugfit_abi::{self as abi, Interface};

use super::memory::{BODY, ENDED, HOST, Memory, WORKER, header};
use super::printed::Printed;
use super::system::{self, Mapping, RESERVED};
use super::wire::{Call, Reader, Return, Writer, bring_back, locked};
use super::worker::check_program;
use super::{CRASHED, Isolation, MISTAKEN, WORKER_ARGUMENT, WORKER_VARIABLE};
use crate::data::text::{of_path, shell_word};
use crate::plugin::{Kind, bounds};

/// A process that runs the components of one plug-in. It ends when this is dropped.
pub struct Worker {
    channel: Mutex<Channel>,
    life: Arc<Life>,
    limit: Duration,
    /// What `plugfit check` is to be given, for errors.
    to_check: String,
}

struct Channel {
    memory: Memory,
    returns: Vec<Return>,
    /// What an answer is copied to.
    answer: Vec<u64>,
}

/// Words that are kept for the next answer.
const KEPT: usize = 1 << 20;

/// What the thread that watches over the process knows.
struct Life {
    mapping: Arc<Mapping>,
    /// The process that started it. One forked from that has the same memory, and no say.
    owner: u32,
    child: u32,
    /// Whether it has ended, or is being ended by its host. The shared memory says so too, but it is the worker's as well.
    gone: AtomicBool,
    /// Why its host ended it.
    why: Mutex<Option<String>>,
    end: Mutex<Option<End>>,
    has_end: Condvar,
}

/// How a process ended.
struct End {
    how: String,
    /// What it printed last.
    said: String,
    /// The component and the function that ended it.
    during: Option<String>,
}

/// Where a call comes from, and its way back to the host.
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
            [] => Command::new(check_program().and_then(|()| system::this_program())?),
        };
        const BEGIN: usize = 1 << 16;
        let mapping = Arc::new(Mapping::create(BEGIN)?);
        let memory = isolation.memory_limit.unwrap_or_else(system::available_memory);
        let numbers = [u64::from(std::process::id()), memory, rayon::current_num_threads() as u64];
        command.arg(WORKER_ARGUMENT).arg(env!("CARGO_PKG_VERSION")).args(numbers.map(|number| number.to_string()));
        command.env(WORKER_VARIABLE, "1");

        // The process is to end when its starter does, which for the system is the thread: so it has one of its own.
        let (sender, receiver) = mpsc::channel();
        let shared = mapping.clone();
        let printed = Printed::new(path);
        std::thread::Builder::new().name("plugfit-worker".into()).spawn(move || {
            match system::start(command, &shared) {
                Err(error) => drop(sender.send(Err(error))),
                Ok(child) => {
                    let life = Life {
                        mapping: shared,
                        owner: std::process::id(),
                        child: child.id(),
                        gone: AtomicBool::new(false),
                        why: Mutex::default(),
                        end: Mutex::default(),
                        has_end: Condvar::new(),
                    };
                    let life = Arc::new(life);
                    let _ = sender.send(Ok(life.clone()));
                    life.watch_over(child, printed);
                }
            }
        })?;
        let life = receiver.recv().map_err(std::io::Error::other)??;
        let memory = Memory::of_host(mapping, BEGIN, memory.min(RESERVED as u64));
        let channel = Channel { memory, returns: Vec::new(), answer: Vec::new() };
        let in_place = if in_place { " --load-in-place" } else { "" };
        let to_check = format!("{}{in_place}", shell_word(&of_path(path)));
        Ok(Worker { channel: Mutex::new(channel), life, limit: isolation.call_limit, to_check })
    }

    pub fn has_ended(&self) -> bool {
        self.life.gone.load(Ordering::Acquire)
    }

    /// Calls a function of the worker's; one call at a time.
    pub fn call<T>(
        &self,
        caller: Caller<'_>,
        call: Call,
        write: impl FnOnce(&mut Writer<'_>),
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> RResult<T, abi::Error> {
        if self.life.owner != std::process::id() {
            return RResult::RErr(other(
                "can't be called: its process belongs to the one that this was forked from".into(),
            ));
        }
        let mut channel = locked(&self.channel);
        let Channel { memory, returns, answer } = &mut *channel;
        let mut writer = Writer::new(memory, returns, BODY);
        writer.number(call as u64);
        writer.number(caller.kind as u64);
        write(&mut writer);
        let end = match writer.finish() {
            Ok(end) => end,
            Err(error) => return RResult::RErr(other(format!("can't be called in its process: {error}"))),
        };
        let head = header(&self.life.mapping);
        head.cancelled.store(u32::from(caller.is_cancelled()), Ordering::Relaxed);
        head.wanted.store(0, Ordering::Relaxed);
        if self.has_ended() {
            return RResult::RErr(self.crash(caller, None));
        }
        if head.turn.compare_exchange(HOST, WORKER, Ordering::Release, Ordering::Relaxed).is_err() && !self.has_ended()
        {
            self.life.end("was ended, since it took a turn that wasn't its own");
        }
        if self.has_ended() {
            return RResult::RErr(self.crash(caller, None));
        }
        system::wake(&head.turn);
        if !self.answered(memory, caller) {
            return RResult::RErr(self.crash(caller, Some(call)));
        }

        let mut reader = Reader::of_copy(memory, end, call.longest_answer(), answer);
        let lines = reader.at_most(bounds::LOG_LINES, "lines of its log", |r| (r.number() as u32, r.shown()));
        let result = reader.result(read);
        let (problem, is_whole) = (reader.problem(), reader.is_whole());
        if answer.len() > KEPT {
            *answer = Vec::new();
        }
        if let Some(problem) = problem {
            return RResult::RErr(abi::Error { kind: MISTAKEN, ..other(problem) });
        }
        if !is_whole {
            // It wrote where it shouldn't have.
            self.life.end("was ended, since it left an answer that can't be read");
            return RResult::RErr(self.crash(caller, Some(call)));
        }
        if matches!(result, RResult::ROk(_)) {
            // SAFETY: the call just ended, and what was lent to it still is.
            unsafe { bring_back(memory, returns) };
        }
        // Who takes the lines may call the plug-in.
        drop(channel);
        for (level, line) in lines {
            caller.log(level, &line);
        }
        // Those kinds are this side's to give.
        let is_ours = |kind: u32| matches!(kind, CRASHED | MISTAKEN);
        result.map_err(|error| if is_ours(error.kind) { abi::Error { kind: abi::ERROR_OTHER, ..error } } else { error })
    }

    /// Waits for the answer; false if there won't be one.
    fn answered(&self, memory: &mut Memory, caller: Caller<'_>) -> bool {
        /// Between two looks at whether the user wants it to stop.
        const LOOK: Duration = Duration::from_millis(50);
        let head = header(&self.life.mapping);
        let begin = Instant::now();
        head.look_for_end_of_turn(WORKER);
        loop {
            let turn = head.turn.load(Ordering::Acquire);
            if self.has_ended() {
                return false;
            }
            let left = self.limit.saturating_sub(begin.elapsed());
            match turn {
                HOST => match head.wanted.swap(0, Ordering::Relaxed) {
                    0 => return true,
                    wanted => self.make_room(memory, wanted),
                },
                WORKER => {}
                // The thread that watches over it says that it has ended before it writes so.
                _ => self.life.end("was ended, since it said that it had ended"),
            }
            if left.is_zero() {
                self.life.end(&format!("was ended, since a call may take {} s", self.limit.as_secs_f64()));
            }
            if self.has_ended() {
                return false;
            }
            system::wait(&head.turn, WORKER, Some(left.min(LOOK)));
            if caller.is_cancelled() && head.cancelled.swap(1, Ordering::Relaxed) == 0 {
                system::wake(&head.cancelled);
            }
        }
    }

    /// Makes room for an answer, for which it is the worker's turn again.
    fn make_room(&self, memory: &mut Memory, wanted: u64) {
        if let Err(error) = memory.reserve(usize::try_from(wanted).unwrap_or(usize::MAX)) {
            self.life.end(&format!("was ended: {error}"));
            return;
        }
        let turn = &header(&self.life.mapping).turn;
        turn.store(WORKER, Ordering::Release);
        system::wake(turn);
    }

    /// The error for a call to a process that has ended, during this call or before.
    #[cold]
    fn crash(&self, caller: Caller<'_>, call: Option<Call>) -> abi::Error {
        /// Longer than the system needs to end a process.
        const LONGEST: Duration = Duration::from_secs(10);
        let waited = self.life.has_end.wait_timeout_while(locked(&self.life.end), LONGEST, |end| end.is_none());
        let (mut end, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let unknown = || End { how: "is being ended".into(), said: String::new(), during: None };
        let end = end.get_or_insert_with(unknown);
        let how = locked(&self.life.why).clone().unwrap_or_else(|| end.how.clone());
        let message = match (&end.during, call) {
            (None, Some(call)) => {
                end.during = Some(format!("{} ({})", caller.component, call.name()));
                format!("crashed in {}: its process {how}", call.name())
            }
            (Some(during), _) => format!("can't go on: its process {how}, in {during}"),
            (None, None) => format!("can't go on: its process {how}, between two calls"),
        };
        let said = Some(end.said.clone()).filter(|said| !said.is_empty());
        abi::Error {
            kind: CRASHED,
            message: message.into(),
            field: ROption::RSome(self.to_check.as_str().into()),
            place: said.map(Into::into).into(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.life.kill();
    }
}

impl Life {
    /// Ends the process, if it hasn't ended, for this reason.
    fn end(&self, why: &str) {
        locked(&self.why).get_or_insert_with(|| why.to_owned());
        self.kill();
    }

    fn kill(&self) {
        self.gone.store(true, Ordering::Release);
        let end = locked(&self.end);
        if end.is_none() && self.owner == std::process::id() {
            system::kill(self.child);
        }
    }

    fn watch_over(&self, mut child: Child, mut printed: Printed) {
        let watched = system::until_ended(&mut child, |bytes| printed.take(bytes));
        let mut end = locked(&self.end);
        // Whatever it started, and itself where it can't be watched over.
        system::kill(self.child);
        let how = match (watched, child.wait()) {
            (Ok(()), Ok(status)) => system::how(status),
            (Err(error), _) | (_, Err(error)) => format!("couldn't be watched over: {error}"),
        };
        *end = Some(End { how, said: printed.end(), during: None });
        self.gone.store(true, Ordering::Release);
        self.has_end.notify_all();
        let turn = &header(&self.mapping).turn;
        turn.store(ENDED, Ordering::Release);
        system::wake(turn);
    }
}

impl Caller<'_> {
    fn is_cancelled(self) -> bool {
        let ask = |host: &abi::Host| {
            // SAFETY: the host's table of this id.
            let table = unsafe { interface::<abi::CancelV1>(host, abi::CANCEL_V1) }?;
            // SAFETY: the host's promise of this function.
            Some(unsafe { (table.is_cancelled)(host.context) } != 0)
        };
        self.host.and_then(ask).unwrap_or(false)
    }

    fn log(self, level: u32, line: &str) {
        let Some(host) = self.host else { return };
        // SAFETY: as above.
        if let Some(table) = unsafe { interface::<abi::LogV1>(host, abi::LOG_V1) } {
            // SAFETY: as above.
            unsafe { (table.log)(host.context, level, RStr::from_str(line)) };
        }
    }
}

/// # Safety
/// The id is that of the table.
unsafe fn interface<'h, T>(host: &'h abi::Host, id: &'static str) -> Option<&'h T> {
    // SAFETY: the host's promise of this function; what it gives lives as long as the host.
    unsafe {
        let interface = (host.get_interface)(host.context, RStr::from_str(id)).cast::<Interface>().as_ref()?;
        interface.functions.cast::<T>().as_ref()
    }
}

pub fn other(message: String) -> abi::Error {
    abi::Error { kind: abi::ERROR_OTHER, message: message.into(), field: ROption::RNone, place: ROption::RNone }
}
