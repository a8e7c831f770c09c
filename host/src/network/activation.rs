//! Activation functions by name, applied in place to the output of a layer.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::formulas::{Elu, Exponential, Formula, Gelu, LeakyRelu, Linear, Relu, Selu, Sigmoid, Silu, Softplus, Tanh};
use super::simd::{self, Kernel};
use super::{elementwise, softmax};
use crate::threads;

/// An activation function, with the definition and name of Keras 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// z
    #[default]
    Linear,
    /// max(z, 0)
    Relu,
    /// z above 0, else 0.2 z
    LeakyRelu,
    /// z above 0, else e^z - 1
    Elu,
    /// the scaled ELU of Klambauer et al. 2017
    Selu,
    /// z Φ(z), exact
    Gelu,
    /// 1 / (1 + e^-z)
    Sigmoid,
    /// the hyperbolic tangent
    Tanh,
    /// e^z over the sum of e^z, along the last axis
    Softmax,
    /// ln(1 + e^z)
    Softplus,
    /// z sigmoid(z), also called swish
    Silu,
    /// e^z
    Exponential,
}

/// The activations with their names; the first name is used for storage.
const NAMES: [(Activation, &[&str]); 12] = [
    (Activation::Linear, &["linear"]),
    (Activation::Relu, &["relu"]),
    (Activation::LeakyRelu, &["leaky_relu"]),
    (Activation::Elu, &["elu"]),
    (Activation::Selu, &["selu"]),
    (Activation::Gelu, &["gelu"]),
    (Activation::Sigmoid, &["sigmoid"]),
    (Activation::Tanh, &["tanh"]),
    (Activation::Softmax, &["softmax"]),
    (Activation::Softplus, &["softplus"]),
    (Activation::Silu, &["silu", "swish"]),
    (Activation::Exponential, &["exponential"]),
];

impl Activation {
    /// Returns the activation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(activation, _)| *activation)
    }

    /// Returns the name of the activation.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(activation, _)| *activation == self).map_or("linear", |(_, names)| names[0])
    }

    /// Returns all names, including aliases.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// Returns whether training stores the derivative in addition to the output.
    pub(super) fn stores_derivatives(self) -> bool {
        matches!(self, Activation::Gelu | Activation::Softplus | Activation::Silu)
    }

    /// Computes `values = f(values + bias)` in place, for rows of `width`. An empty `bias` means no bias. f' is written
    /// to `derivatives` if that is as long as `values` and the activation stores derivatives.
    pub(super) fn forward(self, values: &mut [f32], bias: &[f32], derivatives: &mut [f32], width: usize) {
        let block = block_length(width);
        if values.len() <= block {
            self.forward_block(values, bias, derivatives, width);
        } else if derivatives.is_empty() {
            let blocks = values.par_chunks_mut(block);
            threads::install(|| blocks.for_each(|values| self.forward_block(values, bias, &mut [], width)));
        } else {
            let blocks = (values.par_chunks_mut(block), derivatives.par_chunks_mut(block)).into_par_iter();
            threads::install(|| {
                blocks.for_each(|(values, derivatives)| self.forward_block(values, bias, derivatives, width));
            });
        }
    }

    fn forward_block(self, values: &mut [f32], bias: &[f32], derivatives: &mut [f32], width: usize) {
        fn run<F: Formula>(values: &mut [f32], bias: &[f32], derivatives: &mut [f32], width: usize) {
            simd::run(elementwise::Forward { values, bias, derivatives, width, formula: PhantomData::<F> });
        }
        match self {
            Activation::Linear if bias.is_empty() => {}
            Activation::Linear => run::<Linear>(values, bias, derivatives, width),
            Activation::Relu => run::<Relu>(values, bias, derivatives, width),
            Activation::LeakyRelu => run::<LeakyRelu>(values, bias, derivatives, width),
            Activation::Elu => run::<Elu>(values, bias, derivatives, width),
            Activation::Selu => run::<Selu>(values, bias, derivatives, width),
            Activation::Gelu => run::<Gelu>(values, bias, derivatives, width),
            Activation::Sigmoid => run::<Sigmoid>(values, bias, derivatives, width),
            Activation::Tanh => run::<Tanh>(values, bias, derivatives, width),
            Activation::Softmax => simd::run(softmax::Forward { values, bias, width }),
            Activation::Softplus => run::<Softplus>(values, bias, derivatives, width),
            Activation::Silu => run::<Silu>(values, bias, derivatives, width),
            Activation::Exponential => run::<Exponential>(values, bias, derivatives, width),
        }
    }

    /// Converts the gradient of the output into the gradient of z, in place. `stored` contains the derivatives if the
    /// activation stores them, else the output. The sum over rows is written to `bias_gradient`, unless it is empty;
    /// `partial` is scratch space.
    pub(super) fn backward(
        self,
        gradients: &mut [f32],
        stored: &[f32],
        bias_gradient: &mut [f32],
        partial: &mut Vec<f32>,
        width: usize,
    ) {
        bias_gradient.fill(0.0);
        let block = block_length(width);
        if gradients.len() <= block {
            self.backward_block(gradients, stored, bias_gradient, width);
        } else if bias_gradient.is_empty() {
            let blocks = (gradients.par_chunks_mut(block), stored.par_chunks(block)).into_par_iter();
            threads::install(|| {
                blocks.for_each(|(gradients, stored)| self.backward_block(gradients, stored, &mut [], width));
            });
        } else {
            // One sum per block, added in order, so that the result doesn't depend on the number of threads.
            partial.clear();
            partial.resize(gradients.len().div_ceil(block) * width, 0.0);
            let blocks = (gradients.par_chunks_mut(block), stored.par_chunks(block), partial.par_chunks_mut(width));
            threads::install(|| {
                let blocks = blocks.into_par_iter();
                blocks.for_each(|(gradients, stored, sums)| self.backward_block(gradients, stored, sums, width));
            });
            simd::run(SumRows { rows: partial, sums: bias_gradient, width });
        }
    }

    fn backward_block(self, gradients: &mut [f32], stored: &[f32], bias_gradient: &mut [f32], width: usize) {
        fn run<F: Formula>(gradients: &mut [f32], stored: &[f32], bias_gradient: &mut [f32], width: usize) {
            simd::run(elementwise::Backward { gradients, stored, bias_gradient, width, formula: PhantomData::<F> });
        }
        match self {
            Activation::Linear => simd::run(SumRows { rows: gradients, sums: bias_gradient, width }),
            Activation::Relu => run::<Relu>(gradients, stored, bias_gradient, width),
            Activation::LeakyRelu => run::<LeakyRelu>(gradients, stored, bias_gradient, width),
            Activation::Elu => run::<Elu>(gradients, stored, bias_gradient, width),
            Activation::Selu => run::<Selu>(gradients, stored, bias_gradient, width),
            Activation::Gelu => run::<Gelu>(gradients, stored, bias_gradient, width),
            Activation::Sigmoid => run::<Sigmoid>(gradients, stored, bias_gradient, width),
            Activation::Tanh => run::<Tanh>(gradients, stored, bias_gradient, width),
            Activation::Softmax => simd::run(softmax::Backward { gradients, outputs: stored, bias_gradient, width }),
            Activation::Softplus => run::<Softplus>(gradients, stored, bias_gradient, width),
            Activation::Silu => run::<Silu>(gradients, stored, bias_gradient, width),
            Activation::Exponential => run::<Exponential>(gradients, stored, bias_gradient, width),
        }
    }
}

