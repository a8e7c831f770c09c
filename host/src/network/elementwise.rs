//! The loops of a layer's element-wise work: bias and activation in one pass, and the same backwards.

use std::marker::PhantomData;

use super::formulas::Formula;
use super::simd::Kernel;

/// Rows at least this wide are done row by row; narrower ones in flat passes, whose vectors stay full.
const WIDE: usize = 32;

/// `values = f(values + bias)` in place, for rows of `width`; keeps f' in `slopes` if that isn't empty.
pub struct Forward<'a, F> {
    pub values: &'a mut [f32],
    pub bias: &'a [f32],
    pub slopes: &'a mut [f32],
    pub width: usize,
    pub formula: PhantomData<F>,
}

impl<F: Formula> Kernel for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Forward { values, bias, slopes, width, .. } = self;
        let keeps = F::KEEPS_SLOPE && !slopes.is_empty();
        if !bias.is_empty() && width >= WIDE {
            if keeps {
                for (row, slopes) in values.chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width)) {
                    for ((z, b), slope) in row.iter_mut().zip(bias).zip(slopes) {
                        (*z, *slope) = F::value_and_slope(*z + b);
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
        if keeps {
            for (z, slope) in values.iter_mut().zip(slopes) {
                (*z, *slope) = F::value_and_slope(*z);
            }
        } else {
            for z in values {
                *z = F::value(*z);
            }
        }
    }
}

/// `gradients *= f'` in place, and adds the rows of the result to `bias_gradient` if that isn't empty.
///
/// `kept` holds what training kept: the slopes where the formula keeps them, else the outputs.
pub struct Backward<'a, F> {
    pub gradients: &'a mut [f32],
    pub kept: &'a [f32],
    pub bias_gradient: &'a mut [f32],
    pub width: usize,
    pub formula: PhantomData<F>,
}

impl<F: Formula> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Backward { gradients, kept, bias_gradient, width, .. } = self;
        if !bias_gradient.is_empty() && width >= WIDE {
            for (row, kept) in gradients.chunks_exact_mut(width).zip(kept.chunks_exact(width)) {
                for ((gradient, kept), sum) in row.iter_mut().zip(kept).zip(bias_gradient.iter_mut()) {
                    *gradient *= slope::<F>(*kept);
                    *sum += *gradient;
                }
            }
            return;
        }
        for (gradient, kept) in gradients.iter_mut().zip(kept) {
            *gradient *= slope::<F>(*kept);
        }
        add_up_rows(gradients, bias_gradient, width);
    }
}

#[inline(always)]
fn slope<F: Formula>(kept: f32) -> f32 {
    if F::KEEPS_SLOPE { kept } else { F::slope_from_value(kept) }
}

/// Adds the bias to every row; nothing if there is none.
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

/// Adds every row to `sums`; nothing if that is empty.
#[inline(always)]
pub fn add_up_rows(rows: &[f32], sums: &mut [f32], width: usize) {
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

/// A sum in 16 lanes, always in the same order.
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

/// The largest of the values; -infinity of none. NaN is passed over.
#[inline(always)]
pub fn largest_in_lanes(values: &[f32]) -> f32 {
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
