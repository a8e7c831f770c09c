//! Aborts the process of a crate's own test if a component hangs.

use std::{
    io::Write,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time limit of a test in seconds, unless [`VARIABLE`] is set.
const SECONDS: f64 = 120.0;
/// The environment variable for another limit, in seconds.
const VARIABLE: &str = "PLUGFIT_TEST_TIMEOUT";

/// The running tests. A single thread can't be stopped, so the process aborts if one exceeds the limit.
pub struct Watchdog {
    state: Mutex<State>,
    changed: Condvar,
    limit: Duration,
}

/// Removes its test from the running ones on drop, and so also after a panic.
struct Running<'a> {
    watchdog: &'a Watchdog,
    id: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.watchdog.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.retain(|(id, ..)| *id != self.id);
    }
}

#[derive(Default)]
struct State {
    running: Vec<(u64, String, Instant)>,
    next: u64,
    is_over: bool,
}

impl Watchdog {
    pub fn new() -> Self {
        let limit = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<f64>().ok());
        let seconds = limit.filter(|seconds| *seconds > 0.0 && *seconds < 1e9).unwrap_or(SECONDS);
        Watchdog { state: Mutex::default(), changed: Condvar::new(), limit: Duration::from_secs_f64(seconds) }
    }

    /// Runs `f`, which is listed under this name meanwhile.
    pub fn during<T>(&self, name: String, f: impl FnOnce() -> T) -> T {
        let id = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next += 1;
            let id = state.next;
            state.running.push((id, name, Instant::now()));
            id
        };
        let _running = Running { watchdog: self, id };
        f()
    }

    /// Watches the running tests until [`end`](Self::end) is called.
    pub fn watch(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_over {
            if let Some((_, name, _)) = state.running.iter().find(|(.., since)| since.elapsed() > self.limit) {
                // Not `eprintln`, because the test harness captures its output.
                let _ = writeln!(
                    std::io::stderr(),
                    "\n{name} didn't return within {:?}, so that this test's process is ended ({VARIABLE}=SECONDS sets another limit)",
                    self.limit
                );
                std::process::abort();
            }
            let pause = self.limit.min(Duration::from_millis(250));
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stops [`watch`](Self::watch).
    pub fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};

    #[test]
    fn a_test_that_panicked_is_no_longer_watched() {
        let watchdog = Watchdog::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| watchdog.during("it".into(), || panic!("told to"))));
        assert!(panicked.is_err());
        assert_eq!(watchdog.during("another".into(), || watchdog.state.lock().unwrap().running.len()), 1);
        assert!(watchdog.state.lock().unwrap().running.is_empty());
    }
}
