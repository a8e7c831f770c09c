//! A residual connection: the sum of the input and the output of an earlier layer.

use super::Training;
use super::layer::{InputGradient, Layer};
use crate::Result;

/// The sum. The chain adds the other output after the forward pass, and passes the gradient on to that layer.
#[derive(Default)]
pub struct Add {
    output: Vec<f32>,
}

impl Layer for Add {
    fn forward(&mut self, input: &[f32], _training: Option<Training>) -> Result<()> {
        self.output.clear();
        self.output.extend_from_slice(input);
        Ok(())
    }

    fn add(&mut self, other: &[f32]) {
        self.output.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        if let Some((store, target)) = input_gradient {
            store.write_all(target, gradient);
        }
    }
}
