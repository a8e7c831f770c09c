//! Sums and maxima over a row in 16 lanes, with bitwise equal results for every instruction set.
//!
//! [`Row`](crate::Row) has the same functions with closures. These are macros because a long closure isn't inlined into
//! the loops that the API compiles for each instruction set; it would use the baseline instructions.

use crate::{Plain, Real};

/// The number of float32 values in the widest vector registers.
pub const LANES: usize = 16;
/// The number of elements computed at once.
pub const BLOCK: usize = 64;

/// Runs a block of code for up to [`BLOCK`] elements of two rows at a time: `at` is the index of the first, `used`
/// their number. The slices are padded to a multiple of [`LANES`] with copies of their first element, so that no
/// element is computed by scalar code.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_block {
    ($first:expr, $second:expr, |$at:ident, $a:ident, $b:ident, $used:ident| $body:block) => {{
        let n = $first.len().min($second.len());
        let (first, second) = (&$first[..n], &$second[..n]);
        let mut next = 0;
        while next < n {
            let $at = next;
            let $used = $crate::row_kernels::BLOCK.min(n - $at);
            let whole = $used.next_multiple_of($crate::row_kernels::LANES);
            let (padded_a, padded_b);
            let ($a, $b) = if $used == whole {
                (&first[$at..$at + whole], &second[$at..$at + whole])
            } else {
                padded_a = $crate::row_kernels::padded(&first[$at..]);
                padded_b = $crate::row_kernels::padded(&second[$at..]);
                (&padded_a[..whole], &padded_b[..whole])
            };
            $body
            next += $used;
        }
    }};
}

/// Computes the sum of a term over two rows.
#[doc(hidden)]
#[macro_export]
macro_rules! __row_sum {
    ($first:expr, $second:expr, |$x:ident, $y:ident| $term:expr) => {{
        let zero = $crate::Real::from(0.0);
        let mut lanes = [zero; $crate::row_kernels::LANES];
        let mut terms = [zero; $crate::row_kernels::BLOCK];
        $crate::__for_each_block!($first, $second, |_at, a, b, used| {
            let (terms, b) = (&mut terms[..a.len()], &b[..a.len()]);
            for k in 0..a.len() {
                let ($x, $y) = (a[k], b[k]);
                terms[k] = $term;
            }
            $crate::row_kernels::add(&mut lanes, terms, used);
        });
        $crate::row_kernels::total(lanes)
    }};
    ($row:expr, |$x:ident| $term:expr) => {
        $crate::__row_sum!($row, $row, |$x, _y| $term)
    };
}

/// Computes the greatest term over two rows: NaN if any term is NaN, minus infinity for empty rows.
#[doc(hidden)]
#[macro_export]
macro_rules! __row_greatest {
    ($first:expr, $second:expr, |$x:ident, $y:ident| $term:expr) => {{
        let least = $crate::Real::from(f64::NEG_INFINITY);
        let mut lanes = [least; $crate::row_kernels::LANES];
        let mut terms = [least; $crate::row_kernels::BLOCK];
        $crate::__for_each_block!($first, $second, |_at, a, b, _used| {
            let (terms, b) = (&mut terms[..a.len()], &b[..a.len()]);
            for k in 0..a.len() {
                let ($x, $y) = (a[k], b[k]);
                terms[k] = $term;
            }
            $crate::row_kernels::lane_max(&mut lanes, terms);
        });
        $crate::row_kernels::max_lane(lanes)
    }};
    ($row:expr, |$x:ident| $term:expr) => {
        $crate::__row_greatest!($row, $row, |$x, _y| $term)
    };
}
pub use {__for_each_block as for_each_block, __row_greatest as greatest, __row_sum as sum};

/// Returns a row shorter than a block, padded with its first element.
#[inline(always)]
pub fn padded<T: Copy>(row: &[T]) -> [T; BLOCK] {
    let mut block = [row[0]; BLOCK];
    block[..row.len()].copy_from_slice(row);
    block
}

/// Adds the first `used` numbers to the lanes.
#[inline(always)]
pub fn add<R: Real>(lanes: &mut [R; LANES], numbers: &mut [R], used: usize) {
    numbers[used..].fill(R::from(0.0));
    for chunk in numbers.chunks_exact(LANES) {
        for k in 0..LANES {
            lanes[k] = lanes[k] + chunk[k];
        }
    }
}

/// Returns the sum of the lanes.
#[inline(always)]
pub fn total<R: Real>(lanes: [R; LANES]) -> R {
    let mut eight = [lanes[0]; 8];
    for k in 0..8 {
        eight[k] = lanes[k] + lanes[k + 8];
    }
    let sum = ((eight[0] + eight[4]) + (eight[2] + eight[6])) + ((eight[1] + eight[5]) + (eight[3] + eight[7]));
    // In a recorded formula, the row is one element that stands for all, and `sum` is its term.
    sum.row_sum()
}

/// Takes the maximum of each lane and the numbers.
#[inline(always)]
pub fn lane_max<R: Real>(lanes: &mut [R; LANES], numbers: &[R]) {
    for chunk in numbers.chunks_exact(LANES) {
        for k in 0..LANES {
            lanes[k] = lanes[k].max(chunk[k]);
        }
    }
}

/// Returns the greatest lane.
#[inline(always)]
pub fn max_lane<R: Real>(lanes: [R; LANES]) -> R {
    let mut eight = [lanes[0]; 8];
    for k in 0..8 {
        eight[k] = lanes[k].max(lanes[k + 8]);
    }
    let most = (eight[0].max(eight[4])).max(eight[2].max(eight[6]));
    most.max((eight[1].max(eight[5])).max(eight[3].max(eight[7]))).row_max()
}

/// Writes `exp(x - shift)` for each number of a row and returns the sum.
#[inline(always)]
pub fn write_exponentials(row: &[f32], shift: f32, target: &mut [f32]) -> f32 {
    let (mut lanes, mut terms) = ([Plain(0.0); LANES], [Plain(0.0); BLOCK]);
    for_each_block!(row, row, |at, x, _y, used| {
        let terms = &mut terms[..x.len()];
        for k in 0..x.len() {
            terms[k] = (Plain(x[k]) - Plain(shift)).exp();
        }
        for (target, term) in target[at..at + used].iter_mut().zip(&*terms) {
            *target = term.0;
        }
        add(&mut lanes, terms, used);
    });
    total(lanes).0
}

/// Returns the dot product of two vectors.
#[inline(always)]
pub fn dot(first: &[f32], second: &[f32]) -> f32 {
    let mut lanes = [Plain(0.0); LANES];
    let (mut a, mut b) = (first.chunks_exact(LANES), second.chunks_exact(LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for k in 0..LANES {
            lanes[k] = lanes[k] + Plain(a[k] * b[k]);
        }
    }
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    total(lanes).0 + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_rows_of_any_length_counts() {
        for n in 0..200usize {
            let row: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum!(row, |x| Plain(x)).0, (n * n.saturating_sub(1) / 2) as f32);
            let most = greatest!(row, |x| Plain(x)).0;
            assert_eq!(most, if n == 0 { f32::NEG_INFINITY } else { n as f32 - 1.0 });
            let mut seen = vec![0.0; n];
            assert_eq!(write_exponentials(&vec![2.0; n], 2.0, &mut seen), n as f32);
            assert_eq!(seen, vec![1.0; n]);
        }
    }

    #[test]
    fn nan_propagates() {
        let row = [1.0f32, f32::NAN, 3.0];
        assert!(greatest!(row, |x| Plain(x)).0.is_nan() && sum!(row, |x| Plain(x)).0.is_nan());
    }
}
