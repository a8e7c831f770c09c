//! What isolation asks of Linux: memory that two processes share, a word that one waits for and the other wakes, and a process that
//! doesn't outlive the one that started it.

use std::fs::File;
use std::io::{Read, Result};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};
use rustix::thread::futex;

/// Addresses, not memory: the file behind them grows as calls need it, and nothing ever moves.
pub const RESERVED: usize = 1 << 36;

/// Memory that two processes share.
pub struct Mapping {
    base: NonNull<u8>,
    /// The host's. The worker has none, so that its plug-in can't make the memory larger.
    file: Option<File>,
}

// SAFETY: an address and a file; who reads and writes there takes turns, or uses atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn create(length: usize) -> Result<Self> {
        let file = File::from(memfd_create("plugfit-call", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.set_len(length as u64)?;
        // What is there stays: neither side can be ended by the other's cutting it short.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Mapping { base: map(&file)?, file: Some(file) })
    }

    /// That of the host, which gave it as stdin; from now on stdin is empty.
    pub fn from_stdin() -> Result<Self> {
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return Err(std::io::Error::other("stdin isn't the memory of a host"));
        }
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Mapping { base: map(&file)?, file: None })
    }

    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Makes it this long.
    pub fn grow(&self, length: usize) -> Result<()> {
        if length > RESERVED {
            return Err(std::io::Error::other("a call has more than 64 GiB of arrays"));
        }
        self.file()?.set_len(length as u64)
    }

    fn file(&self) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| std::io::Error::other("the memory is the host's"))
    }

    /// To be a process's stdin.
    pub fn stdin(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.file()?.try_clone()?))
    }
}

fn map(file: &File) -> Result<NonNull<u8>> {
    // SAFETY: at an address that the system chooses, so that no other memory is touched.
    let base = unsafe {
        mmap(
            std::ptr::null_mut(),
            RESERVED,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::NORESERVE,
            file,
            0,
        )
    }?;
    NonNull::new(base.cast()).ok_or_else(|| std::io::Error::other("mapped at null"))
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and borrowed by nobody any more. There is nothing to do about a failure.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), RESERVED) };
    }
}

/// Waits while the word has this value; may return early.
pub fn wait(word: &AtomicU32, value: u32, longest: Option<Duration>) {
    let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
    // Woken, changed before, interrupted, or too late: whoever waits looks again.
    let _ = futex::wait(word, futex::Flags::empty(), value, longest.as_ref());
}

pub fn wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), u32::MAX >> 1);
}

/// The number of the processor that this runs on.
pub fn processor() -> u32 {
    rustix::thread::sched_getcpu() as u32
}

/// The program that runs, even if its file was replaced.
pub fn this_program() -> Result<std::path::PathBuf> {
    Ok("/proc/self/exe".into())
}

/// Starts a worker in a process group of its own, so that Ctrl-C in a terminal isn't for it. What it prints comes by the pipe.
pub fn start(mut command: Command, memory: &Mapping) -> Result<Child> {
    let (reader, writer) = std::io::pipe()?;
    command.process_group(0).stdin(memory.stdin()?).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The child's own end lives in it alone, once the command is gone.
    drop(command);
    child.stderr = Some(std::os::fd::OwnedFd::from(reader).into());
    Ok(child)
}

/// Ends a worker that was started here and isn't waited for yet, and whatever it started.
pub fn kill(child: u32) {
    if let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(child, Signal::KILL);
        // It may have left its group.
        let _ = rustix::process::kill_process(child, Signal::KILL);
    }
}

