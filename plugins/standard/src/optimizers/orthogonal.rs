//! The Newton-Schulz iteration, which brings the singular values of a matrix close to 1.
//!
//! Matrices are row-major. A product is split into strips of columns whose width depends only on its size, and each strip
//! is computed by one thread, so the result is the same bits for any number of threads. Of a symmetric product, only the
//! part below the diagonal is computed.

use super::parts::{BLOCK, PARTS, part_length, run_parts};
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use plugfit_api::{
    Host, Scratch,
    simd::{Kernel, dispatch},
};

/// The minimum width of a strip: a multiple of it fills the registers of the inner kernel.
const STRIP: usize = 64;
/// The minimum number of multiply-adds of a strip. For smaller strips, threads cost more than they save.
const STRIP_WORK: usize = 1 << 21;
/// The length of the sides of the squares in which a triangle is mirrored: one cache line of float32.
const SQUARE: usize = 16;

/// The number of iterations, and the coefficients `a`, `b` and `c` of `a X + b (X Xᵀ) X + c (X Xᵀ)² X`.
#[derive(Clone, Copy)]
pub(super) struct NewtonSchulz {
    pub(super) steps: u64,
    pub(super) a: f32,
    pub(super) b: f32,
    pub(super) c: f32,
}

impl NewtonSchulz {
    /// Replaces a matrix of these numbers of rows and columns, whose norm is at most 1.
    pub(super) fn orthogonalize(self, matrix: &mut Scratch<f32>, [rows, columns]: [usize; 2], host: &Host<'_>) {
        let side = rows.min(columns);
        let mut next = Scratch::of_length(rows * columns);
        let mut half = Scratch::of_length(side * side);
        let mut square = Scratch::of_length(side * side);
        for _ in 0..self.steps {
            let x = MatRef::from_row_major_slice(matrix, rows, columns);
            let is_wide = rows <= columns;
            let (left, right) = if is_wide { (x, x.transpose()) } else { (x.transpose(), x) };
            product(MatMut::from_row_major_slice_mut(&mut half, side, side), left, right, true, host);
            mirror(Blend { a: 0.0, b: 0.0, c: 1.0 }, &half, &mut square, side, host);
            let s = MatRef::from_row_major_slice(&square, side, side);
            product(MatMut::from_row_major_slice_mut(&mut half, side, side), s, s, true, host);
            // With `a` on the diagonal, the blend times X is the next X.
            mirror(Blend { a: self.a, b: self.b, c: self.c }, &half, &mut square, side, host);
            let blend = MatRef::from_row_major_slice(&square, side, side);
            let (left, right) = if is_wide { (blend, x) } else { (x, blend) };
            product(MatMut::from_row_major_slice_mut(&mut next, rows, columns), left, right, false, host);
            std::mem::swap(matrix, &mut next);
        }
    }
}

/// Computes a product, or only the part of a symmetric one on and below the diagonal. The strips may also contain
/// elements above it.
fn product(
    target: MatMut<'_, f32>,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
    is_symmetric: bool,
    host: &Host<'_>,
) {
    let (rows, columns) = (target.nrows(), target.ncols());
    let width = STRIP_WORK.div_ceil((rows * left.ncols()).max(1)).max(columns.div_ceil(PARTS)).next_multiple_of(STRIP);
    let mut rest = Some((0, target));
    let mut from_left = false;
    let strips = std::iter::from_fn(|| {
        let (start, target) = rest.take()?;
        // Strips from the left and from the right alternate, because those of a triangle have different lengths.
        from_left = !from_left;
        let count = target.ncols().div_ceil(width);
        if count <= 1 {
            return Some((start, target));
        }
        if from_left {
            let (strip, others) = target.split_at_col_mut(width);
            rest = Some((start + width, others));
            return Some((start, strip));
        }
        let middle = (count - 1) * width;
        let (others, strip) = target.split_at_col_mut(middle);
        rest = Some((start, others));
        Some((start + middle, strip))
    });
    run_parts(host, strips, |(start, strip)| {
        let right = right.subcols(start, strip.ncols());
        let first = if is_symmetric { start } else { 0 };
        let (_, strip) = strip.split_at_row_mut(first);
        let (_, left) = left.split_at_row(first);
        matmul(strip, Accum::Replace, left, right, 1.0, Par::Seq);
    });
}

/// The matrix `a I + b S + c P`.
#[derive(Clone, Copy)]
struct Blend {
    a: f32,
    b: f32,
    c: f32,
}

/// Replaces `S` by the blend of `S` and a symmetric `P`, of which `half` has the part on and below the diagonal.
fn mirror(blend: Blend, half: &[f32], square: &mut [f32], side: usize, host: &Host<'_>) {
    let length = part_length(square.len(), SQUARE * side);
    let bands = (0..PARTS).map(|part| part * (length / side.max(1))).zip(square.chunks_mut(length));
    run_parts(host, bands, |(first, band)| dispatch(Mirror { blend, half, band, first, side }));
}

