//! Class ids in a formula.

use super::Real;

/// The id of a class: the position of an element in a row.
#[derive(Clone, Copy, Debug)]
pub struct ClassId<R> {
    index: usize,
    number: R,
}

impl<R: Real> ClassId<R> {
    /// Creates the id of the class at this position.
    #[inline(always)]
    pub fn new(index: usize) -> Self {
        ClassId { index, number: R::from(index as f64) }
    }

    #[inline(always)]
    pub(crate) fn of(index: usize, number: R) -> Self {
        ClassId { index, number }
    }

    /// Returns the position.
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        self.index
    }

    /// Returns the id as a number.
    #[inline(always)]
    pub fn number(self) -> R {
        self.number
    }
}
