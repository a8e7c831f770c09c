//! How much memory is asked for, where the crate under test counts it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
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

/// How often this thread asked for memory while `f` ran; none where nobody counts.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Option<u64>) {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(0_u8)));
    let counting = COUNT.get() > before;
    let start = COUNT.get();
    let result = f();
    let asked = COUNT.get() - start;
    (result, counting.then_some(asked))
}
