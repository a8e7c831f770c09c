//! A thread pool for forked processes. A fork doesn't copy the threads of the parent's pool, so the child needs its
//! own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

static FORKED: AtomicBool = AtomicBool::new(false);
static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Notes that this process was forked. Python calls it in the child.
#[pyfunction]
pub fn after_fork() {
    FORKED.store(true, Ordering::Relaxed);
    // A pool of the parent process has no threads here. Dropping it would wait for them forever.
    std::mem::forget(POOL.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Runs `work` with the GIL released, and in a forked process in a pool of its own threads.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| install(work))
}

/// Runs `work`, in a forked process in a pool of its own threads.
pub fn install<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if !FORKED.load(Ordering::Relaxed) {
        return work();
    }
    let pool = {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.is_none() {
            *pool = ThreadPoolBuilder::new().build().ok().map(Arc::new);
        }
        pool.clone()
    };
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}
