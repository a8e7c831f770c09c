//! The wall that no panic crosses.

use super::testing::{where_and_what, PANIC_IN_DROP};
use crate::{Error, Result};
use plugfit_abi::{self as abi, abi_stable::std_types::RResult};
use std::{
    cell::{Cell, RefCell},
    io::Write,
    panic::{catch_unwind, resume_unwind, set_hook, take_hook, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

thread_local! {
    /// How many walls this thread is behind.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic behind a wall was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Learns a panic's place. Linked in, a plug-in shares the application's hook: so it goes on to the one before it, and
/// acts behind a wall only.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            // A panic while the thread ends finds no thread-local any more.
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                return before(info);
            }
            let place = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
            let _ = PLACE.try_with(|cell| cell.replace(place));
        }));
    });
}

/// Runs `f`; a panic becomes an error that says what and where.
pub(crate) fn guard<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    // What a panic leaves half done is the callers' to poison; they do so for states.
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    result.unwrap_or_else(|payload| {
        let message = match payload.downcast_ref::<&str>() {
            Some(text) => (*text).to_string(),
            None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a message".into()),
        };
        // The payload's own destructor may panic as well.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        // A component released while its thread ends finds no thread-local any more.
        Err(Error::panic(message, PLACE.try_with(RefCell::take).ok().flatten()))
    })
}

/// `guard` for a function of the ABI.
pub(crate) fn wall<T>(f: impl FnOnce() -> Result<T>) -> RResult<T, abi::Error> {
    match guard(f) {
        Ok(value) => RResult::ROk(value),
        Err(error) => RResult::RErr(error.into()),
    }
}

/// Runs a destructor: nobody is there to whom a panic could be an error, so it is told on stderr.
pub(crate) fn dropping(f: impl FnOnce()) {
    let dropped = guard(|| {
        f();
        Ok(())
    });
    if let Err(error) = dropped {
        // `eprintln!` would panic where stderr is closed.
        let _ = writeln!(std::io::stderr(), "{PANIC_IN_DROP} {}", where_and_what(&error));
    }
}

/// Carries an error of `guard` on as a panic, for the next wall.
pub(crate) fn raise(error: Error) -> ! {
    resume_unwind(Box::new(match error.place() {
        Some(place) => format!("{} (at {place})", error.message()),
        None => error.message().to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_what_and_where() {
        let error = guard::<()>(|| panic!("seven is {}", 7)).unwrap_err();
        assert_eq!(error.message(), "seven is 7");
        assert!(error.place().unwrap().contains("wall.rs:"), "{error:?}");
        assert_eq!(error.kind(), abi::ERROR_PANIC);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_held_too() {
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
    fn a_panic_while_the_thread_ends_is_held_too() {
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
            // What a thread used first it gives up last.
            LATE.set(Some(Late(sender)));
            guard::<()>(|| panic!("early")).unwrap_err();
        });
        assert_eq!(receiver.recv().unwrap(), "late");
        thread.join().unwrap();
    }
}
