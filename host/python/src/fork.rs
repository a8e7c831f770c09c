//! Threads in a forked process: it has none of its parent's, so that it is given its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

static FORKED: AtomicBool = AtomicBool::new(false);
static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Called in the child.
#[pyfunction]
pub fn after_fork() {
    FORKED.store(true, Ordering::Relaxed);
    // A pool that an ancestor made has no threads here, and to drop it would wait for them.
    std::mem::forget(POOL.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Does work with the GIL released and threads that exist.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| {
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
    })
}
