//! The activations by name, and their application to a layer's whole output.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::formulas::{Elu, Exponential, Formula, Gelu, LeakyRelu, Linear, Relu, Selu, Sigmoid, Silu, Softplus, Tanh};
use super::simd::{self, Kernel};
use super::{elementwise, softmax};

/// An activation function, with Keras 3's definition and name.
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
    /// the scaled elu of Klambauer et al. 2017
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

/// Every activation with its names, the first being the one it is stored under.
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
    /// The activation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(activation, _)| *activation)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(activation, _)| *activation == self).map_or("linear", |(_, names)| names[0])
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// Whether training keeps the derivative beside the output.
    pub(super) fn keeps_slopes(self) -> bool {
        matches!(self, Activation::Gelu | Activation::Softplus | Activation::Silu)
    }

    /// `values = f(values + bias)` in place, for rows of `width`. An empty `bias` is none; `slopes` receives f' if it
    /// is as long as `values` and the activation keeps slopes.
    pub(super) fn forward(self, values: &mut [f32], bias: &[f32], slopes: &mut [f32], width: usize) {
        let block = block_length(width);
        if values.len() <= block {
            self.forward_block(values, bias, slopes, width);
        } else if slopes.is_empty() {
            values.par_chunks_mut(block).for_each(|values| self.forward_block(values, bias, &mut [], width));
        } else {
            (values.par_chunks_mut(block), slopes.par_chunks_mut(block))
                .into_par_iter()
                .for_each(|(values, slopes)| self.forward_block(values, bias, slopes, width));
        }
    }

    fn forward_block(self, values: &mut [f32], bias: &[f32], slopes: &mut [f32], width: usize) {
        fn run<F: Formula>(values: &mut [f32], bias: &[f32], slopes: &mut [f32], width: usize) {
            simd::run(elementwise::Forward { values, bias, slopes, width, formula: PhantomData::<F> });
        }
        match self {
            Activation::Linear if bias.is_empty() => {}
            Activation::Linear => run::<Linear>(values, bias, slopes, width),
            Activation::Relu => run::<Relu>(values, bias, slopes, width),
            Activation::LeakyRelu => run::<LeakyRelu>(values, bias, slopes, width),
            Activation::Elu => run::<Elu>(values, bias, slopes, width),
            Activation::Selu => run::<Selu>(values, bias, slopes, width),
            Activation::Gelu => run::<Gelu>(values, bias, slopes, width),
            Activation::Sigmoid => run::<Sigmoid>(values, bias, slopes, width),
            Activation::Tanh => run::<Tanh>(values, bias, slopes, width),
            Activation::Softmax => simd::run(softmax::Forward { values, bias, width }),
            Activation::Softplus => run::<Softplus>(values, bias, slopes, width),
            Activation::Silu => run::<Silu>(values, bias, slopes, width),
            Activation::Exponential => run::<Exponential>(values, bias, slopes, width),
        }
    }

    /// Turns the gradient of the output into that of z in place. `kept` is the slopes where the activation keeps
    /// them, else the output. `bias_gradient` (empty: none) becomes the sum over rows; `partial` is scratch for it.
    pub(super) fn backward(
        self,
        gradients: &mut [f32],
        kept: &[f32],
        bias_gradient: &mut [f32],
        partial: &mut Vec<f32>,
        width: usize,
    ) {
        bias_gradient.fill(0.0);
        let block = block_length(width);
        if gradients.len() <= block {
            self.backward_block(gradients, kept, bias_gradient, width);
        } else if bias_gradient.is_empty() {
            (gradients.par_chunks_mut(block), kept.par_chunks(block))
                .into_par_iter()
                .for_each(|(gradients, kept)| self.backward_block(gradients, kept, &mut [], width));
        } else {
            // A sum for each block, added in order: the number of threads changes no bit.
            partial.clear();
            partial.resize(gradients.len().div_ceil(block) * width, 0.0);
            (gradients.par_chunks_mut(block), kept.par_chunks(block), partial.par_chunks_mut(width))
                .into_par_iter()
                .for_each(|(gradients, kept, sums)| self.backward_block(gradients, kept, sums, width));
            simd::run(AddUpRows { rows: partial, sums: bias_gradient, width });
        }
    }

    fn backward_block(self, gradients: &mut [f32], kept: &[f32], bias_gradient: &mut [f32], width: usize) {
        fn run<F: Formula>(gradients: &mut [f32], kept: &[f32], bias_gradient: &mut [f32], width: usize) {
            simd::run(elementwise::Backward { gradients, kept, bias_gradient, width, formula: PhantomData::<F> });
        }
        match self {
            Activation::Linear => simd::run(AddUpRows { rows: gradients, sums: bias_gradient, width }),
            Activation::Relu => run::<Relu>(gradients, kept, bias_gradient, width),
            Activation::LeakyRelu => run::<LeakyRelu>(gradients, kept, bias_gradient, width),
            Activation::Elu => run::<Elu>(gradients, kept, bias_gradient, width),
            Activation::Selu => run::<Selu>(gradients, kept, bias_gradient, width),
            Activation::Gelu => run::<Gelu>(gradients, kept, bias_gradient, width),
            Activation::Sigmoid => run::<Sigmoid>(gradients, kept, bias_gradient, width),
            Activation::Tanh => run::<Tanh>(gradients, kept, bias_gradient, width),
            Activation::Softmax => simd::run(softmax::Backward { gradients, outputs: kept, bias_gradient, width }),
            Activation::Softplus => run::<Softplus>(gradients, kept, bias_gradient, width),
            Activation::Silu => run::<Silu>(gradients, kept, bias_gradient, width),
            Activation::Exponential => run::<Exponential>(gradients, kept, bias_gradient, width),
        }
    }
}

