//! Products of row-major float32 matrices.
//!
//! A large product is split into blocks whose sizes depend only on its shape, and each block is computed by one thread.
//! The result is therefore the same bits for any number of threads.

use faer::{Accum, MatMut, MatRef, Par};

use crate::threads;

/// The minimum number of multiply-adds per block (some 100 µs): smaller blocks aren't worth a thread.
const BLOCK_WORK: usize = 8 << 20;
/// Blocks are multiples of this many rows or columns, so that the inner kernels run at full width.
const BLOCK_GRAIN: usize = 64;

/// Whether a product replaces the destination or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Replace,
    Add,
}

impl Store {
    /// Writes or adds a value.
    pub fn write(self, target: &mut f32, value: f32) {
        match self {
            Store::Replace => *target = value,
            Store::Add => *target += value,
        }
    }

    /// Writes or adds values.
    pub fn write_all(self, target: &mut [f32], values: &[f32]) {
        match self {
            Store::Replace => target.copy_from_slice(values),
            Store::Add => target.iter_mut().zip(values).for_each(|(target, value)| *target += *value),
        }
    }
}

/// Computes `c[m, n] = a[m, k] · b[k, n]`.
pub fn product(c: &mut [f32], store: Store, a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    let c = MatMut::from_row_major_slice_mut(c, m, n);
    multiply(c, store, MatRef::from_row_major_slice(a, m, k), MatRef::from_row_major_slice(b, k, n));
}

/// Computes `c[k, n] = aᵀ · b`, for a[m, k] and b[m, n]: the gradient of a kernel.
pub fn transposed_product(c: &mut [f32], store: Store, a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    let c = MatMut::from_row_major_slice_mut(c, k, n);
    multiply(c, store, MatRef::from_row_major_slice(a, m, k).transpose(), MatRef::from_row_major_slice(b, m, n));
}

/// Computes `c[m, k] = a · bᵀ`, for a[m, n] and b[k, n]: the gradient of an input.
pub fn product_transposed(c: &mut [f32], store: Store, a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    let c = MatMut::from_row_major_slice_mut(c, m, k);
    multiply(c, store, MatRef::from_row_major_slice(a, m, n), MatRef::from_row_major_slice(b, k, n).transpose());
}

fn multiply(c: MatMut<'_, f32>, store: Store, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    let (rows, columns, depth) = (c.nrows(), c.ncols(), a.ncols());
    let halves = if rows.saturating_mul(columns).saturating_mul(depth) < 2 * BLOCK_WORK {
        None
    } else if rows >= columns {
        middle(rows).map(|row| (true, row))
    } else {
        middle(columns).map(|column| (false, column))
    };
    match halves {
        None => {
            let accumulate = if store == Store::Add { Accum::Add } else { Accum::Replace };
            faer::linalg::matmul::matmul(c, accumulate, a, b, 1.0, Par::Seq);
        }
        Some((true, row)) => {
            let (upper, lower) = c.split_at_row_mut(row);
            let (a_upper, a_lower) = a.split_at_row(row);
            join(|| multiply(upper, store, a_upper, b), || multiply(lower, store, a_lower, b));
        }
        Some((false, column)) => {
            let (left, right) = c.split_at_col_mut(column);
            let (b_left, b_right) = b.split_at_col(column);
            join(|| multiply(left, store, a, b_left), || multiply(right, store, a, b_right));
        }
    }
}

fn join(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    threads::install(|| rayon::join(one, other));
}

/// Returns where to split a length in two, a multiple of the grain, or `None` if it is too short.
fn middle(length: usize) -> Option<usize> {
    let middle = length.div_ceil(2).next_multiple_of(BLOCK_GRAIN);
    (middle < length).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, salt: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 20) as f32 / 2048.0 - 1.0)
            .collect()
    }

    fn naive(a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32, [m, k, n]: [usize; 3]) -> Vec<f32> {
        let cell = |i: usize, j: usize| (0..k).map(|l| f64::from(a(i, l)) * f64::from(b(l, j))).sum::<f64>() as f32;
        (0..m * n).map(|at| cell(at / n, at % n)).collect()
    }

    fn assert_close(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-4 * (1.0 + w.abs())));
    }

    #[test]
    fn the_three_products_agree_with_the_definition() {
        let [m, k, n] = [5, 7, 3];
        let (a, b, d) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
        let mut c = vec![f32::NAN; m * n];
        product(&mut c, Store::Replace, &a, &b, [m, k, n]);
        assert_close(&c, &naive(|i, l| a[i * k + l], |l, j| b[l * n + j], [m, k, n]));
        let mut c = vec![f32::NAN; k * n];
        transposed_product(&mut c, Store::Replace, &a, &d, [m, k, n]);
        assert_close(&c, &naive(|i, l| a[l * k + i], |l, j| d[l * n + j], [k, m, n]));
        let mut c = vec![1.0; m * k];
        product_transposed(&mut c, Store::Add, &d, &b, [m, k, n]);
        let want = naive(|i, l| d[i * n + l], |l, j| b[j * n + l], [m, n, k]);
        assert_close(&c, &want.iter().map(|w| w + 1.0).collect::<Vec<_>>());
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let [m, k, n] = [300, 450, 260];
        assert!(m * k * n > 4 * BLOCK_WORK, "large enough to be split");
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut c = vec![0.0; m * n];
            pool.install(|| product(&mut c, Store::Replace, &a, &b, [m, k, n]));
            c
        };
        let one = with_threads(1);
        assert_close(&one, &naive(|i, l| a[i * k + l], |l, j| b[l * n + j], [m, k, n]));
        assert!(one.iter().zip(with_threads(3)).all(|(x, y)| x.to_bits() == y.to_bits()));
    }

    #[test]
    fn empty_products_are_supported() {
        product(&mut [], Store::Replace, &[], &[1.0, 2.0], [0, 1, 2]);
        let mut gradient = [3.0, 4.0];
        transposed_product(&mut gradient, Store::Replace, &[], &[], [0, 1, 2]);
        assert_eq!(gradient, [0.0, 0.0]);
    }
}
