//! A worker as the host sees it: started, called, watched over, ended.

use std::io::{Result, Write};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr};
use plugfit_abi::{self as abi, Interface};

use super::memory::{BODY, ENDED, HOST, Memory, WORKER, header};
use super::system::{self, Mapping};
use super::wire::{Call, Reader, Return, Writer, bring_back, locked};
use super::worker::check_program;
use super::{CRASHED, Isolation, WORKER_ARGUMENT, WORKER_VARIABLE};
use crate::plugin::Kind;

/// A process that runs the components of one plug-in. It ends when this is dropped.
pub struct Worker {
    channel: Mutex<Channel>,
    life: Arc<Life>,
    limit: Duration,
    /// The plug-in's file, for errors.
    file: String,
}

struct Channel {
    memory: Memory,
    returns: Vec<Return>,
}

/// What the thread that watches over the process knows.
struct Life {
    mapping: Arc<Mapping>,
    /// The process that started it. One forked from that has the same memory, and no say.
    owner: u32,
    child: u32,
    took_too_long: AtomicBool,
    end: Mutex<Option<End>>,
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
    pub fn start(isolation: &Isolation, file: String) -> Result<Self> {
        let mut command = match &isolation.program[..] {
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            [] => Command::new(check_program().and_then(|()| system::this_program())?),
        };
        let mapping = Arc::new(Mapping::create(1 << 16)?);
        let memory = isolation.memory_limit.unwrap_or_else(system::available_memory);
        let numbers = [u64::from(std::process::id()), memory, rayon::current_num_threads() as u64];
        command.arg(WORKER_ARGUMENT).arg(env!("CARGO_PKG_VERSION")).args(numbers.map(|number| number.to_string()));
        command.env(WORKER_VARIABLE, "1");

        // The process is to end when its starter does, which for the system is the thread: so it has one of its own.
        let (sender, receiver) = mpsc::channel();
        let shared = mapping.clone();
        std::thread::Builder::new().name("plugfit-worker".into()).spawn(move || {
            match system::start(command, &shared) {
                Err(error) => drop(sender.send(Err(error))),
                Ok(child) => {
                    let life = Life {
                        mapping: shared,
                        owner: std::process::id(),
                        child: child.id(),
                        took_too_long: AtomicBool::new(false),
                        end: Mutex::new(None),
                    };
                    let life = Arc::new(life);
                    let _ = sender.send(Ok(life.clone()));
                    life.watch_over(child);
                }
            }
        })?;
        let life = receiver.recv().map_err(std::io::Error::other)??;
        let channel = Channel { memory: Memory::new(mapping), returns: Vec::new() };
        Ok(Worker { channel: Mutex::new(channel), life, limit: isolation.call_limit, file })
    }

    pub fn has_ended(&self) -> bool {
        header(&self.life.mapping).turn.load(Ordering::Acquire) == ENDED
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
        let Channel { memory, returns } = &mut *channel;
        let mut writer = Writer::new(memory, returns, BODY);
        writer.number(call as u64);
        writer.number(caller.kind as u64);
        write(&mut writer);
        let end = match writer.finish() {
            Ok(end) => end,
            Err(error) => return RResult::RErr(other(format!("can't be called in its process: {error}"))),
        };
        let head = memory.header();
        head.cancelled.store(u32::from(caller.is_cancelled()), Ordering::Relaxed);
        if head.turn.compare_exchange(HOST, WORKER, Ordering::Release, Ordering::Relaxed).is_err() {
            return RResult::RErr(self.crash(caller, None));
        }
        system::wake(&head.turn);
        if !self.answered(memory, caller) {
            return RResult::RErr(self.crash(caller, Some(call)));
        }

        let mut reader = Reader::new(memory, end);
        let lines = reader.list(|r| (r.number() as u32, r.text().to_owned()));
        let result = reader.result(read);
        if !reader.is_whole() {
            // It wrote where it shouldn't have.
            self.life.kill();
            return RResult::RErr(other("left an answer that can't be read, and was ended".into()));
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
        // That kind is this side's to give.
        result
            .map_err(|error| if error.kind == CRASHED { abi::Error { kind: abi::ERROR_OTHER, ..error } } else { error })
    }

    /// Waits for the answer; false if there won't be one.
    fn answered(&self, memory: &Memory, caller: Caller<'_>) -> bool {
        /// Between two looks at whether the user wants it to stop.
        const LOOK: Duration = Duration::from_millis(50);
        let head = memory.header();
        let begin = Instant::now();
        head.look_for_end_of_turn(WORKER);
        loop {
            match head.turn.load(Ordering::Acquire) {
                HOST => return true,
                ENDED => return false,
                _ => {}
            }
            let left = self.limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                self.life.took_too_long.store(true, Ordering::Relaxed);
                self.life.kill();
            }
            system::wait(&head.turn, WORKER, Some(if left.is_zero() { LOOK } else { left.min(LOOK) }));
            if caller.is_cancelled() && head.cancelled.swap(1, Ordering::Relaxed) == 0 {
                system::wake(&head.cancelled);
            }
        }
    }

    /// The error for a call to a process that has ended, during this call or before.
    #[cold]
    fn crash(&self, caller: Caller<'_>, call: Option<Call>) -> abi::Error {
        let mut end = locked(&self.life.end);
        let Some(end) = end.as_mut() else { return other("can't be called any more".into()) };
        let how = match self.life.took_too_long.load(Ordering::Relaxed) {
            true => format!("was ended, since a call may take {} s", self.limit.as_secs_f64()),
            false => end.how.clone(),
        };
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
            field: ROption::RSome(self.file.as_str().into()),
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
    /// Ends the process, if it hasn't ended.
    fn kill(&self) {
        let end = locked(&self.end);
        if end.is_none() && self.owner == std::process::id() {
            system::kill(self.child);
        }
    }

    fn watch_over(&self, mut child: Child) {
        let mut tail = Vec::new();
        let watched = system::until_ended(&mut child, |printed| {
            let _ = std::io::stderr().write_all(printed);
            tail.extend_from_slice(printed);
            tail.drain(..tail.len().saturating_sub(4096));
        });
        let mut end = locked(&self.end);
        // Whatever it started, and itself where it can't be watched over.
        system::kill(self.child);
        let how = match (watched, child.wait()) {
            (Ok(()), Ok(status)) => system::how(status),
            (Err(error), _) | (_, Err(error)) => format!("couldn't be watched over: {error}"),
        };
        *end = Some(End { how, said: last_lines(&String::from_utf8_lossy(&tail)), during: None });
        let turn = &header(&self.mapping).turn;
        turn.store(ENDED, Ordering::Release);
        system::wake(turn);
    }
}

/// The two last lines that say something.
fn last_lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("note: "));
    let mut last: Vec<&str> = lines.rev().take(2).collect();
    last.reverse();
    last.join("; ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_last_is_kept_without_advice() {
        let text = "epoch 3\n\nthread 'main' panicked at src/lib.rs:3:\nof no use\nnote: run with RUST_BACKTRACE=1\n\n";
        assert_eq!(last_lines(text), "thread 'main' panicked at src/lib.rs:3:; of no use");
        assert_eq!(last_lines(""), "");
    }
}