/// Returns when a process has ended, which is still to be waited for. Gives what it prints to `text`.
pub fn until_ended(child: &mut Child, mut text: impl FnMut(&[u8])) -> Result<()> {
    let pid = Pid::from_child(child);
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let mut pipe = child.stderr.take();
    let mut buffer = [0; 4096];
    // What a process leaves in the pipe at its end is read, but not for ever: others may write there.
    let mut left = 64;
    loop {
        let ended = {
            let mut events = vec![PollFd::new(&process, PollFlags::IN)];
            events.extend(pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            match poll(&mut events, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ended = !events[0].revents().is_empty();
            if events.get(1).is_none_or(|event| event.revents().is_empty()) {
                if ended {
                    return Ok(());
                }
                continue;
            }
            ended
        };
        if ended {
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
        match pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(count)) if count > 0 => text(&buffer[..count]),
            _ => pipe = None,
        }
    }
}

/// How a process ended, to be read after "its process".
pub fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(4), _) => "was ended by SIGILL (it ran what is no instruction)".into(),
        (Some(6), _) => "was ended by SIGABRT (it aborted)".into(),
        (Some(7), _) => "was ended by SIGBUS (it reached for memory that isn't there)".into(),
        (Some(8), _) => "was ended by SIGFPE (it divided an integer by zero)".into(),
        (Some(9), _) => "was ended by SIGKILL (from outside, or by the system when memory ran out)".into(),
        (Some(11), _) => "was ended by SIGSEGV (it reached for memory that isn't its own)".into(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!("called exit({})", code.unwrap_or_default()),
    }
}

/// Called in the worker, before it has further threads: it and what it starts end with `parent`, it is the first to go when the system has no
/// memory left, and it may use `memory` bytes. Gives how many bytes of addresses that is, for [`limit_addresses`].
pub fn become_worker(parent: u32, memory: u64) -> Result<u64> {
    let ended = || std::io::Error::other("the program that started this worker has ended");
    let host = i32::try_from(parent).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let process = rustix::process::pidfd_open(host, PidfdFlags::empty())?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // As long as it is the parent, its number can't be another's.
    if rustix::process::getppid() != Some(host) {
        return Err(ended());
    }
    end_group_with(&process)?;
    // The host's addresses are counted as well, which aren't used.
    let statistics = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statistics.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let limit = (pages * rustix::param::page_size() as u64).saturating_add(memory);
    limit_addresses(limit);
    // It may be forbidden, and helps only in need.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(limit)
}

/// Lets this process have at most so many bytes of addresses, or fewer where that was said before. What it has already stays.
pub fn limit_addresses(bytes: u64) {
    let most = rustix::process::getrlimit(Resource::As).maximum;
    let limit = Some(most.map_or(bytes, |most| most.min(bytes)));
    // To lower a limit is always allowed.
    let _ = rustix::process::setrlimit(Resource::As, Rlimit { current: limit, maximum: limit });
}

/// Starts a process that waits for `host` to end, and then ends the group of this one. The system itself ends only this process with its
/// host, and not what a plug-in has started.
fn end_group_with(host: &impl AsRawFd) -> Result<()> {
    let own = rustix::process::getpid();
    let worker = rustix::process::pidfd_open(own, PidfdFlags::empty())?;
    let waited_for = |process: i32| libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
    let mut waited_for = [waited_for(host.as_raw_fd()), waited_for(worker.as_raw_fd())];
    // SAFETY: this process has one thread as yet. The new ones call nothing but functions that may be called after a fork.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(std::io::Error::last_os_error()),
        // The one that waits isn't this one's child: a plug-in may wait for all of its own.
        // SAFETY: as above.
        0 => unsafe {
            if libc::fork() == 0 {
                libc::setsid();
                (0..3).for_each(|stream| {
                    libc::close(stream);
                });
                while libc::poll(waited_for.as_mut_ptr(), 2, -1) == -1 && *libc::__errno_location() == libc::EINTR {}
                libc::kill(-own.as_raw_nonzero().get(), libc::SIGKILL);
            }
            libc::_exit(0)
        },
        child => child,
    };
    let mut status = 0;
    // SAFETY: the status is written to a place of ours.
    while unsafe { libc::waitpid(child, &mut status, 0) } == -1 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Memory that programs can have now, in bytes.
pub fn available_memory() -> u64 {
    let of = |text: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    of(&text).map_or(u64::MAX >> 1, |kibibytes| kibibytes << 10)
}