/// Returns how many values (whole rows) one thread processes at a time: some 10 µs of work.
fn block_length(width: usize) -> usize {
    const VALUES: usize = 1 << 17;
    (VALUES / width.max(1)).max(1) * width.max(1)
}

struct SumRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
    width: usize,
}

impl Kernel for SumRows<'_> {
    #[inline(always)]
    fn run(self) {
        elementwise::sum_rows(self.rows, self.sums, self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the definition of each activation in float64, for one row.
    fn truth(activation: Activation, row: &[f64]) -> Vec<f64> {
        let each = |f: fn(f64) -> f64| row.iter().map(|&z| f(z)).collect::<Vec<_>>();
        match activation {
            Activation::Linear => each(|z| z),
            Activation::Relu => each(|z| z.max(0.0)),
            Activation::LeakyRelu => each(|z| if z > 0.0 { z } else { 0.2 * z }),
            Activation::Elu => each(|z| if z > 0.0 { z } else { z.exp_m1() }),
            Activation::Selu => {
                each(|z| 1.050_700_987_355_480_5 * if z > 0.0 { z } else { 1.673_263_242_354_377_2 * z.exp_m1() })
            }
            Activation::Gelu => each(|z| z * normal_cdf(z)),
            Activation::Sigmoid => each(|z| 1.0 / (1.0 + (-z).exp())),
            Activation::Tanh => each(f64::tanh),
            Activation::Softmax => {
                let sum: f64 = row.iter().map(|z| z.exp()).sum();
                row.iter().map(|z| z.exp() / sum).collect()
            }
            Activation::Softplus => each(|z| z.exp().ln_1p()),
            Activation::Silu => each(|z| z / (1.0 + (-z).exp())),
            Activation::Exponential => each(f64::exp),
        }
    }

    /// Computes Φ(z) by Simpson's rule from 0.
    fn normal_cdf(z: f64) -> f64 {
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let steps = 2000;
        let h = z / f64::from(steps);
        let inner: f64 = (1..steps).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
        0.5 + (density(0.0) + inner + density(z)) * h / 3.0
    }

    fn inputs(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 % 101) as f32 - 50.3) / 14.0).collect()
    }

    #[test]
    fn values_and_derivatives_agree_with_the_definition() {
        for (activation, _) in NAMES {
            for width in [1, 5, 33, 64] {
                let rows = 6;
                let z = inputs(rows * width);
                let bias: Vec<f32> = (0..width).map(|i| i as f32 / width as f32 - 0.4).collect();
                let upstream: Vec<f32> = (0..rows * width).map(|i| ((i * 13 % 17) as f32 - 8.0) / 8.0).collect();
                let mut y = z.clone();
                let mut derivatives = vec![0.0; if activation.stores_derivatives() { z.len() } else { 0 }];
                activation.forward(&mut y, &bias, &mut derivatives, width);
                let mut gradient = upstream.clone();
                let mut bias_gradient = vec![f32::NAN; width];
                let stored = if activation.stores_derivatives() { &derivatives } else { &y };
                activation.backward(&mut gradient, stored, &mut bias_gradient, &mut Vec::new(), width);

                let mut bias_want = vec![0.0; width];
                for r in 0..rows {
                    let at = r * width;
                    let row: Vec<f64> = (0..width).map(|c| f64::from(z[at + c]) + f64::from(bias[c])).collect();
                    let want = truth(activation, &row);
                    for c in 0..width {
                        let (got, want) = (f64::from(y[at + c]), want[c]);
                        assert!((got - want).abs() <= 2e-6 * (1.0 + want.abs()), "{activation:?}: {got} {want}");
                        let h = 1e-4;
                        let loss = |shift: f64| -> f64 {
                            let mut moved = row.clone();
                            moved[c] += shift;
                            let y = truth(activation, &moved);
                            y.iter().zip(&upstream[at..]).map(|(y, u)| y * f64::from(*u)).sum()
                        };
                        let want = (loss(h) - loss(-h)) / (2.0 * h);
                        let got = f64::from(gradient[at + c]);
                        assert!(
                            (got - want).abs() <= 1e-5 * (1.0 + want.abs()),
                            "{activation:?} of {}: {got} {want}",
                            row[c]
                        );
                        bias_want[c] += want;
                    }
                }
                for (got, want) in bias_gradient.iter().zip(&bias_want) {
                    assert!((f64::from(*got) - want).abs() <= 1e-4 * (1.0 + want.abs()), "{activation:?} bias");
                }
            }
        }
    }

    #[test]
    fn results_do_not_depend_on_blocks() {
        let width = 48;
        let rows = 9000;
        assert!(rows * width > 3 * block_length(width));
        for activation in [Activation::Relu, Activation::Gelu, Activation::Softmax] {
            let z = inputs(rows * width);
            let bias = inputs(width);
            let derivatives_of = |z: &[f32]| vec![0.0; if activation.stores_derivatives() { z.len() } else { 0 }];
            let (mut y, mut derivatives) = (z.clone(), derivatives_of(&z));
            activation.forward(&mut y, &bias, &mut derivatives, width);
            let (mut whole, mut whole_derivatives) = (z.clone(), derivatives_of(&z));
            activation.forward_block(&mut whole, &bias, &mut whole_derivatives, width);
            assert_eq!((&y, &derivatives), (&whole, &whole_derivatives));

            let stored = if activation.stores_derivatives() { &derivatives } else { &y };
            let (mut gradient, mut bias_gradient) = (inputs(y.len()), vec![0.0; width]);
            activation.backward(&mut gradient, stored, &mut bias_gradient, &mut Vec::new(), width);
            let (mut gradient_whole, mut bias_whole) = (inputs(y.len()), vec![0.0; width]);
            activation.backward_block(&mut gradient_whole, stored, &mut bias_whole, width);
            assert_eq!(gradient, gradient_whole);
            assert!(bias_gradient.iter().zip(&bias_whole).all(|(a, b)| (a - b).abs() < 0.02 * (1.0 + b.abs())));
        }
    }

    #[test]
    fn softmax_of_large_logits_is_finite() {
        let mut values = [1000.0, 1000.0, -1000.0];
        Activation::Softmax.forward(&mut values, &[], &mut [], 3);
        assert_eq!(values, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn names_map_to_activations_and_back() {
        for name in Activation::names() {
            let activation = Activation::from_name(name).expect("a name");
            assert!(name == activation.name() || name == "swish");
        }
        assert_eq!(Activation::from_name("Relu"), None);
    }
}
