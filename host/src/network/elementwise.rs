//! Element-wise loops: bias and activation in one pass, forwards and backwards.

use std::marker::PhantomData;

use super::formulas::Formula;
use super::simd::Kernel;

/// Rows of at least this width are processed row by row. Narrower rows are processed in flat passes, which fill the
/// SIMD vectors.
const WIDE: usize = 32;

/// Computes `values = f(values + bias)` in place, for rows of `width`; stores f' in `derivatives` unless that is empty.
pub struct Forward<'a, F> {
    pub values: &'a mut [f32],
    pub bias: &'a [f32],
    pub derivatives: &'a mut [f32],
    pub width: usize,
    pub formula: PhantomData<F>,
}

impl<F: Formula> Kernel for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Forward { values, bias, derivatives, width, .. } = self;
        let store_derivatives = F::STORES_DERIVATIVE && !derivatives.is_empty();
        if !bias.is_empty() && width >= WIDE {
            if store_derivatives {
                for (row, derivatives) in values.chunks_exact_mut(width).zip(derivatives.chunks_exact_mut(width)) {
                    for ((z, b), derivative) in row.iter_mut().zip(bias).zip(derivatives) {
                        (*z, *derivative) = F::value_and_derivative(*z + b);
                    }
                }
            } else {
                for row in values.chunks_exact_mut(width) {
                    for (z, b) in row.iter_mut().zip(bias) {
                        *z = F::value(*z + b);
                    }
                }
            }
            return;
        }
        add_to_rows(values, bias, width);
        if store_derivatives {
            for (z, derivative) in values.iter_mut().zip(derivatives) {
                (*z, *derivative) = F::value_and_derivative(*z);
            }
        } else {
            for z in values {
                *z = F::value(*z);
            }
        }
    }
}

/// Computes `gradients *= f'` in place, and adds the rows of the result to `bias_gradient` unless that is empty.
///
/// `stored` contains the derivatives if the formula stores them, else the outputs.
pub struct Backward<'a, F> {
    pub gradients: &'a mut [f32],
    pub stored: &'a [f32],
    pub bias_gradient: &'a mut [f32],
    pub width: usize,
    pub formula: PhantomData<F>,
}

impl<F: Formula> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Backward { gradients, stored, bias_gradient, width, .. } = self;
        if !bias_gradient.is_empty() && width >= WIDE {
            for (row, stored) in gradients.chunks_exact_mut(width).zip(stored.chunks_exact(width)) {
                for ((gradient, stored), sum) in row.iter_mut().zip(stored).zip(bias_gradient.iter_mut()) {
                    *gradient *= derivative::<F>(*stored);
                    *sum += *gradient;
                }
            }
            return;
        }
        for (gradient, stored) in gradients.iter_mut().zip(stored) {
            *gradient *= derivative::<F>(*stored);
        }
        sum_rows(gradients, bias_gradient, width);
    }
}

#[inline(always)]
fn derivative<F: Formula>(stored: f32) -> f32 {
    if F::STORES_DERIVATIVE { stored } else { F::derivative_from_value(stored) }
}

/// Adds `bias` to every row. Does nothing if `bias` is empty.
#[inline(always)]
pub fn add_to_rows(values: &mut [f32], bias: &[f32], width: usize) {
    match bias {
        [] => {}
        [bias] => values.iter_mut().for_each(|z| *z += bias),
        _ => {
            for row in values.chunks_exact_mut(width) {
                for (z, b) in row.iter_mut().zip(bias) {
                    *z += b;
                }
            }
        }
    }
}

/// Adds every row to `sums`. Does nothing if `sums` is empty.
#[inline(always)]
pub fn sum_rows(rows: &[f32], sums: &mut [f32], width: usize) {
    match sums {
        [] => {}
        [sum] => *sum += sum_in_lanes(rows),
        _ => {
            for row in rows.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
    }
}

/// Returns the sum, computed in 16 lanes in a fixed order.
#[inline(always)]
pub fn sum_in_lanes(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Returns the maximum, or -infinity for an empty slice. NaN is ignored.
#[inline(always)]
pub fn max_in_lanes(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = if value > *lane { value } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}
