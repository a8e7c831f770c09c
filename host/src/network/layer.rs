//! What a layer of the embedded network does, and the layers that have no weights.

use super::Training;
use super::activation::Activation;
use super::matmul::Store;
use super::random::Stream;
use super::simd::{self, Kernel};
use crate::data::text::grouped;
use crate::{Error, Result};

/// A weight with its gradient, both in C order.
pub struct Weight {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    pub gradient: Vec<f32>,
}

impl Weight {
    /// A weight of zeros, or an error if there isn't the memory for it.
    pub fn new(name: &'static str, shape: Vec<usize>, layer: &str) -> Result<Self> {
        let too_large = || {
            let size = shape.iter().map(|&axis| grouped(axis)).collect::<Vec<_>>().join(" x ");
            Error::usage(format!("{layer}/{name} of {size} numbers doesn't fit in memory"))
                .hint("give the layer fewer units, or the layer before it")
        };
        let length = shape.iter().try_fold(1_usize, |length, &axis| length.checked_mul(axis)).ok_or_else(too_large)?;
        let zeros = || {
            let mut values = Vec::new();
            values.try_reserve_exact(length).map_err(|_| too_large())?;
            values.resize(length, 0.0);
            Ok::<_, Error>(values)
        };
        Ok(Weight { name, values: zeros()?, gradient: zeros()?, shape })
    }
}

/// Where a layer's input gradient goes; none if nobody needs it.
pub type InputGradient<'a> = Option<(Store, &'a mut [f32])>;

/// A layer with its weights and the buffers of its last forward pass. Arrays are flat, the samples' axis first.
pub trait Layer: Send {
    /// Computes the output; in training, also keeps what `backward` needs.
    fn forward(&mut self, input: &[f32], training: Option<Training>);

    /// The output of the last forward pass.
    fn output(&self) -> &[f32];

    /// Computes the weights' gradients and the input's. `input` is the last forward pass's; `gradient`, that of the
    /// output, may be overwritten.
    fn backward(&mut self, input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>);

    /// Its weights.
    fn weights(&self) -> &[Weight] {
        &[]
    }

    /// Its weights, to be changed.
    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut []
    }
}

/// An activation alone.
pub struct ActivationLayer {
    activation: Activation,
    width: usize,
    output: Vec<f32>,
    slopes: Vec<f32>,
}

impl ActivationLayer {
    /// An activation over rows of `width`.
    pub fn new(activation: Activation, width: usize) -> Self {
        ActivationLayer { activation, width, output: Vec::new(), slopes: Vec::new() }
    }
}

impl Layer for ActivationLayer {
    fn forward(&mut self, input: &[f32], training: Option<Training>) {
        self.output.clear();
        self.output.extend_from_slice(input);
        let keeps = training.is_some() && self.activation.keeps_slopes();
        self.slopes.resize(if keeps { input.len() } else { 0 }, 0.0);
        self.activation.forward(&mut self.output, &[], &mut self.slopes, self.width);
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let Some((store, target)) = input_gradient else { return };
        let kept = if self.activation.keeps_slopes() { &self.slopes } else { &self.output };
        self.activation.backward(gradient, kept, &mut [], &mut Vec::new(), self.width);
        match store {
            Store::Replace => target.copy_from_slice(gradient),
            Store::Add => target.iter_mut().zip(gradient).for_each(|(target, gradient)| *target += *gradient),
        }
    }
}

/// In training, sets some values to 0 and scales the others, so that the mean stays.
pub struct Dropout {
    rate: f64,
    seed: Option<u64>,
    /// Tells this layer's draws from every other's.
    place: u64,
    /// The draws of the last forward pass; none: it wasn't training. The mask itself is never stored.
    drawn: Option<Stream>,
    output: Vec<f32>,
}

impl Dropout {
    /// Drops a share `rate`; `place` tells one layer from another.
    pub fn new(rate: f64, seed: Option<u64>, place: usize) -> Self {
        Dropout { rate, seed, place: place as u64, drawn: None, output: Vec::new() }
    }

    fn drop<'a>(&self, stream: Stream, from: &'a [f32], to: &'a mut [f32], store: Store) -> Drop<'a> {
        // The share as a threshold of 32-bit numbers; below 2^32, as the rate is below 1.
        let threshold = (self.rate * 4_294_967_296.0) as u32;
        Drop { from, to, store, stream, threshold, scale: (1.0 / (1.0 - self.rate)) as f32 }
    }
}

impl Layer for Dropout {
    fn forward(&mut self, input: &[f32], training: Option<Training>) {
        self.drawn =
            training.map(|Training { seed, step }| Stream::new(&[self.seed.unwrap_or(seed), step, self.place]));
        let mut output = std::mem::take(&mut self.output);
        match self.drawn {
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
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, _input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        if let (Some((store, target)), Some(stream)) = (input_gradient, self.drawn) {
            simd::run(self.drop(stream, gradient, target, store));
        }
    }
}

/// Copies, or adds, what isn't dropped.
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
    fn dropout_keeps_the_mean_and_drops_its_share() {
        let mut layer = Dropout::new(0.3, None, 0);
        let input = vec![1.0; 50_000];
        layer.forward(&input, TRAINING);
        let dropped = layer.output().iter().filter(|y| **y == 0.0).count() as f64 / 50_000.0;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        assert!(layer.output().iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
    }

    #[test]
    fn dropout_depends_on_seed_step_and_place_alone() {
        let input = vec![1.0; 1000];
        let output = |seed, step, place, own| {
            let mut layer = Dropout::new(0.5, own, place);
            layer.forward(&input, Some(Training { seed, step }));
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
        layer.forward(&[1.0, -2.0], None);
        assert_eq!(layer.output(), [1.0, -2.0]);
    }

    #[test]
    fn dropout_passes_back_the_gradients_of_what_it_kept() {
        let mut layer = Dropout::new(0.5, None, 0);
        layer.forward(&[1.0; 100], TRAINING);
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