/// The blend for a band of rows from `first` on.
struct Mirror<'a> {
    blend: Blend,
    half: &'a [f32],
    band: &'a mut [f32],
    first: usize,
    side: usize,
}

impl Kernel for Mirror<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Mirror { blend, half, band, first, side } = self;
        for (block, rows) in band.chunks_mut(SQUARE * side).enumerate() {
            let top = first + block * SQUARE;
            let height = rows.len() / side;
            for (i, row) in rows.chunks_exact_mut(side).enumerate() {
                let at = (top + i) * side;
                blend.mix(&mut row[..top + i + 1], &half[at..at + top + i + 1]);
                row[top + i] += blend.a;
                // The rest of the square on the diagonal.
                for (j, s) in row.iter_mut().enumerate().take(top + height).skip(top + i + 1) {
                    blend.mix(std::slice::from_mut(s), &half[j * side + top + i..][..1]);
                }
            }
            // Above the diagonal, square by square.
            let mut columns = [[0.0_f32; SQUARE]; SQUARE];
            for left in (top + height..side).step_by(SQUARE) {
                let width = SQUARE.min(side - left);
                for j in 0..width {
                    let at = (left + j) * side + top;
                    for (column, &p) in columns.iter_mut().zip(&half[at..at + height]) {
                        column[j] = p;
                    }
                }
                for (row, column) in rows.chunks_exact_mut(side).zip(&columns) {
                    blend.mix(&mut row[left..left + width], &column[..width]);
                }
            }
        }
    }
}

impl Blend {
    /// Computes `b S + c P` in a part of a row.
    #[inline(always)]
    fn mix(self, s: &mut [f32], p: &[f32]) {
        if self.b == 0.0 {
            // The contents of `S` are unspecified before the first blend.
            s.iter_mut().zip(p).for_each(|(s, &p)| *s = self.c * p);
        } else {
            s.iter_mut().zip(p).for_each(|(s, &p)| *s = self.b * *s + self.c * p);
        }
    }
}

/// Multiplies all elements by a number.
pub(super) fn scale(values: &mut [f32], factor: f32, host: &Host<'_>) {
    struct Scale<'a>(&'a mut [f32], f32);

    impl Kernel for Scale<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            self.0.iter_mut().for_each(|value| *value *= self.1);
        }
    }
    let length = part_length(values.len(), BLOCK);
    run_parts(host, values.chunks_mut(length), |part| dispatch(Scale(part, factor)));
}

#[cfg(test)]
mod tests {
    use super::{
        super::parts::tests::{assert_close, numbers},
        *,
    };

    /// Returns the product of a[m, k] and b[k, n].
    fn naive(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for (row, a) in c.chunks_exact_mut(n).zip(a.chunks_exact(k)) {
            for (a, b) in a.iter().zip(b.chunks_exact(n)) {
                row.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
            }
        }
        c
    }

    fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
        (0..columns).flat_map(|j| a[j..].iter().step_by(columns).copied()).collect()
    }

    fn iterated(NewtonSchulz { steps, a, b, c }: NewtonSchulz, x: &[f32], [rows, columns]: [usize; 2]) -> Vec<f64> {
        let mut x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        for _ in 0..steps {
            let s = naive(&x, &transposed(&x, columns), [rows, columns, rows]);
            let squared = naive(&s, &s, [rows; 3]);
            let blend = squared.iter().zip(&s).map(|(p, s)| f64::from(b) * s + f64::from(c) * p);
            let change = naive(&blend.collect::<Vec<_>>(), &x, [rows, rows, columns]);
            x.iter_mut().zip(change).for_each(|(x, change)| *x = f64::from(a) * *x + change);
        }
        x
    }

    #[test]
    fn the_iteration_agrees_with_its_definition() {
        for (steps, a, b, c) in
            [(0, 3.4445, -4.775, 2.0315), (2, 3.4445, -4.775, 2.0315), (2, 1.5, -0.5, 0.0), (1, 1.0, 0.0, 0.5)]
        {
            let iteration = NewtonSchulz { steps, a, b, c };
            // Of one strip and of several, with sides that aren't multiples of a square or a strip.
            for [rows, columns] in
                [[1, 1], [1, 7], [7, 1], [16, 16], [37, 90], [90, 37], [33, 33], [300, 310], [310, 300]]
            {
                let given: Vec<f32> = numbers(rows * columns, 3);
                let norm = given.iter().map(|x| x * x).sum::<f32>().sqrt();
                let mut matrix = Scratch::of(given.iter().map(|x| x / norm));
                let expected = iterated(iteration, &matrix, [rows, columns]);
                iteration.orthogonalize(&mut matrix, [rows, columns], &Host::none());
                assert_close(&matrix, expected, 1e-5);
            }
        }
    }

    #[test]
    fn matrices_without_elements_are_accepted() {
        for shape in [[0, 0], [0, 3], [3, 0]] {
            let mut matrix = Scratch::of_length(0);
            NewtonSchulz { steps: 2, a: 1.5, b: -0.5, c: 0.0 }.orthogonalize(&mut matrix, shape, &Host::none());
            assert!(matrix.is_empty());
        }
    }
}
