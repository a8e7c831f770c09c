//! An end for what never comes back, in a crate's own test.

use std::{
    io::Write,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Seconds that a test may take, if [`VARIABLE`] doesn't say.
const SECONDS: f64 = 120.0;
const VARIABLE: &str = "PLUGFIT_TEST_TIMEOUT";

/// What runs at the moment. No thread can be ended alone, so that the process ends where one takes too long.
pub struct Watchdog {
    state: Mutex<State>,
    changed: Condvar,
    limit: Duration,
}

/// An entry of what runs, until its test is over: by a panic too.
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
        let given = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<f64>().ok());
        let seconds = given.filter(|seconds| *seconds > 0.0 && *seconds < 1e9).unwrap_or(SECONDS);
        Watchdog { state: Mutex::default(), changed: Condvar::new(), limit: Duration::from_secs_f64(seconds) }
    }

    /// Runs `f` under this name.
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

    /// Watches until [`end`](Self::end).
    pub fn watch(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_over {
            if let Some((_, name, _)) = state.running.iter().find(|(.., since)| since.elapsed() > self.limit) {
                // Not by `eprintln`, whose text the test harness would keep to itself.
                let _ = writeln!(
                    std::io::stderr(),
                    "\n{name} didn't come back within {:?}, so that this test's process is ended ({VARIABLE}=SECONDS sets another limit)",
                    self.limit
                );
                std::process::abort();
            }
            let pause = self.limit.min(Duration::from_millis(250));
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

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
    fn a_test_that_panics_is_watched_no_longer() {
        let watchdog = Watchdog::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| watchdog.during("it".into(), || panic!("told to"))));
        assert!(panicked.is_err());
        assert_eq!(watchdog.during("another".into(), || watchdog.state.lock().unwrap().running.len()), 1);
        assert!(watchdog.state.lock().unwrap().running.is_empty());
    }
}
