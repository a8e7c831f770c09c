//! Shapes on the stack: Keras's rank matching, and broadcasting without allocation.

use crate::{Error, Result};

/// The maximum rank. NumPy's limit is 64, but shapes of that size would be copied for every batch, and tensors in
/// training have fewer axes.
pub(crate) const MAX_RANK: usize = 8;

/// A shape on the stack.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    lengths: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    pub(crate) fn new(shape: &[i64], name: &str) -> Result<Self> {
        if shape.len() > MAX_RANK {
            return Err(Error::input(format!("{name} has {} axes; at most {MAX_RANK} are supported", shape.len())));
        }
        let mut lengths = [0; MAX_RANK];
        for (length, &n) in lengths.iter_mut().zip(shape) {
            *length = n as usize;
        }
        Ok(Shape { lengths, rank: shape.len() })
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths[..self.rank]
    }

    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    pub(crate) fn count(&self) -> usize {
        self.lengths().iter().product()
    }

    pub(crate) fn last(&self) -> Option<usize> {
        self.lengths().last().copied()
    }

    pub(crate) fn push(&mut self, length: usize) {
        if self.rank < MAX_RANK {
            self.lengths[self.rank] = length;
            self.rank += 1;
        }
    }

    pub(crate) fn pop(&mut self) {
        self.rank = self.rank.saturating_sub(1);
        self.lengths[self.rank] = 0;
    }

    pub(crate) fn without(mut self, axis: usize) -> Self {
        self.lengths.copy_within(axis + 1..self.rank, axis);
        self.pop();
        self
    }

    pub(crate) fn to_vec(self) -> Vec<i64> {
        self.lengths().iter().map(|&length| length as i64).collect()
    }

    /// Returns the index of an axis, which counts from the end if it is negative.
    pub(crate) fn axis(&self, axis: i64, name: &str) -> Result<usize> {
        let rank = self.rank as i64;
        let index = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&index) {
            Ok(index as usize)
        } else {
            Err(Error::input(format!("{name} of shape {self:?} has no axis {axis}")))
        }
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lengths().fmt(f)
    }
}

/// Matches the ranks as Keras does. If the ranks differ by one and the longer shape ends in 1, this axis is removed, or
/// added to the shorter shape if that has rank 1.
pub(crate) fn squeeze_or_expand_to_same_rank(first: &mut Shape, second: &mut Shape) {
    fn match_ranks(longer: &mut Shape, shorter: &mut Shape) {
        if longer.rank() == shorter.rank() + 1 && longer.last() == Some(1) {
            if shorter.rank() == 1 {
                shorter.push(1);
            } else {
                longer.pop();
            }
        }
    }
    if first.rank() > second.rank() {
        match_ranks(first, second);
    } else {
        match_ranks(second, first);
    }
}

/// Maps an index in a larger array to the index of the broadcast element in a smaller one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broadcast {
    lengths: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
    rank: usize,
    /// If only trailing axes are broadcast, the index is `flat / divisor`.
    divisor: Option<usize>,
}

impl Broadcast {
    /// Aligns the shapes at the last axis, as NumPy does. Returns `None` if `small` doesn't broadcast to `large`.
    #[inline]
    pub(crate) fn from_the_right(small: &Shape, large: &Shape) -> Option<Self> {
        let missing = large.rank().checked_sub(small.rank())?;
        let mut padded = [1; MAX_RANK];
        padded[missing..large.rank()].copy_from_slice(small.lengths());
        Self::new(&padded[..large.rank()], large.lengths())
    }

    /// Aligns the shapes at the first axis: weights of shape `[N]` belong to the rows of `[N, T]`. Returns `None` if
    /// `small` doesn't broadcast to `large`.
    pub(crate) fn from_the_left(small: &Shape, large: &Shape) -> Option<Self> {
        let mut padded = [1; MAX_RANK];
        padded.get_mut(..small.rank()).filter(|_| small.rank() <= large.rank())?.copy_from_slice(small.lengths());
        Self::new(&padded[..large.rank()], large.lengths())
    }

    #[inline]
    fn new(small: &[usize], large: &[usize]) -> Option<Self> {
        let rank = large.len();
        let (mut lengths, mut strides) = ([1; MAX_RANK], [0; MAX_RANK]);
        let mut stride = 1;
        for i in (0..rank).rev() {
            lengths[i] = large[i];
            if small[i] == large[i] {
                strides[i] = stride;
                stride *= small[i];
            } else if small[i] != 1 {
                return None;
            }
        }
        // The fast path applies if the leading axes are equal and all others are broadcast.
        let equal = (0..rank).take_while(|&i| small[i] == large[i]).count();
        let divisor = small[equal..].iter().all(|&n| n == 1).then(|| large[equal..].iter().product::<usize>().max(1));
        Some(Broadcast { lengths, strides, rank, divisor })
    }

    /// Returns the index in the smaller array.
    #[inline]
    pub(crate) fn place(&self, flat: usize) -> usize {
        if let Some(divisor) = self.divisor {
            return if divisor == 1 { flat } else { flat / divisor };
        }
        let (mut rest, mut place) = (flat, 0);
        for i in (0..self.rank).rev() {
            place += rest % self.lengths[i] * self.strides[i];
            rest /= self.lengths[i];
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(lengths: &[i64]) -> Shape {
        Shape::new(lengths, "test").unwrap()
    }

    #[test]
    fn ranks_are_matched_as_in_keras() {
        for (first, second, expected) in [
            (&[4][..], &[4, 1][..], (&[4, 1][..], &[4, 1][..])),
            (&[4, 1], &[4], (&[4, 1], &[4, 1])),
            (&[4, 3], &[4, 3, 1], (&[4, 3], &[4, 3])),
            (&[4], &[4, 3], (&[4], &[4, 3])),
        ] {
            let (mut a, mut b) = (shape(first), shape(second));
            squeeze_or_expand_to_same_rank(&mut a, &mut b);
            assert_eq!((a.to_vec().as_slice(), b.to_vec().as_slice()), expected);
        }
    }

    #[test]
    fn broadcasting_selects_the_same_element_as_numpy() {
        let right = Broadcast::from_the_right(&shape(&[3, 1]), &shape(&[2, 3, 2])).unwrap();
        assert_eq!((0..12).map(|i| right.place(i)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        let left = Broadcast::from_the_left(&shape(&[2]), &shape(&[2, 3])).unwrap();
        assert_eq!((0..6).map(|i| left.place(i)).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        let middle = Broadcast::from_the_left(&shape(&[2, 1, 2]), &shape(&[2, 2, 2])).unwrap();
        assert_eq!((0..8).map(|i| middle.place(i)).collect::<Vec<_>>(), [0, 1, 0, 1, 2, 3, 2, 3]);
        assert!(Broadcast::from_the_left(&shape(&[3]), &shape(&[2, 3])).is_none());
    }
}
