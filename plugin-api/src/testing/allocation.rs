//! Counts allocations, by the global allocator of the crate under test or by the host.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

thread_local! {
    /// The number of allocations of this thread.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system allocator, which also counts allocations. With it, a crate's own test can count those of a metric's
/// update:
///
/// ```
/// #[cfg(test)]
/// #[global_allocator]
/// static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;
/// ```
pub struct Counting;

fn count() {
    // The thread-local is no longer accessible while the thread exits.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every method forwards its arguments to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Whether the host reports the allocations of a library by [`count_allocation`].
static FROM_OUTSIDE: AtomicBool = AtomicBool::new(false);

/// Declares that the host reports the allocations of a library by [`count_allocation`] from now on.
#[doc(hidden)]
pub fn count_from_outside() {
    FROM_OUTSIDE.store(true, Ordering::Relaxed);
}

/// Counts an allocation of the library on this thread.
#[doc(hidden)]
pub fn count_allocation() {
    count();
}

/// The number of allocations of this thread, by who counted them.
pub enum Allocations {
    /// Counted by the crate's global allocator, [`Counting`].
    Counted(u64),
    /// Counted by the host, which observes the calls of a library to the system allocator.
    FromOutside(u64),
    /// Not counted.
    Unknown,
}

/// Runs `f` and counts the allocations of this thread meanwhile.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Allocations) {
    let before = COUNT.get();
    // A test allocation shows whether `Counting` is the global allocator.
    drop(std::hint::black_box(Box::new(0_u8)));
    let start = COUNT.get();
    let result = f();
    let count = COUNT.get() - start;
    let allocations = match start > before {
        true => Allocations::Counted(count),
        false if FROM_OUTSIDE.load(Ordering::Relaxed) => Allocations::FromOutside(count),
        false => Allocations::Unknown,
    };
    (result, allocations)
}
