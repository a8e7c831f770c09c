//! The number of threads that components and the embedded network use.
//!
//! It is that of `$PLUGFIT_THREADS`, or else that of the processor, until [`set`] is called. The number doesn't change
//! any result.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// The environment variable with the number of threads.
pub const VARIABLE: &str = "PLUGFIT_THREADS";

/// The most threads that can be set.
pub const MAX: usize = 1024;

/// The number of threads of the pool, or one of the values below.
static THREADS: AtomicUsize = AtomicUsize::new(UNREAD);
/// The environment variable hasn't been read.
const UNREAD: usize = usize::MAX;
/// Work runs in rayon's global pool, whose threads are those of the processor.
const GLOBAL: usize = 0;

/// A pool of another number of threads, or that of a forked process. It is created when it is needed.
static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Returns the number of threads in [`VARIABLE`], or `None` if it isn't set.
///
/// # Errors
/// Returns a usage error if it isn't an integer from 1 to [`MAX`]. Until [`set`] is called, such a value is ignored.
pub fn from_environment() -> Result<Option<usize>> {
    match std::env::var_os(VARIABLE) {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => match text.to_str().and_then(|text| text.trim().parse().ok()) {
            Some(threads @ 1..=MAX) => Ok(Some(threads)),
            _ => Err(Error::usage(format!("{VARIABLE} is {text:?}"))
                .hint(format!("the number of threads is an integer from 1 to {MAX}"))),
        },
    }
}

/// Sets the number of threads from now on. Work that has begun isn't affected.
///
/// # Errors
/// Returns a usage error if the number isn't from 1 to [`MAX`].
pub fn set(threads: usize) -> Result<()> {
    if !(1..=MAX).contains(&threads) {
        return Err(Error::usage(format!("{threads} threads can't be used"))
            .hint(format!("the number of threads is an integer from 1 to {MAX}")));
    }
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    THREADS.store(threads, Ordering::Relaxed);
    *pool = None;
    Ok(())
}

/// Returns the number of threads that work started here uses: that of the calling thread's own rayon pool, if it has
/// one.
pub fn count() -> usize {
    match (rayon::current_thread_index(), configured()) {
        (None, threads) if threads != GLOBAL => threads,
        _ => rayon::current_num_threads(),
    }
}

fn configured() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        UNREAD => {
            let threads = from_environment().ok().flatten().unwrap_or(GLOBAL);
            // A number that was set in the meantime stays.
            match THREADS.compare_exchange(UNREAD, threads, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => threads,
                Err(set) => set,
            }
        }
        threads => threads,
    }
}

/// Runs `work` on a thread of the pool, so that rayon's functions use its threads. A thread that belongs to a rayon pool
/// runs it itself.
///
/// Entering the pool takes some microseconds.
pub fn install<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    match pool() {
        Some(pool) => pool.install(work),
        None => rayon::scope(|_| work()),
    }
}

fn pool() -> Option<Arc<ThreadPool>> {
    let threads = configured();
    if threads == GLOBAL {
        return None;
    }
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    // If no threads can be started, the global pool decides what happens.
    if pool.is_none() {
        *pool = ThreadPoolBuilder::new().num_threads(threads).build().ok().map(Arc::new);
    }
    pool.clone()
}

/// Notes in the child that this process was forked. A fork doesn't copy threads, so the child needs a pool of its own.
pub fn after_fork() {
    // A pool of the parent has no threads here. Dropping it would wait for them forever.
    std::mem::forget(POOL.lock().unwrap_or_else(PoisonError::into_inner).take());
    if configured() == GLOBAL {
        THREADS.store(rayon::current_num_threads(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_can_be_set() {
        for threads in [0, MAX + 1, usize::MAX] {
            assert!(set(threads).is_err(), "{threads}");
        }
        for threads in [3, 1] {
            set(threads).expect("a possible number");
            assert_eq!((count(), install(rayon::current_num_threads)), (threads, threads));
            // The pool of the calling thread has precedence.
            let pool = ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
            assert_eq!(pool.install(|| (count(), install(rayon::current_num_threads))), (2, 2));
        }
    }
}