/// How many values (whole rows) one thread takes at a time: some 10 µs of work.
fn block_length(width: usize) -> usize {
    const VALUES: usize = 1 << 17;
    (VALUES / width.max(1)).max(1) * width.max(1)
}

struct AddUpRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
    width: usize,
}

impl Kernel for AddUpRows<'_> {
    #[inline(always)]
    fn run(self) {
        elementwise::add_up_rows(self.rows, self.sums, self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each activation's definition in float64, over one row.
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

    /// By Simpson's rule from 0.
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
                let mut slopes = vec![0.0; if activation.keeps_slopes() { z.len() } else { 0 }];
                activation.forward(&mut y, &bias, &mut slopes, width);
                let mut gradient = upstream.clone();
                let mut bias_gradient = vec![f32::NAN; width];
                let kept = if activation.keeps_slopes() { &slopes } else { &y };
                activation.backward(&mut gradient, kept, &mut bias_gradient, &mut Vec::new(), width);

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
    fn large_outputs_cut_into_blocks_give_the_same() {
        let width = 48;
        let rows = 9000;
        assert!(rows * width > 3 * block_length(width));
        for activation in [Activation::Relu, Activation::Gelu, Activation::Softmax] {
            let z = inputs(rows * width);
            let bias = inputs(width);
            let slopes_of = |z: &[f32]| vec![0.0; if activation.keeps_slopes() { z.len() } else { 0 }];
            let (mut y, mut slopes) = (z.clone(), slopes_of(&z));
            activation.forward(&mut y, &bias, &mut slopes, width);
            let (mut whole, mut whole_slopes) = (z.clone(), slopes_of(&z));
            activation.forward_block(&mut whole, &bias, &mut whole_slopes, width);
            assert_eq!((&y, &slopes), (&whole, &whole_slopes));

            let kept = if activation.keeps_slopes() { &slopes } else { &y };
            let (mut gradient, mut bias_gradient) = (inputs(y.len()), vec![0.0; width]);
            activation.backward(&mut gradient, kept, &mut bias_gradient, &mut Vec::new(), width);
            let (mut gradient_whole, mut bias_whole) = (inputs(y.len()), vec![0.0; width]);
            activation.backward_block(&mut gradient_whole, kept, &mut bias_whole, width);
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
    fn names_lead_back() {
        for name in Activation::names() {
            let activation = Activation::from_name(name).expect("a name");
            assert!(name == activation.name() || name == "swish");
        }
        assert_eq!(Activation::from_name("Relu"), None);
    }
}
