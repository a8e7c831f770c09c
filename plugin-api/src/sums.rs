//! Terms, their sums, and results of sums: the numbers of a [`SumMetric`](crate::metric::SumMetric).

use crate::{walk::Each, Real, Row};

/// How the terms of a [`SumMetric`](crate::metric::SumMetric) are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumLayout {
    /// The unit for which terms are computed.
    pub each: Each,
    /// The number of bins of each sum; 1: there are no bins.
    pub bins: usize,
    /// Whether each column of `y_pred` has sums of its own. The unit is then [`Each::Element`], and the inputs have two
    /// axes.
    pub by_column: bool,
    /// The number of bins or columns that have a result, from the first; `None`: all.
    pub result_length: Option<usize>,
}

impl SumLayout {
    /// Creates a layout without bins.
    pub const fn new(each: Each) -> Self {
        SumLayout { each, bins: 1, by_column: false, result_length: None }
    }

    /// Adds bins, of which there are at most 2^24.
    pub const fn with_bins(self, bins: usize) -> Self {
        SumLayout { bins, ..self }
    }
}

/// A number that is added to a sum.
#[derive(Clone, Copy, Debug)]
pub struct Term<R> {
    pub(crate) value: R,
    pub(crate) bin: Option<R>,
}

impl<R: Real> Term<R> {
    /// Creates a term of a sum with bins. A bin that is no whole number from 0 to the number of bins is ignored, with its
    /// value.
    #[inline(always)]
    pub fn in_bin(bin: R, value: R) -> Self {
        Term { value, bin: Some(bin) }
    }
}

impl<R: Real> From<R> for Term<R> {
    /// Creates a term of a sum without bins.
    #[inline(always)]
    fn from(value: R) -> Self {
        Term { value, bin: None }
    }
}

/// The `K` sums of a [`SumMetric`](crate::metric::SumMetric): numbers, or rows of bins or columns.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a, R, const K: usize>([&'a [R]; K]);

/// One bin or column of each sum, among those before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Around<R, const K: usize> {
    /// The position, from 0.
    pub index: R,
    /// The totals of the bins before this one.
    pub before: [R; K],
    /// This bin.
    pub here: [R; K],
    /// The totals of the bins after this one.
    pub after: [R; K],
}

impl<'a, R: Real, const K: usize> Sums<'a, R, K> {
    /// Creates the sums from rows of equal lengths.
    pub fn new(sums: [&'a [R]; K]) -> Self {
        Sums(sums)
    }

    fn len(self) -> usize {
        self.0.iter().map(|sum| sum.len()).min().unwrap_or(0)
    }

    /// Returns the sums that are numbers.
    pub fn numbers(self) -> [R; K] {
        self.0.map(|sum| sum.first().copied().unwrap_or_else(|| R::from(0.0)))
    }

    /// Returns the bin or column at this position of each sum; NaN if there is none.
    pub fn get(self, position: usize) -> [R; K] {
        self.0.map(|sum| Row::new(sum).get(position))
    }

    /// Returns the number of bins or columns.
    pub fn count(self) -> R {
        R::row_len(self.len())
    }

    /// Returns the total over all bins or columns of each sum.
    pub fn totals(self) -> [R; K] {
        self.0.map(|sum| Row::new(sum).sum(|x| x))
    }

    /// Returns the sum of a number over all bins or columns.
    pub fn sum(self, term: impl Fn([R; K]) -> R) -> R {
        self.map(term).into_iter().fold(R::from(0.0), |sum, term| sum + term).row_sum()
    }

    /// Returns the greatest number of all bins or columns; NaN if one is NaN.
    pub fn max(self, term: impl Fn([R; K]) -> R) -> R {
        greatest(self.map(term))
    }

    /// Returns a number for each bin or column as the result.
    pub fn each(self, number: impl Fn([R; K]) -> R) -> SumResult<R> {
        SumResult { numbers: self.map(number), is_array: true, is_undefined: None }
    }

    /// Does the same as [`sum`](Self::sum) for a number that depends on the totals around each bin.
    pub fn sum_around(self, term: impl Fn(Around<R, K>) -> R) -> R {
        self.map_around(term).into_iter().fold(R::from(0.0), |sum, term| sum + term).row_sum()
    }

    /// Does the same as [`max`](Self::max) for a number that depends on the totals around each bin.
    pub fn max_around(self, term: impl Fn(Around<R, K>) -> R) -> R {
        greatest(self.map_around(term))
    }

    /// Does the same as [`each`](Self::each) for a number that depends on the totals around each bin.
    pub fn each_around(self, number: impl Fn(Around<R, K>) -> R) -> SumResult<R> {
        SumResult { numbers: self.map_around(number), is_array: true, is_undefined: None }
    }

    fn map(self, number: impl Fn([R; K]) -> R) -> Vec<R> {
        (0..self.len()).map(|i| number(self.0.map(|sum| sum[i]))).collect()
    }

    fn map_around(self, number: impl Fn(Around<R, K>) -> R) -> Vec<R> {
        let before = self.0.map(|sum| R::row_partial_sums(sum, false));
        let after = self.0.map(|sum| R::row_partial_sums(sum, true));
        let at = |i: usize| Around {
            index: R::row_index(i),
            before: std::array::from_fn(|k| before[k][i]),
            here: self.0.map(|sum| sum[i]),
            after: std::array::from_fn(|k| after[k][i]),
        };
        (0..self.len()).map(|i| number(at(i))).collect()
    }
}

fn greatest<R: Real>(numbers: Vec<R>) -> R {
    numbers.into_iter().fold(R::from(f64::NEG_INFINITY), |most, number| number.max(most)).row_max()
}

/// The result of a [`SumMetric`](crate::metric::SumMetric): one number, or one for each bin or column.
#[derive(Clone, Debug)]
pub struct SumResult<R: Real> {
    pub(crate) numbers: Vec<R>,
    pub(crate) is_array: bool,
    pub(crate) is_undefined: Option<R::Mask>,
}

impl<R: Real> From<R> for SumResult<R> {
    fn from(number: R) -> Self {
        SumResult { numbers: vec![number], is_array: false, is_undefined: None }
    }
}

impl<R: Real> SumResult<R> {
    /// Returns `numerator / denominator`, which is undefined if the denominator is 0.
    pub fn ratio(numerator: R, denominator: R) -> Self {
        SumResult::from(numerator / denominator).undefined_if(denominator.eq(R::from(0.0)))
    }

    /// Makes the result undefined where the mask holds.
    #[must_use]
    pub fn undefined_if(self, mask: R::Mask) -> Self {
        SumResult { is_undefined: Some(mask), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plain;

    #[test]
    fn partial_sums_exclude_the_bin_itself() {
        let (a, b) = ([1.0, 2.0, 4.0].map(Plain), [0.5; 3].map(Plain));
        let sums = Sums::new([&a[..], &b[..]]);
        let around = |number: fn(Around<Plain<f64>, 2>) -> Plain<f64>| sums.map_around(number);
        assert_eq!(around(|bin| bin.before[0]), [0.0, 1.0, 3.0].map(Plain));
        assert_eq!(around(|bin| bin.after[0]), [6.0, 4.0, 0.0].map(Plain));
        assert_eq!(around(|bin| bin.here[1]), [0.5; 3].map(Plain));
        assert_eq!(around(|bin| bin.index), [0.0, 1.0, 2.0].map(Plain));
        assert_eq!(sums.totals(), [7.0, 1.5].map(Plain));
        assert_eq!(sums.count(), Plain(3.0));
    }
}
