//! Stub of `allocations.rs` for targets on which a library's allocations can't be counted.

pub unsafe fn count(_: *const ()) {}
