//! Arrays that a batch needs for itself.

use crate::Element;
use std::{
    cell::RefCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    slice,
};

/// As many as one batch has at a time.
const MOST: usize = 8;
const WORD: usize = size_of::<u64>();
/// In words. To ask for more costs little beside filling it, and it would be kept for ever.
const LARGEST: usize = (64 << 20) / WORD;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// An array that a batch needs for itself.
///
/// Its memory is kept by the thread, until that ends, for the arrays of the next batch, so that an update allocates in its first batches
/// only: if it has at most eight at a time, of up to 64 MiB each.
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
    /// An array of this length, with whatever numbers were there.
    ///
    /// # Panics
    /// More bytes than a `usize` counts.
    pub fn of_length(length: usize) -> Self {
        let wanted = length.checked_mul(size_of::<F>()).expect("an array fits into memory").div_ceil(WORD);
        if wanted > LARGEST {
            return Scratch { words: vec![0; wanted], length, elements: PhantomData };
        }
        // The smallest that is large enough, else the largest.
        let fit = |words: &Vec<u64>| match words.len().checked_sub(wanted) {
            Some(over) => (false, over),
            None => (true, wanted - words.len()),
        };
        let taken = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let best = (0..kept.len()).min_by_key(|&i| fit(&kept[i]))?;
            Some(kept.swap_remove(best))
        });
        // While a thread ends nothing is kept.
        let mut words = taken.ok().flatten().unwrap_or_default();
        if words.len() < wanted {
            words.reserve_exact(wanted - words.len());
            words.resize(wanted, 0);
        }
        Scratch { words, length, elements: PhantomData }
    }

    /// The array of these.
    pub fn of(values: impl ExactSizeIterator<Item = F>) -> Self {
        let mut array = Self::of_length(values.len());
        array.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        array
    }
}

impl<F> Drop for Scratch<F> {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.words);
        if words.capacity() <= LARGEST {
            let _ = KEPT.try_with(|kept| {
                let mut kept = kept.borrow_mut();
                if kept.len() < MOST {
                    kept.push(words);
                }
            });
        }
    }
}

impl<F: Element> Deref for Scratch<F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        // SAFETY: the words are initialized, hold `length` elements, and are aligned for every element; any bits are an `Element`.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast(), self.length) }
    }
}

impl<F: Element> DerefMut for Scratch<F> {
    fn deref_mut(&mut self) -> &mut [F] {
        // SAFETY: as above, and borrowed for this alone.
        unsafe { slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.length) }
    }
}

/// Elements as they were given, or made for this batch.
pub(crate) enum Elements<'a, F> {
    Given(&'a [F]),
    Made(Scratch<F>),
}

impl<F: Element> Deref for Elements<'_, F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        match self {
            Elements::Given(elements) => elements,
            Elements::Made(elements) => elements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_lent_again() {
        let places = |count: usize| Scratch::of((0..count).map(|i| (i * i) as u64));
        let first = places(100).as_ptr();
        let again = places(99);
        let beside = places(99);
        assert!(again.as_ptr() == first && beside.as_ptr() != first);
        drop((again, beside));
        assert_eq!(&*places(4), [0, 1, 4, 9]);
    }

    #[test]
    fn an_array_of_none_is_empty() {
        assert!(Scratch::<f64>::of_length(0).is_empty());
    }
}
