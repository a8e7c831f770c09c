//! Aligns the ranks of shapes and broadcasts them like Keras, without allocating.

use std::fmt;

use crate::{Error, Result};

/// The maximum number of axes.
pub(super) const MAX_RANK: usize = 8;

/// A shape on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    lengths: [i64; MAX_RANK],
    rank: usize,
}

impl Shape {
    pub fn new(lengths: &[i64], name: &str) -> Result<Self> {
        if lengths.len() > MAX_RANK {
            let message = format!("{name} has {} axes, and at most {MAX_RANK} are supported", lengths.len());
            return Err(Error::usage(message));
        }
        let mut shape = Shape { lengths: [1; MAX_RANK], rank: lengths.len() };
        shape.lengths[..lengths.len()].copy_from_slice(lengths);
        Ok(shape)
    }

    pub fn lengths(&self) -> &[i64] {
        &self.lengths[..self.rank]
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    pub fn count(&self) -> usize {
        self.lengths().iter().map(|&length| length as usize).product()
    }

    /// Appends axes of length 1 up to this rank.
    pub fn padded(mut self, rank: usize) -> Self {
        while self.rank < rank.min(MAX_RANK) {
            self.lengths[self.rank] = 1;
            self.rank += 1;
        }
        self
    }

    fn pop(&mut self) {
        self.rank = self.rank.saturating_sub(1);
        self.lengths[self.rank] = 1;
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lengths().fmt(f)
    }
}

/// Makes ranks equal that differ by one, if the longer shape ends in 1: a shorter shape of rank 1 gets another axis of
/// length 1; otherwise the last axis of the longer shape is dropped. All other shapes stay unchanged.
pub(super) fn squeeze_or_expand_to_same_rank(first: &mut Shape, second: &mut Shape) {
    let (longer, shorter) = if first.rank > second.rank { (first, second) } else { (second, first) };
    if longer.rank == shorter.rank + 1 && longer.lengths().last() == Some(&1) {
        if shorter.rank == 1 {
            *shorter = shorter.padded(2);
        } else {
            longer.pop();
        }
    }
}

/// Returns the shape that both broadcast to, aligned at the last axis; `None` if they don't broadcast.
pub(super) fn common(first: &Shape, second: &Shape) -> Option<Shape> {
    let rank = first.rank.max(second.rank);
    let mut shape = Shape { lengths: [1; MAX_RANK], rank };
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
pub(super) fn walk<const K: usize>(large: &Shape, small: [&Shape; K], mut f: impl FnMut(usize, [usize; K])) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(lengths: &[i64]) -> Shape {
        Shape::new(lengths, "a test's").expect("few axes")
    }

    #[test]
    fn ranks_are_made_equal_as_in_keras() {
        for (a, b, want) in [
            (&[5][..], &[5, 1][..], (&[5, 1][..], &[5, 1][..])),
            (&[2, 3], &[2, 3, 1], (&[2, 3], &[2, 3])),
            (&[5], &[5, 2], (&[5], &[5, 2])),
            (&[], &[1], (&[], &[])),
            (&[4, 3], &[4, 3], (&[4, 3], &[4, 3])),
        ] {
            let (mut first, mut second) = (shape(a), shape(b));
            squeeze_or_expand_to_same_rank(&mut first, &mut second);
            assert_eq!((first.lengths(), second.lengths()), want);
            let (mut first, mut second) = (shape(a), shape(b));
            squeeze_or_expand_to_same_rank(&mut second, &mut first);
            assert_eq!((first.lengths(), second.lengths()), want);
        }
    }

    #[test]
    fn walk_visits_broadcast_elements() {
        let large = common(&shape(&[3, 1]), &shape(&[2, 1, 2])).expect("they broadcast");
        assert_eq!(large.lengths(), [2, 3, 2]);
        let mut places = Vec::new();
        walk(&large, [&shape(&[3, 1]), &shape(&[2, 1, 2])], |_, place| places.push(place));
        let want = [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2].into_iter().zip([0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]);
        assert_eq!(places, want.map(|(a, b)| [a, b]).collect::<Vec<_>>());
        let mut once = 0;
        walk(&shape(&[]), [&shape(&[])], |_, _| once += 1);
        walk(&shape(&[0, 3]), [&shape(&[])], |_, _| once += 1);
        assert_eq!(once, 1);
        assert!(common(&shape(&[2]), &shape(&[3])).is_none());
    }
}
