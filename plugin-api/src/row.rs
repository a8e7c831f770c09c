//! Rows of numbers in a formula.

use crate::{real::ClassId, row_kernels as kernels, Real};

/// The elements of a row, for a formula that reduces them: their sum, their maximum, the element of a class.
///
/// A formula can't iterate over the elements, because a recorded formula has one element that stands for all.
/// NaN in a row makes every sum, mean and maximum NaN.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, R>(&'a [R]);

/// Two rows of the same length, element by element.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a, R>(Row<'a, R>, Row<'a, R>);

impl<'a, R: Real> Row<'a, R> {
    /// Creates a row of these elements.
    #[inline(always)]
    pub fn new(elements: &'a [R]) -> Self {
        Row(elements)
    }

    /// Returns the elements. In a recorded formula it is one element that stands for all.
    #[doc(hidden)]
    #[inline(always)]
    pub fn elements(self) -> &'a [R] {
        self.0
    }

    /// Returns the number of elements.
    #[inline(always)]
    pub fn count(self) -> R {
        R::row_len(self.0.len())
    }

    /// Returns the sum of a term over the elements.
    #[inline(always)]
    pub fn sum(self, term: impl Fn(R) -> R) -> R {
        kernels::sum!(self.0, |x| term(x))
    }

    /// Returns the mean of a term over the elements.
    #[inline(always)]
    pub fn mean(self, term: impl Fn(R) -> R) -> R {
        self.sum(term) / self.count()
    }

    /// Returns the greatest term of an element; minus infinity for an empty row.
    #[inline(always)]
    pub fn max(self, term: impl Fn(R) -> R) -> R {
        kernels::greatest!(self.0, |x| term(x))
    }

    /// Returns the logarithm of the sum of exponentials, without overflow.
    #[inline(always)]
    pub fn log_sum_exp(self) -> R {
        let most = self.max(|x| x).detach();
        most + self.sum(|x| (x - most).exp()).ln()
    }

    /// Returns the element of a class; NaN if the row has no such class.
    #[inline(always)]
    pub fn at(self, class: ClassId<R>) -> R {
        R::row_at(self.0, class)
    }

    /// Returns the element at a constant position, for rows whose columns have different meanings; NaN if the row is
    /// shorter.
    #[inline(always)]
    pub fn get(self, position: usize) -> R {
        self.at(ClassId::new(position))
    }

    /// Returns the position of the first greatest element, from 0; NaN if an element is NaN.
    #[inline(always)]
    pub fn argmax(self) -> R {
        R::row_argmax(self.0)
    }

    /// Returns the element of a row that has one element, as that of a metric of elements.
    #[inline(always)]
    pub fn single(self) -> R {
        self.0[0]
    }

    /// Returns the element of a row that has one element, as a class id.
    #[inline(always)]
    pub fn class_id(self) -> ClassId<R> {
        self.0[0].to_class_id()
    }

    /// Combines two rows element by element.
    #[inline(always)]
    pub fn zip(self, other: Row<'a, R>) -> Pairs<'a, R> {
        Pairs(self, other)
    }
}

impl<R: Real> Pairs<'_, R> {
    /// Returns the sum of a term over the pairs.
    #[inline(always)]
    pub fn sum(self, term: impl Fn(R, R) -> R) -> R {
        kernels::sum!(self.0 .0, self.1 .0, |x, y| term(x, y))
    }

    /// Returns the mean of a term over the pairs.
    #[inline(always)]
    pub fn mean(self, term: impl Fn(R, R) -> R) -> R {
        self.sum(term) / self.0.count()
    }

    /// Returns the greatest term of a pair; minus infinity for empty rows.
    #[inline(always)]
    pub fn max(self, term: impl Fn(R, R) -> R) -> R {
        kernels::greatest!(self.0 .0, self.1 .0, |x, y| term(x, y))
    }
}
