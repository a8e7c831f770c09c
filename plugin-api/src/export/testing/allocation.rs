//! How often memory is asked for, where the crate under test counts it, or the host.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting. With it a crate's own test sees what a metric's update allocates:
///
/// ```
/// #[cfg(test)]
/// #[global_allocator]
/// static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;
/// ```
pub struct Counting;

fn count() {
    // While a thread ends there is nothing to count in.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: the system's allocator, which is asked as the caller asked.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Whether what a library asks for is told by [`asked_from_outside`].
static FROM_OUTSIDE: AtomicBool = AtomicBool::new(false);

/// From now on [`asked_from_outside`] tells of a library's memory, which can't count for itself.
#[doc(hidden)]
pub fn count_from_outside() {
    FROM_OUTSIDE.store(true, Ordering::Relaxed);
}

/// The library asked for memory, on this thread.
#[doc(hidden)]
pub fn asked_from_outside() {
    count();
}

/// How often this thread asked for memory, as whoever counts saw it.
pub enum Asked {
    /// By the crate's own allocator, [`Counting`].
    Counted(u64),
    /// By the host, which sees what a library asks of the system.
    FromOutside(u64),
    /// Nobody counts.
    Unknown,
}

/// What this thread asked for while `f` ran.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Asked) {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(0_u8)));
    let start = COUNT.get();
    let result = f();
    let asked = COUNT.get() - start;
    let told = match start > before {
        true => Asked::Counted(asked),
        false if FROM_OUTSIDE.load(Ordering::Relaxed) => Asked::FromOutside(asked),
        false => Asked::Unknown,
    };
    (result, told)
}
