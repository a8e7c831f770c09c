//! Shapes on the stack: Keras's rank matching, and broadcasting without allocation, for plug-ins and hosts.

use crate::{Error, Result};

/// The maximum rank. NumPy's limit is 64, but shapes of that size would be copied for every batch, and tensors in
/// training have fewer axes.
pub const MAX_RANK: usize = 8;

/// A shape on the stack.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// The lengths of the axes, then zeros.
    lengths: [i64; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// Creates a shape, or returns `None` if it has more than [`MAX_RANK`] axes.
    pub fn of(shape: &[i64]) -> Option<Self> {
        let mut lengths = [0; MAX_RANK];
        lengths.get_mut(..shape.len())?.copy_from_slice(shape);
        Some(Shape { lengths, rank: shape.len() })
    }

    pub(crate) fn new(shape: &[i64], name: &str) -> Result<Self> {
        let too_many = || format!("{name} has {} axes; at most {MAX_RANK} are supported", shape.len());
        Self::of(shape).ok_or_else(|| Error::input(too_many()))
    }

    pub fn lengths(&self) -> &[i64] {
        &self.lengths[..self.rank]
    }

    pub(crate) fn length(&self, axis: usize) -> usize {
        self.lengths()[axis] as usize
    }

    /// Changes the length of an axis, if there is one.
    pub(crate) fn set_length(&mut self, axis: usize, length: usize) {
        if axis < self.rank {
            self.lengths[axis] = length as i64;
        }
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    pub fn count(&self) -> usize {
        self.count_from(0)
    }

    /// Returns the product of the lengths from this axis on.
    pub(crate) fn count_from(&self, axis: usize) -> usize {
        self.lengths().iter().skip(axis).map(|&length| length as usize).product()
    }

    pub(crate) fn last(&self) -> Option<usize> {
        self.lengths().last().map(|&length| length as usize)
    }

    /// Appends axes of length 1 up to this rank.
    pub fn padded(mut self, rank: usize) -> Self {
        let rank = rank.clamp(self.rank, MAX_RANK);
        self.lengths[self.rank..rank].fill(1);
        self.rank = rank;
        self
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
pub fn squeeze_or_expand_to_same_rank(first: &mut Shape, second: &mut Shape) {
    let (longer, shorter) = if first.rank > second.rank { (first, second) } else { (second, first) };
    if longer.rank == shorter.rank + 1 && longer.last() == Some(1) {
        if shorter.rank == 1 {
            *shorter = shorter.padded(2);
        } else {
            longer.pop();
        }
    }
}

/// Returns the shape that both broadcast to, aligned at the last axis; `None` if they don't broadcast.
pub fn common(first: &Shape, second: &Shape) -> Option<Shape> {
    let rank = first.rank.max(second.rank);
    let mut shape = Shape { lengths: [0; MAX_RANK], rank };
    for i in 0..rank {
        let length = |shape: &Shape| (i + shape.rank).checked_sub(rank).map_or(1, |i| shape.lengths[i]);
        shape.lengths[i] = match (length(first), length(second)) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return None,
        };
    }
    Some(shape)
}

/// Calls `f` for each element of `large` in C order, with its index and the indices of the corresponding elements in
/// arrays that broadcast to `large`, aligned at the last axis.
pub fn for_each_broadcast<const K: usize>(large: &Shape, small: [&Shape; K], mut f: impl FnMut(usize, [usize; K])) {
    let rank = large.rank;
    let mut strides = [[0_usize; MAX_RANK]; K];
    for (strides, small) in strides.iter_mut().zip(small) {
        let missing = rank.saturating_sub(small.rank);
        let mut stride = 1;
        for axis in (missing..rank).rev() {
            let length = small.lengths[axis - missing] as usize;
            strides[axis] = if length == 1 { 0 } else { stride };
            stride *= length;
        }
    }
    let mut index = [0_usize; MAX_RANK];
    let mut at = [0_usize; K];
    for flat in 0..large.count() {
        f(flat, at);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            at.iter_mut().zip(&strides).for_each(|(at, strides)| *at += strides[axis]);
            if index[axis] < large.lengths[axis] as usize {
                break;
            }
            at.iter_mut().zip(&strides).for_each(|(at, strides)| *at -= strides[axis] * index[axis]);
            index[axis] = 0;
        }
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
    fn new(small: &[i64], large: &[i64]) -> Option<Self> {
        let rank = large.len();
        let (mut lengths, mut strides) = ([1; MAX_RANK], [0; MAX_RANK]);
        let mut stride = 1;
        for i in (0..rank).rev() {
            lengths[i] = large[i] as usize;
            if small[i] == large[i] {
                strides[i] = stride;
                stride *= small[i] as usize;
            } else if small[i] != 1 {
                return None;
            }
        }
        // The fast path applies if the leading axes are equal and all others are broadcast.
        let equal = (0..rank).take_while(|&i| small[i] == large[i]).count();
        let divisor =
            small[equal..].iter().all(|&n| n == 1).then(|| large[equal..].iter().product::<i64>().max(1) as usize);
        Some(Broadcast { lengths, strides, rank, divisor })
    }

    /// Returns whether each index is mapped to itself.
    pub(crate) fn is_identity(&self) -> bool {
        self.divisor == Some(1)
    }

    /// Returns the index in the smaller array.
    #[inline]
    pub(crate) fn index(&self, flat: usize) -> usize {
        if let Some(divisor) = self.divisor {
            return if divisor == 1 { flat } else { flat / divisor };
        }
        let (mut rest, mut index) = (flat, 0);
        for i in (0..self.rank).rev() {
            index += rest % self.lengths[i] * self.strides[i];
            rest /= self.lengths[i];
        }
        index
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
            (&[], &[1], (&[], &[])),
            (&[4, 3], &[4, 3], (&[4, 3], &[4, 3])),
        ] {
            let (mut a, mut b) = (shape(first), shape(second));
            squeeze_or_expand_to_same_rank(&mut a, &mut b);
            assert_eq!((a.lengths(), b.lengths()), expected);
        }
    }

    #[test]
    fn broadcasting_selects_the_same_element_as_numpy() {
        let right = Broadcast::from_the_right(&shape(&[3, 1]), &shape(&[2, 3, 2])).unwrap();
        assert_eq!((0..12).map(|i| right.index(i)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        let left = Broadcast::from_the_left(&shape(&[2]), &shape(&[2, 3])).unwrap();
        assert_eq!((0..6).map(|i| left.index(i)).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        let middle = Broadcast::from_the_left(&shape(&[2, 1, 2]), &shape(&[2, 2, 2])).unwrap();
        assert_eq!((0..8).map(|i| middle.index(i)).collect::<Vec<_>>(), [0, 1, 0, 1, 2, 3, 2, 3]);
        assert!(Broadcast::from_the_left(&shape(&[3]), &shape(&[2, 3])).is_none());
    }
    #[test]
    fn every_element_is_visited_with_its_broadcast_elements() {
        let large = common(&shape(&[3, 1]), &shape(&[2, 1, 2])).unwrap();
        assert_eq!(large.lengths(), [2, 3, 2]);
        let mut places = Vec::new();
        for_each_broadcast(&large, [&shape(&[3, 1]), &shape(&[2, 1, 2])], |_, place| places.push(place));
        let want = [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2].into_iter().zip([0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]);
        assert_eq!(places, want.map(|(a, b)| [a, b]).collect::<Vec<_>>());
        let mut once = 0;
        for_each_broadcast(&shape(&[]), [&shape(&[])], |_, _| once += 1);
        for_each_broadcast(&shape(&[0, 3]), [&shape(&[])], |_, _| once += 1);
        assert_eq!(once, 1);
        assert!(common(&shape(&[2]), &shape(&[3])).is_none());
    }
}
