//! Which program workers are started from.

use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument of a worker.
pub const WORKER_ARGUMENT: &str = "plugfit-worker";
/// Environment variable that is set for a worker, so that it doesn't start workers itself.
pub const WORKER_VARIABLE: &str = "PLUGFIT_WORKER";

/// Whether this program acts as a worker when it is started as one.
static IS_WORKER_PROGRAM: AtomicBool = AtomicBool::new(false);

/// Declares that this program acts as a worker when it is started as one.
pub fn declare_worker_program() {
    IS_WORKER_PROGRAM.store(true, Ordering::Relaxed);
}

/// Checks that this program can be started as a worker.
pub fn check_worker_program() -> std::io::Result<()> {
    if std::env::var_os(WORKER_VARIABLE).is_some() || !IS_WORKER_PROGRAM.load(Ordering::Relaxed) {
        let message = "this program's main doesn't begin with plugfit::worker_main()\n\
            let it, or name the program `plugfit` in Isolation::program";
        return Err(std::io::Error::other(message));
    }
    Ok(())
}
