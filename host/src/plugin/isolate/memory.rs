//! The memory that host and worker share, and whose turn it is.

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::system::{self, Mapping};

/// What the shared memory begins with.
#[repr(C)]
pub struct Header {
    /// Whose turn it is.
    pub turn: AtomicU32,
    /// Not 0 once a long call shall stop.
    pub cancelled: AtomicU32,
    /// Where the message ends.
    pub end: AtomicU64,
    /// Where host and worker run.
    processors: [AtomicU32; 2],
    /// How much memory there is, as the host says.
    length: AtomicU64,
    /// How much the worker needs for its answer, where that is more than there is; else 0.
    pub wanted: AtomicU64,
}

impl Header {
    /// Says on which processor `side` runs.
    pub fn is_here(&self, side: u32) {
        self.processors[side as usize].store(system::processor(), Ordering::Relaxed);
    }

    /// Looks for a moment whether it isn't the turn of `side` any more: to be put to sleep and woken takes longer than most calls. Where the
    /// other side runs on this very processor it can't answer before this one sleeps.
    pub fn look_for_end_of_turn(&self, side: u32) {
        const MOMENT: Duration = Duration::from_micros(30);
        let other = &self.processors[side as usize];
        self.is_here(1 - side);
        let begin = Instant::now();
        while begin.elapsed() < MOMENT && other.load(Ordering::Relaxed) != system::processor() {
            for _ in 0..16 {
                if self.turn.load(Ordering::Acquire) != side {
                    return;
                }
                std::hint::spin_loop();
            }
        }
    }
}

/// The host's turn: there is an answer, or nothing was asked yet.
pub const HOST: u32 = 0;
/// The worker's.
pub const WORKER: u32 = 1;
/// Nobody's: the worker has ended. The host doesn't rely on it, since the worker can write it as well.
pub const ENDED: u32 = 2;

/// Where messages begin.
pub const BODY: usize = 64;

/// The shared memory, and how much of it is known to be there.
pub struct Memory {
    mapping: Arc<Mapping>,
    length: usize,
    side: Side,
}

/// Whose view of the memory it is. It grows by the host alone, which counts it as memory of the worker's.
#[derive(Clone, Copy)]
enum Side {
    /// It grows up to `limit` bytes.
    Host { limit: usize },
    /// With the shared memory the worker may have `limit` bytes of addresses.
    Worker { limit: u64 },
}

impl Memory {
    /// The host's.
    pub fn of_host(mapping: Arc<Mapping>, length: usize, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(length);
        header(&mapping).length.store(length as u64, Ordering::Relaxed);
        Memory { mapping, length, side: Side::Host { limit } }
    }

    /// The worker's.
    pub fn of_worker(mapping: Arc<Mapping>, limit: u64) -> Self {
        Memory { mapping, length: 0, side: Side::Worker { limit } }
    }

    pub fn header(&self) -> &Header {
        header(&self.mapping)
    }

    /// Whether everything before `end` is there.
    pub fn has(&mut self, end: usize) -> bool {
        if let (Side::Worker { limit }, true) = (self.side, end > self.length) {
            let length = self.header().length.load(Ordering::Relaxed);
            system::limit_addresses(limit.saturating_sub(length));
            self.length = usize::try_from(length).unwrap_or(usize::MAX);
        }
        end <= self.length
    }

    /// Makes room for this much and, where it grows, for some more.
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

    /// Has the host make room, in the midst of a call.
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
    /// `at` lies in what is there.
    pub unsafe fn at(&self, at: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.mapping.base().as_ptr().add(at) }
    }
}

pub fn header(mapping: &Mapping) -> &Header {
    // SAFETY: a mapping is never shorter than its header and begins at a page; all fields are atomics, for which any bits will do.
    unsafe { mapping.base().cast().as_ref() }
}
