//! The Linux system calls that isolation needs: shared memory, futexes, and a process that ends with its parent.

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

/// Size of the reserved address range, in bytes. The file behind it grows as calls need it, and the mapping never
/// moves.
pub const RESERVED: usize = 1 << 36;

/// Memory that two processes share.
pub struct Mapping {
    base: NonNull<u8>,
    /// The host's file. The worker has none, so that its plug-in can't enlarge the memory.
    file: Option<File>,
}

// SAFETY: an address and a file; users of the memory take turns or use atomics.
unsafe impl Send for Mapping {}
// SAFETY: the same as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn create(length: usize) -> Result<Self> {
        let file = File::from(memfd_create("plugfit-call", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.set_len(length as u64)?;
        // The file can't shrink: otherwise either process could end the other with SIGBUS.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Mapping { base: map(&file)?, file: Some(file) })
    }

    /// Maps the host's memory, which the worker gets as stdin. From then on stdin is empty.
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

    /// Grows the memory to this length.
    pub fn grow(&self, length: usize) -> Result<()> {
        if length > RESERVED {
            return Err(std::io::Error::other("a call has more than 64 GiB of arrays"));
        }
        self.file()?.set_len(length as u64)
    }

    fn file(&self) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| std::io::Error::other("the memory is the host's"))
    }

    /// Returns the memory as the stdin of a new process.
    pub fn stdin(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.file()?.try_clone()?))
    }
}

fn map(file: &File) -> Result<NonNull<u8>> {
    // SAFETY: the system chooses the address, so that no other memory is affected.
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
        // SAFETY: the range was mapped by `map`, and nobody borrows it any more. A failure can be ignored.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), RESERVED) };
    }
}

/// Waits while the word has this value. May return early.
pub fn wait(word: &AtomicU32, value: u32, longest: Option<Duration>) {
    let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
    // Woken, already changed, interrupted or timed out: the caller checks the word again.
    let _ = futex::wait(word, futex::Flags::empty(), value, longest.as_ref());
}

pub fn wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), u32::MAX >> 1);
}

/// Returns the number of the processor that this thread runs on.
pub fn processor() -> u32 {
    rustix::thread::sched_getcpu() as u32
}

/// Returns the path of the running program, which stays valid if its file is replaced.
pub fn this_program() -> Result<std::path::PathBuf> {
    Ok("/proc/self/exe".into())
}

/// Starts a worker in its own process group, so that Ctrl-C in a terminal doesn't reach it. The pipe returned as the
/// child's stderr receives stdout and stderr.
pub fn start(mut command: Command, memory: &Mapping) -> Result<Child> {
    let (reader, writer) = std::io::pipe()?;
    command.process_group(0).stdin(memory.stdin()?).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // Without the command, the pipe's write end is open in the child only.
    drop(command);
    child.stderr = Some(std::os::fd::OwnedFd::from(reader).into());
    Ok(child)
}

/// Kills a worker that was started here and hasn't been waited for, and every process in its group.
pub fn kill(child: u32) {
    if let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(child, Signal::KILL);
        // The worker may have left its group.
        let _ = rustix::process::kill_process(child, Signal::KILL);
    }
}

/// Returns when the process has ended, without reaping it. Passes the process's output to `text`.
pub fn wait_for_end(child: &mut Child, mut text: impl FnMut(&[u8])) -> Result<()> {
    let pid = Pid::from_child(child);
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let mut pipe = child.stderr.take();
    let mut buffer = [0; 4096];
    // Output that is left in the pipe when the process ends is read, but only this often: other processes may keep
    // writing.
    let mut remaining_reads = 64;
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
            remaining_reads -= 1;
            if remaining_reads == 0 {
                return Ok(());
            }
        }
        match pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(count)) if count > 0 => text(&buffer[..count]),
            _ => pipe = None,
        }
    }
}

/// Returns how a process ended, phrased to follow "its process".
pub fn describe_status(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(4), _) => "was ended by SIGILL (it executed an invalid instruction)".into(),
        (Some(6), _) => "was ended by SIGABRT (it aborted)".into(),
        (Some(7), _) => "was ended by SIGBUS (it accessed memory that doesn't exist)".into(),
        (Some(8), _) => "was ended by SIGFPE (it divided an integer by zero)".into(),
        (Some(9), _) => "was ended by SIGKILL (from outside, or by the system when memory ran out)".into(),
        (Some(11), _) => "was ended by SIGSEGV (it accessed memory that it may not access)".into(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!("called exit({})", code.unwrap_or_default()),
    }
}

/// Limits the worker process. Must be called before it has further threads. The worker and the processes that it starts
/// end with `parent`. The worker may use `memory` bytes, and is the first candidate of the OOM killer. Returns the
/// limit on its address space in bytes, for [`limit_addresses`].
pub fn become_worker(parent: u32, memory: u64) -> Result<u64> {
    let ended = || std::io::Error::other("the program that started this worker has ended");
    let host = i32::try_from(parent).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let process = rustix::process::pidfd_open(host, PidfdFlags::empty())?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // While the host is the parent, its process id can't be reused.
    if rustix::process::getppid() != Some(host) {
        return Err(ended());
    }
    end_group_with(&process)?;
    // The address space that is already reserved counts towards the limit, although most of it is unused.
    let statistics = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statistics.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let limit = (pages * rustix::param::page_size() as u64).saturating_add(memory);
    limit_addresses(limit);
    // This may be forbidden, and only helps if memory runs out.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(limit)
}

/// Limits the address space of this process to this many bytes, or to an earlier limit if that is lower. Existing
/// mappings stay.
pub fn limit_addresses(bytes: u64) {
    let most = rustix::process::getrlimit(Resource::As).maximum;
    let limit = Some(most.map_or(bytes, |most| most.min(bytes)));
    // Lowering a limit is always allowed.
    let _ = rustix::process::setrlimit(Resource::As, Rlimit { current: limit, maximum: limit });
}

/// Starts a process that waits for `host` to end, and then kills the group of this process. The system's parent-death
/// signal ends only this process, not those that a plug-in has started.
fn end_group_with(host: &impl AsRawFd) -> Result<()> {
    let this_process = rustix::process::getpid();
    let worker = rustix::process::pidfd_open(this_process, PidfdFlags::empty())?;
    let poll_fd = |process: i32| libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
    let mut poll_fd = [poll_fd(host.as_raw_fd()), poll_fd(worker.as_raw_fd())];
    // SAFETY: this process has only one thread so far. The new processes call only functions that are allowed after a
    // fork.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(std::io::Error::last_os_error()),
        // The waiting process isn't a child of this one, since a plug-in may wait for all of its children.
        // SAFETY: the same as above.
        0 => unsafe {
            if libc::fork() == 0 {
                libc::setsid();
                (0..3).for_each(|stream| {
                    libc::close(stream);
                });
                while libc::poll(poll_fd.as_mut_ptr(), 2, -1) == -1 && *libc::__errno_location() == libc::EINTR {}
                libc::kill(-this_process.as_raw_nonzero().get(), libc::SIGKILL);
            }
            libc::_exit(0)
        },
        child => child,
    };
    let mut status = 0;
    // SAFETY: the status is written to a local variable.
    while unsafe { libc::waitpid(child, &mut status, 0) } == -1 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Returns how much memory is available to programs, in bytes.
pub fn available_memory() -> u64 {
    let of = |text: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    of(&text).map_or(u64::MAX >> 1, |kibibytes| kibibytes << 10)
}
