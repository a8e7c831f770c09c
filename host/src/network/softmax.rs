//! Softmax over the last axis, forwards and backwards.

use super::elementwise::{add_to_rows, max_in_lanes, sum_in_lanes, sum_rows};
use super::exp::exp;
use super::simd::Kernel;

/// The number of values processed together, so that they stay in the first-level cache between passes.
const BLOCK: usize = 4096;

/// Computes `values = softmax(values + bias)` in place, for rows of `width`.
pub struct Forward<'a> {
    pub values: &'a mut [f32],
    pub bias: &'a [f32],
    pub width: usize,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Forward { values, bias, width } = self;
        let block = (BLOCK / width).max(1) * width;
        for block in values.chunks_mut(block) {
            add_to_rows(block, bias, width);
            for row in block.chunks_exact_mut(width) {
                let max = max_in_lanes(row);
                for z in row {
                    *z -= max;
                }
            }
            // Processes the whole block at once, so that narrow rows fill the vectors too.
            for z in block.iter_mut() {
                *z = exp(*z);
            }
            for row in block.chunks_exact_mut(width) {
                let scale = 1.0 / sum_in_lanes(row);
                for z in row {
                    *z *= scale;
                }
            }
        }
    }
}

/// Computes `gradients = y (gradients - Σ gradients y)` in place for each row, and adds the rows of the result to
/// `bias_gradient` unless that is empty.
pub struct Backward<'a> {
    pub gradients: &'a mut [f32],
    pub outputs: &'a [f32],
    pub bias_gradient: &'a mut [f32],
    pub width: usize,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run(self) {
        let Backward { gradients, outputs, bias_gradient, width } = self;
        for (row, outputs) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            for (gradient, y) in row.iter_mut().zip(outputs) {
                *gradient *= y;
            }
            let sum = sum_in_lanes(row);
            for (gradient, y) in row.iter_mut().zip(outputs) {
                *gradient -= sum * y;
            }
            if width > 1 {
                sum_rows(row, bias_gradient, width);
            }
        }
        if width == 1 {
            sum_rows(gradients, bias_gradient, 1);
        }
    }
}
