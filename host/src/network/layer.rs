//! The layer trait of the embedded network, and the layers without weights.

use super::Training;
use super::activation::Activation;
use super::matmul::Store;
use super::simd::{self, Kernel};
use crate::random::Stream;
use crate::text::grouped;
use crate::{Error, Result};

/// A weight and its gradient, both in C order.
pub struct Weight {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// Empty if the weight has no gradient.
    pub gradient: Vec<f32>,
    /// Whether backward passes compute a gradient. Weights without one are part of the state of a layer, such as moving
    /// statistics.
    pub has_gradient: bool,
}

impl Weight {
    /// Creates a weight of zeros. Returns an error if it doesn't fit in memory.
    pub fn new(name: &'static str, shape: Vec<usize>, layer: &str) -> Result<Self> {
        let mut weight = Self::without_gradient(name, shape, layer)?;
        weight.gradient = zeros(&weight.shape).ok_or_else(|| too_large(name, &weight.shape, layer))?;
        weight.has_gradient = true;
        Ok(weight)
    }

    /// Creates a weight of zeros that has no gradient. Returns an error if it doesn't fit in memory.
    pub fn without_gradient(name: &'static str, shape: Vec<usize>, layer: &str) -> Result<Self> {
        let values = zeros(&shape).ok_or_else(|| too_large(name, &shape, layer))?;
        Ok(Weight { name, shape, values, gradient: Vec::new(), has_gradient: false })
    }
}

/// Returns zeros; `None` if they don't fit in memory.
fn zeros(shape: &[usize]) -> Option<Vec<f32>> {
    let length = shape.iter().try_fold(1_usize, |length, &axis| length.checked_mul(axis))?;
    let mut values = Vec::new();
    values.try_reserve_exact(length).ok()?;
    values.resize(length, 0.0);
    Some(values)
}

fn too_large(name: &str, shape: &[usize], layer: &str) -> Error {
    let size = shape.iter().map(|&axis| grouped(axis)).collect::<Vec<_>>().join(" x ");
    Error::usage(format!("{layer}/{name} of {size} numbers doesn't fit in memory"))
        .hint("give the layer fewer units, or the layer before it")
}

/// The destination of the gradient of a layer's input, or `None` if it isn't needed.
pub type InputGradient<'a> = Option<(Store, &'a mut [f32])>;

/// A layer with its weights and the buffers of the last forward pass. Arrays are flat; the first axis is the sample
/// axis.
pub trait Layer: Send {
    /// Computes the output. In training, also stores what `backward` needs.
    ///
    /// # Errors
    /// Returns an error if the layer can't take a value of the input, such as an id that is no category.
    fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()>;

    /// Adds the output of an earlier layer to the output of the last forward pass. Only layers that a
    /// [`Chain`](super::chain::Chain) connects to an earlier layer need it.
    fn add(&mut self, _other: &[f32]) {}

    /// Returns the output of the last forward pass.
    fn output(&self) -> &[f32];

    /// Computes the gradients of the weights and of the input. `input` must be that of the last forward pass.
    /// `gradient` is the gradient of the output, and may be overwritten.
    fn backward(&mut self, input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>);

    /// Updates the weights without a gradient from the last forward pass. Called at the end of a backward pass, also if
    /// that didn't reach the layer.
    fn end_step(&mut self) {}

    /// Returns the weights.
    fn weights(&self) -> &[Weight] {
        &[]
    }

    /// Returns the weights, mutably.
    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut []
    }
}

/// An activation as a layer.
pub struct ActivationLayer {
    activation: Activation,
    width: usize,
    output: Vec<f32>,
    derivatives: Vec<f32>,
}

impl ActivationLayer {
    /// Creates an activation layer for rows of `width`.
    pub fn new(activation: Activation, width: usize) -> Self {
        ActivationLayer { activation, width, output: Vec::new(), derivatives: Vec::new() }
    }
}

impl Layer for ActivationLayer {
    fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()> {
        self.output.clear();
        self.output.extend_from_slice(input);
        let store_derivatives = training.is_some() && self.activation.stores_derivatives();
        self.derivatives.resize(if store_derivatives { input.len() } else { 0 }, 0.0);
        self.activation.forward(&mut self.output, &[], &mut self.derivatives, self.width);
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let Some((store, target)) = input_gradient else { return };
        let stored = if self.activation.stores_derivatives() { &self.derivatives } else { &self.output };
        self.activation.backward(gradient, stored, &mut [], &mut Vec::new(), self.width);
        store.write_all(target, gradient);
    }
}

/// Sets random values to 0 in training, and scales the others to preserve the mean.
pub struct Dropout {
    rate: f64,
    seed: Option<u64>,
    /// The index of the layer. It distinguishes the random numbers of the layers.
    layer_index: u64,
    /// The random stream of the last forward pass; `None` outside training. The mask itself isn't stored.
    stream: Option<Stream>,
    output: Vec<f32>,
}

