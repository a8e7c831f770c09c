//! Errors in the ABI's form.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RString};
use plugfit_abi::{self as abi};

/// Returns an error of the kind "other".
pub fn other_error(message: impl Into<RString>) -> abi::Error {
    abi::Error { kind: abi::ERROR_OTHER, message: message.into(), field: ROption::RNone, place: ROption::RNone }
}

/// Returns an error of the host, for a plug-in.
pub fn host_error(message: impl Into<RString>) -> abi::Error {
    abi::Error { kind: abi::ERROR_HOST, ..other_error(message) }
}

/// Converts a panic of the host to an error, so that it doesn't unwind into a plug-in.
pub fn catch_panics<T>(f: impl FnOnce() -> RResult<T, abi::Error>) -> RResult<T, abi::Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| RResult::RErr(host_error("the host panicked")))
}
