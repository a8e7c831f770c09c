//! What batch and layer normalisation share: the scale and the offset after the normalisation.

use super::initializer::Initializer;
use super::layer::Weight;
use crate::Result;

/// Adds `gamma` and `beta` of this width to the weights of a layer, each if it has an initialiser.
pub fn affine_weights(
    [gamma, beta]: [Option<Initializer>; 2],
    width: usize,
    name: &str,
    seed: u64,
    layer_index: usize,
) -> Result<Vec<Weight>> {
    let mut weights = Vec::new();
    for (index, (weight_name, initializer)) in [("gamma", gamma), ("beta", beta)].into_iter().enumerate() {
        if let Some(initializer) = initializer {
            let mut weight = Weight::new(weight_name, vec![width], name)?;
            initializer.fill(&mut weight.values, [width, width], seed, &[layer_index as u64, index as u64]);
            weights.push(weight);
        }
    }
    Ok(weights)
}

/// The values of `gamma` and `beta`; `None` for one that the layer doesn't have.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    gamma: Option<&'a [f32]>,
    beta: Option<&'a [f32]>,
}

impl<'a> Affine<'a> {
    /// Finds the values among the weights of a layer.
    pub fn of(weights: &'a [Weight]) -> Self {
        let find = |name| weights.iter().find(|weight| weight.name == name).map(|weight| &weight.values[..]);
        Affine { gamma: find("gamma"), beta: find("beta") }
    }

    /// Scales and shifts a normalised value of this column.
    pub fn apply(&self, normalized: f32, column: usize) -> f32 {
        let scaled = self.gamma.map_or(normalized, |gamma| normalized * gamma[column]);
        self.beta.map_or(scaled, |beta| scaled + beta[column])
    }

    /// Returns the scale of a column.
    pub fn scale(&self, column: usize) -> f32 {
        self.gamma.map_or(1.0, |gamma| gamma[column])
    }
}

/// The gradients of `gamma` and `beta`, as float64 sums over all rows.
#[derive(Default)]
pub struct AffineGradients {
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
}

impl AffineGradients {
    /// Sets the sums to 0.
    pub fn reset(&mut self, width: usize) {
        for sums in [&mut self.gamma, &mut self.beta] {
            sums.clear();
            sums.resize(width, 0.0);
        }
    }

    /// Adds the gradient of an output.
    pub fn add(&mut self, column: usize, gradient: f32, normalized: f32) {
        self.gamma[column] += f64::from(gradient) * f64::from(normalized);
        self.beta[column] += f64::from(gradient);
    }

    /// Writes the sums to the gradients of the weights.
    pub fn store(&self, weights: &mut [Weight]) {
        for weight in weights {
            let sums = match weight.name {
                "gamma" => &self.gamma,
                "beta" => &self.beta,
                _ => continue,
            };
            weight.gradient.iter_mut().zip(sums).for_each(|(gradient, sum)| *gradient = *sum as f32);
        }
    }
}
