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
/// Nobody's: the worker has ended.
pub const ENDED: u32 = 2;

/// Where messages begin.
pub const BODY: usize = 64;

/// The shared memory, and how much of it is known to be there.
pub struct Memory {
    mapping: Arc<Mapping>,
    length: usize,
}

impl Memory {
    pub fn new(mapping: Arc<Mapping>) -> Self {
        Memory { mapping, length: 0 }
    }

    pub fn header(&self) -> &Header {
        header(&self.mapping)
    }

    /// Whether everything before `end` is there.
    pub fn has(&mut self, end: usize) -> Result<bool> {
        if end > self.length {
            self.length = self.mapping.length()?;
        }
        Ok(end <= self.length)
    }

    pub fn reserve(&mut self, end: usize) -> Result<()> {
        if !self.has(end)? {
            self.mapping.grow(end)?;
            self.length = self.mapping.length()?;
        }
        Ok(())
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
