//! A slice that several tasks write disjoint parts of.

use std::{marker::PhantomData, ops::Range};

pub(crate) struct Pieces<'a, T> {
    start: *mut T,
    length: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for `&mut [T]`, whose disjoint parts may go to different threads when `T: Send`.
unsafe impl<T: Send> Send for Pieces<'_, T> {}
// SAFETY: as above; `part` promises disjointness.
unsafe impl<T: Send> Sync for Pieces<'_, T> {}

impl<'a, T> Pieces<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Pieces { start: slice.as_mut_ptr(), length: slice.len(), life: PhantomData }
    }

    /// # Safety
    /// No two parts that live at the same time overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part outside of its slice");
        // SAFETY: in bounds by the assertion; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