impl Dropout {
    /// Creates a layer that drops the fraction `rate`; `layer_index` is the index of the layer.
    pub fn new(rate: f64, seed: Option<u64>, layer_index: usize) -> Self {
        Dropout { rate, seed, layer_index: layer_index as u64, stream: None, output: Vec::new() }
    }

    fn drop<'a>(&self, stream: Stream, from: &'a [f32], to: &'a mut [f32], store: Store) -> Drop<'a> {
        // The rate as a threshold for 32-bit numbers. It is below 2^32, because the rate is below 1.
        let threshold = (self.rate * 4_294_967_296.0) as u32;
        Drop { from, to, store, stream, threshold, scale: (1.0 / (1.0 - self.rate)) as f32 }
    }
}

impl Layer for Dropout {
    fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()> {
        self.stream =
            training.map(|Training { seed, step }| Stream::new(&[self.seed.unwrap_or(seed), step, self.layer_index]));
        let mut output = std::mem::take(&mut self.output);
        match self.stream {
            None => {
                output.clear();
                output.extend_from_slice(input);
            }
            Some(stream) => {
                output.resize(input.len(), 0.0);
                simd::run(self.drop(stream, input, &mut output, Store::Replace));
            }
        }
        self.output = output;
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        if let (Some((store, target)), Some(stream)) = (input_gradient, self.stream) {
            simd::run(self.drop(stream, gradient, target, store));
        }
    }
}

/// Copies or adds the values that aren't dropped.
struct Drop<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    store: Store,
    stream: Stream,
    threshold: u32,
    scale: f32,
}

impl Kernel for Drop<'_> {
    #[inline(always)]
    fn run(self) {
        let Drop { from, to, store, stream, threshold, scale } = self;
        match store {
            Store::Replace => {
                for (i, (to, from)) in to.iter_mut().zip(from).enumerate() {
                    *to = if stream.at(i as u32) < threshold { 0.0 } else { from * scale };
                }
            }
            Store::Add => {
                for (i, (to, from)) in to.iter_mut().zip(from).enumerate() {
                    *to += if stream.at(i as u32) < threshold { 0.0 } else { from * scale };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAINING: Option<Training> = Some(Training { seed: 7, step: 3 });

    #[test]
    fn dropout_drops_the_rate_and_scales_the_rest() {
        let mut layer = Dropout::new(0.3, None, 0);
        let input = vec![1.0; 50_000];
        layer.forward(&input, TRAINING).expect("it takes any number");
        let dropped = layer.output().iter().filter(|y| **y == 0.0).count() as f64 / 50_000.0;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        assert!(layer.output().iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
    }

    #[test]
    fn dropout_depends_only_on_seed_step_and_layer_index() {
        let input = vec![1.0; 1000];
        let output = |seed, step, layer_index, layer_seed| {
            let mut layer = Dropout::new(0.5, layer_seed, layer_index);
            layer.forward(&input, Some(Training { seed, step })).expect("it takes any number");
            layer.output().to_vec()
        };
        let one = output(1, 1, 1, None);
        assert_eq!(one, output(1, 1, 1, None));
        for other in [output(2, 1, 1, None), output(1, 2, 1, None), output(1, 1, 2, None), output(1, 1, 1, Some(9))] {
            assert_ne!(one, other);
        }
        assert_eq!(output(1, 1, 1, Some(9)), output(2, 1, 1, Some(9)));
    }

    #[test]
    fn dropout_is_the_identity_outside_training() {
        let mut layer = Dropout::new(0.5, None, 0);
        layer.forward(&[1.0, -2.0], None).expect("it takes any number");
        assert_eq!(layer.output(), [1.0, -2.0]);
    }

    #[test]
    fn dropout_masks_gradients_like_outputs() {
        let mut layer = Dropout::new(0.5, None, 0);
        layer.forward(&[1.0; 100], TRAINING).expect("it takes any number");
        let (mut gradient, mut target) = (vec![3.0; 100], vec![1.0; 100]);
        layer.backward(&[1.0; 100], &mut gradient, Some((Store::Add, &mut target)));
        assert!(layer.output().iter().zip(&target).all(|(y, g)| *g == 1.0 + 3.0 * y));
    }

    #[test]
    fn a_weight_too_large_for_memory_is_an_error() {
        assert!(Weight::new("kernel", vec![usize::MAX / 8, 4], "dense").is_err());
        let error = Weight::new("kernel", vec![1 << 40, 1 << 40], "dense").map(|_| ()).expect_err("too large");
        assert!(error.to_string().contains("dense/kernel of 1,099,511,627,776 x"), "{error}");
    }
}
