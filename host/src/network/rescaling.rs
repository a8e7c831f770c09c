//! A fixed change of scale.

use super::Training;
use super::layer::{InputGradient, Layer};
use super::matmul::Store;
use crate::Result;

/// `x · scale + offset`, with a number each, or one for each column of the last axis.
pub struct Rescaling {
    scale: Vec<f32>,
    offset: Vec<f32>,
    output: Vec<f32>,
}

impl Rescaling {
    /// Creates the layer for rows of `width`. `scale` and `offset` have one number or `width` numbers.
    pub fn new(scale: &[f64], offset: &[f64], width: usize) -> Self {
        let of_columns = |numbers: &[f64]| (0..width).map(|at| numbers[at % numbers.len().max(1)] as f32).collect();
        Rescaling { scale: of_columns(scale), offset: of_columns(offset), output: Vec::new() }
    }
}

impl Layer for Rescaling {
    fn forward(&mut self, input: &[f32], _training: Option<Training>) -> Result<()> {
        self.output.clear();
        for row in input.chunks(self.scale.len().max(1)) {
            let columns = self.scale.iter().zip(&self.offset);
            self.output.extend(row.iter().zip(columns).map(|(x, (scale, offset))| x * scale + offset));
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let Some((store, target)) = input_gradient else { return };
        let width = self.scale.len().max(1);
        for (target, gradient) in target.chunks_mut(width).zip(gradient.chunks(width)) {
            for ((target, gradient), scale) in target.iter_mut().zip(gradient).zip(&self.scale) {
                match store {
                    Store::Replace => *target = gradient * scale,
                    Store::Add => *target += gradient * scale,
                }
            }
        }
    }
}
