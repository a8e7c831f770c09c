//! The panic boundary: converts panics to errors, so that none unwinds into the host.

use crate::{Error, Result};
use plugfit_abi::{self as abi, abi_stable::std_types::RResult};
use std::{
    cell::{Cell, RefCell},
    io::Write,
    panic::{catch_unwind, resume_unwind, set_hook, take_hook, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

/// The start of the line on stderr by which a plug-in reports a panic in a destructor, which can't return an error.
pub const PANIC_IN_DROP: &str = "a destructor panics";

thread_local! {
    /// The number of panic boundaries on this thread's stack.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The place of the last panic inside a boundary.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that records the place of a panic. A plug-in that is linked into an application shares the
/// application's hook, so outside a panic boundary the hook only calls the previous one.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            // Thread-locals are no longer accessible if the panic occurs while the thread exits.
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                return previous(info);
            }
            let place = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
            let _ = PLACE.try_with(|cell| cell.replace(place));
        }));
    });
}

/// Runs `f`. A panic becomes an error with its message and place.
pub(crate) fn guard<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    // Unwind safety: a panic can leave a state half written; `metric.rs` then marks it as poisoned.
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    result.unwrap_or_else(|payload| {
        let message = match payload.downcast_ref::<&str>() {
            Some(text) => (*text).to_string(),
            None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a message".into()),
        };
        // The payload's destructor may panic too.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        // Thread-locals are no longer accessible if a component is released while its thread exits.
        Err(Error::panic(message, PLACE.try_with(RefCell::take).ok().flatten()))
    })
}

/// Runs `f` as [`guard`] does and returns the result in the ABI's form.
pub(crate) fn catch_panics<T>(f: impl FnOnce() -> Result<T>) -> RResult<T, abi::Error> {
    match guard(f) {
        Ok(value) => RResult::ROk(value),
        Err(error) => RResult::RErr(error.into()),
    }
}

/// Runs a destructor. It can't return an error, so a panic is reported on stderr.
pub(crate) fn catch_drop_panics(f: impl FnOnce()) {
    let result = guard(|| {
        f();
        Ok(())
    });
    if let Err(error) = result {
        // `eprintln!` would panic if stderr is closed.
        let _ = writeln!(std::io::stderr(), "{PANIC_IN_DROP} {}", error.place_and_message());
    }
}

/// Resumes the panic of an error of [`guard`], for the enclosing panic boundary.
pub(crate) fn resume_as_panic(error: Error) -> ! {
    resume_unwind(Box::new(match error.place() {
        Some(place) => format!("{} (at {place})", error.message()),
        None => error.message().to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_message_and_place() {
        let error = guard::<()>(|| panic!("seven is {}", 7)).unwrap_err();
        assert_eq!(error.message(), "seven is 7");
        assert!(error.place().unwrap().contains("catch_panics.rs:"), "{error:?}");
        assert_eq!(error.kind(), abi::ERROR_PANIC);
    }

    #[test]
    fn a_panic_in_the_destructor_of_a_payload_is_caught() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let error = guard::<()>(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(error.kind(), abi::ERROR_PANIC);
    }

    #[test]
    fn a_panic_while_the_thread_exits_is_caught() {
        struct Late(std::sync::mpsc::Sender<String>);
        impl Drop for Late {
            fn drop(&mut self) {
                let error = guard::<()>(|| panic!("late")).unwrap_err();
                let _ = self.0.send(error.message().to_string());
            }
        }
        thread_local! {
            static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Thread-locals are destroyed in reverse order of first use, so `LATE` is destroyed after those of `guard`.
            LATE.set(Some(Late(sender)));
            guard::<()>(|| panic!("early")).unwrap_err();
        });
        assert_eq!(receiver.recv().unwrap(), "late");
        thread.join().unwrap();
    }
}
