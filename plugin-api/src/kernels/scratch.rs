//! Temporary arrays for one batch, with memory that the thread reuses.

use crate::Element;
use std::{
    cell::RefCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    slice,
};

/// The number of unused arrays that a thread keeps.
const POOL_SIZE: usize = 8;
const WORD: usize = size_of::<u64>();
/// The largest array that a thread keeps, in words. For larger ones an allocation is cheap compared with filling them,
/// and a thread would keep their memory until it ends.
const MAX_WORDS: usize = (64 << 20) / WORD;

thread_local! {
    static POOL: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// A temporary array for one batch.
///
/// When the array is dropped, the thread keeps its memory for later arrays. An update therefore allocates only in a
/// thread's first batches, if it uses at most eight arrays at a time, of up to 64 MiB each.
///
/// ```
/// use plugfit_api::Scratch;
///
/// let mut line = Scratch::<f64>::of_length(3);
/// line.copy_from_slice(&[3.0, 1.0, 2.0]);
/// line.sort_by(f64::total_cmp);
/// assert_eq!(*line, [1.0, 2.0, 3.0]);
/// ```
pub struct Scratch<F> {
    words: Vec<u64>,
    length: usize,
    elements: PhantomData<F>,
}

impl<F: Element> Scratch<F> {
    /// Creates an array of this length. Its contents are unspecified.
    ///
    /// # Panics
    /// Panics if the size in bytes overflows `usize`.
    pub fn of_length(length: usize) -> Self {
        let needed = length.checked_mul(size_of::<F>()).expect("an array fits into memory").div_ceil(WORD);
        if needed > MAX_WORDS {
            return Scratch { words: vec![0; needed], length, elements: PhantomData };
        }
        // Best fit: the smallest array that is large enough, else the largest.
        let fit = |words: &Vec<u64>| match words.len().checked_sub(needed) {
            Some(over) => (false, over),
            None => (true, needed - words.len()),
        };
        let reused = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            let best = (0..pool.len()).min_by_key(|&i| fit(&pool[i]))?;
            Some(pool.swap_remove(best))
        });
        // The pool is gone while the thread ends.
        let mut words = reused.ok().flatten().unwrap_or_default();
        if words.len() < needed {
            words.reserve_exact(needed - words.len());
            words.resize(needed, 0);
        }
        Scratch { words, length, elements: PhantomData }
    }

    /// Creates an array from these values.
    pub fn of(values: impl ExactSizeIterator<Item = F>) -> Self {
        let mut array = Self::of_length(values.len());
        array.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        array
    }
}

impl<F> Drop for Scratch<F> {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.words);
        if words.capacity() <= MAX_WORDS {
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < POOL_SIZE {
                    pool.push(words);
                }
            });
        }
    }
}

impl<F: Element> Deref for Scratch<F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        // SAFETY: the words are initialised, hold `length` elements and are aligned for every `Element`. Every bit
        // pattern is a valid `Element`.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast(), self.length) }
    }
}

impl<F: Element> DerefMut for Scratch<F> {
    fn deref_mut(&mut self) -> &mut [F] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.length) }
    }
}

/// Elements that are borrowed from an input, or copied to a temporary array.
pub(crate) enum Elements<'a, F> {
    Borrowed(&'a [F]),
    Copied(Scratch<F>),
}

impl<F: Element> Deref for Elements<'_, F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        match self {
            Elements::Borrowed(elements) => elements,
            Elements::Copied(elements) => elements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused() {
        let places = |count: usize| Scratch::of((0..count).map(|i| (i * i) as u64));
        let first = places(100).as_ptr();
        let second = places(99);
        let third = places(99);
        assert!(second.as_ptr() == first && third.as_ptr() != first);
        drop((second, third));
        assert_eq!(&*places(4), [0, 1, 4, 9]);
    }

    #[test]
    fn an_array_of_length_0_is_empty() {
        assert!(Scratch::<f64>::of_length(0).is_empty());
    }
}
