//! Converts panics of the parquet crate into errors. It panics on some damaged files, such as those with negative
//! lengths.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use parquet::errors::ParquetError;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Calls `read` and returns its result, or the panic message as an error if it panics. After a panic, don't use the
/// values that `read` borrowed.
pub fn catch_panic<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    static HOOK: Once = Once::new();
    // Suppress the panic output: the caller reports the error.
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                previous(panic);
            }
        }));
    });
    let outer = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_CAUGHT.set(outer);
    result.unwrap_or_else(|payload| {
        Err(ParquetError::General(match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload.downcast_ref::<&str>().map_or("it is damaged", |text| text).to_owned(),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch_panic(|| Ok(3)).expect("no panic"), 3);
        let message = |read: fn() -> Result<(), ParquetError>| catch_panic(read).expect_err("a panic").to_string();
        assert_eq!(message(|| panic!("row {}", 7)), "Parquet error: row 7");
        assert_eq!(message(|| panic!("cut")), "Parquet error: cut");
    }
}
