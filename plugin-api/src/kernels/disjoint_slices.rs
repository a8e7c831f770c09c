//! A mutable slice whose disjoint parts are written by several tasks.

use std::{marker::PhantomData, ops::Range};

/// A mutable slice that can be shared between threads, each of which borrows a different part.
pub(crate) struct DisjointSlices<'a, T> {
    start: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: the type stands for `&mut [T]`, whose disjoint parts may be sent to different threads if `T: Send`.
unsafe impl<T: Send> Send for DisjointSlices<'_, T> {}
// SAFETY: as above; callers of `part` guarantee that the parts are disjoint.
unsafe impl<T: Send> Sync for DisjointSlices<'_, T> {}

impl<'a, T> DisjointSlices<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        DisjointSlices { start: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData }
    }

    /// Borrows a part of the slice.
    ///
    /// # Safety
    /// No two parts that are borrowed at the same time may overlap.
    ///
    /// # Panics
    /// Panics if `range` is outside of the slice.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part outside of its slice");
        // SAFETY: the assertion checks the bounds, and the caller guarantees that parts are disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
