//! The memory that the host and a worker share, and the turn protocol between them.

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::system::{self, Mapping};

/// The start of the shared memory.
#[repr(C)]
pub struct Header {
    /// Whose turn it is: [`HOST`], [`WORKER`] or [`ENDED`].
    pub turn: AtomicU32,
    /// Not 0 once a long call must stop.
    pub cancelled: AtomicU32,
    /// The end of the message.
    pub end: AtomicU64,
    /// The processors on which the host and the worker run.
    processors: [AtomicU32; 2],
    /// The length of the memory, as set by the host.
    length: AtomicU64,
    /// How much memory the worker needs for its answer, if that is more than there is; otherwise 0.
    pub wanted: AtomicU64,
}

impl Header {
    /// Stores the processor on which `side` runs.
    pub fn is_here(&self, side: u32) {
        self.processors[side as usize].store(system::processor(), Ordering::Relaxed);
    }

    /// Spins briefly until the turn of `side` ends, since sleeping and waking take longer than most calls. Doesn't spin
    /// if the other process runs on the same processor, since it can't answer before this one sleeps.
    pub fn spin_while_turn(&self, side: u32) {
        const SPIN_TIME: Duration = Duration::from_micros(30);
        let other = &self.processors[side as usize];
        self.is_here(1 - side);
        let begin = Instant::now();
        while begin.elapsed() < SPIN_TIME && other.load(Ordering::Relaxed) != system::processor() {
            for _ in 0..16 {
                if self.turn.load(Ordering::Acquire) != side {
                    return;
                }
                std::hint::spin_loop();
            }
        }
    }
}

/// The host's turn: there is an answer, or no call was made yet.
pub const HOST: u32 = 0;
/// The worker's turn.
pub const WORKER: u32 = 1;
/// The worker has ended. The host doesn't rely on this value, since the worker can also write it.
pub const ENDED: u32 = 2;

/// The offset at which messages begin.
pub const BODY: usize = 64;

/// The shared memory, and the length that is known to exist.
pub struct Memory {
    mapping: Arc<Mapping>,
    length: usize,
    side: Side,
}

/// The process that uses the memory. Only the host grows it, and its size counts towards the worker's memory limit.
#[derive(Clone, Copy)]
enum Side {
    /// The host may grow the memory up to `limit` bytes.
    Host { limit: usize },
    /// The worker may have `limit` bytes of addresses, including the shared memory.
    Worker { limit: u64 },
}

impl Memory {
    /// Creates the host's view of the memory.
    pub fn of_host(mapping: Arc<Mapping>, length: usize, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(length);
        header(&mapping).length.store(length as u64, Ordering::Relaxed);
        Memory { mapping, length, side: Side::Host { limit } }
    }

    /// Creates the worker's view of the memory.
    pub fn of_worker(mapping: Arc<Mapping>, limit: u64) -> Self {
        Memory { mapping, length: 0, side: Side::Worker { limit } }
    }

    pub fn header(&self) -> &Header {
        header(&self.mapping)
    }

    /// Returns whether the memory extends to `end`.
    pub fn has(&mut self, end: usize) -> bool {
        if let (Side::Worker { limit }, true) = (self.side, end > self.length) {
            let length = self.header().length.load(Ordering::Relaxed);
            system::limit_addresses(limit.saturating_sub(length));
            self.length = usize::try_from(length).unwrap_or(usize::MAX);
        }
        end <= self.length
    }

    /// Ensures that the memory extends to `end`. If it must grow, it grows by some more.
    pub fn reserve(&mut self, end: usize) -> Result<()> {
        if self.has(end) {
            return Ok(());
        }
        match self.side {
            Side::Host { limit } => {
                if end > limit {
                    let message = format!("a call takes {end} bytes, and its process may use {limit}");
                    return Err(std::io::Error::other(message));
                }
                let length = end.saturating_add(end / 4).next_multiple_of(1 << 16).min(limit);
                self.mapping.grow(length)?;
                self.length = length;
                self.header().length.store(length as u64, Ordering::Relaxed);
                Ok(())
            }
            Side::Worker { .. } => {
                self.ask_for(end);
                match self.has(end) {
                    true => Ok(()),
                    false => Err(std::io::Error::other("there is no room for an answer")),
                }
            }
        }
    }

    /// Asks the host to grow the memory during a call.
    fn ask_for(&self, end: usize) {
        let head = self.header();
        head.wanted.store(end as u64, Ordering::Relaxed);
        head.turn.store(HOST, Ordering::Release);
        system::wake(&head.turn);
        while head.turn.load(Ordering::Acquire) != WORKER {
            system::wait(&head.turn, HOST, None);
        }
    }

    /// # Safety
    /// `at` must be within the memory that exists.
    pub unsafe fn at(&self, at: usize) -> *mut u8 {
        // SAFETY: guaranteed by the caller.
        unsafe { self.mapping.base().as_ptr().add(at) }
    }
}

pub fn header(mapping: &Mapping) -> &Header {
    // SAFETY: a mapping is never shorter than its header and is page-aligned; all fields are atomics, which are valid
    // for any bits.
    unsafe { mapping.base().cast().as_ref() }
}
