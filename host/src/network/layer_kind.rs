//! The kinds of layers, the shapes of their outputs and the sizes of their parameters.

use super::{Activation, Initializer};

/// The kinds of layers of the embedded network, with the settings of Keras.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// `activation(x · kernel + bias)` along the last axis.
    Dense {
        /// The width of the output.
        units: usize,
        /// The activation of the output.
        activation: Activation,
        /// Whether a bias is added.
        use_bias: bool,
        /// The initialiser of the kernel `[inputs, units]`.
        kernel_initializer: Initializer,
        /// The initialiser of the bias `[units]`.
        bias_initializer: Initializer,
    },
    /// An activation as a layer.
    Activation(Activation),
    /// In training, sets a fraction `rate` of the values to 0 and scales the rest by 1 / (1 - rate).
    Dropout {
        /// The fraction, in 0..1.
        rate: f64,
        /// The seed; `None` derives it from the seed of the run.
        seed: Option<u64>,
    },
    /// Flattens all axes but the first into one.
    Flatten,
    /// Replaces category ids `[N, ...]` by trained vectors `[N, ..., output_dim]`. Must be the first layer.
    Embedding {
        /// The number of categories: the ids are `0..input_dim`.
        input_dim: usize,
        /// The length of each vector.
        output_dim: usize,
        /// The initialiser of the table `[input_dim, output_dim]`.
        embeddings_initializer: Initializer,
    },
    /// Normalises each column of the last axis, by the statistics of the batch in training, and by moving statistics
    /// otherwise and if the layer isn't trainable. Rows whose weights are all 0 count as rows of zeros.
    BatchNormalization {
        /// The share of the previous moving statistics that each training step keeps.
        momentum: f64,
        /// Added to the variance.
        epsilon: f64,
        /// The initialiser of the offset `beta`; `None` without an offset (`center=false`).
        beta_initializer: Option<Initializer>,
        /// The initialiser of the scale `gamma`; `None` without a scale (`scale=false`).
        gamma_initializer: Option<Initializer>,
        /// The initialiser of the moving mean.
        moving_mean_initializer: Initializer,
        /// The initialiser of the moving variance.
        moving_variance_initializer: Initializer,
    },
    /// Normalises each row along the last axis.
    LayerNormalization {
        /// Added to the variance.
        epsilon: f64,
        /// The initialiser of the offset `beta`; `None` without an offset (`center=false`).
        beta_initializer: Option<Initializer>,
        /// The initialiser of the scale `gamma`; `None` without a scale (`scale=false`).
        gamma_initializer: Option<Initializer>,
    },
    /// `x · scale + offset`, which isn't trained.
    Rescaling {
        /// One factor, or one for each column of the last axis.
        scale: Vec<f64>,
        /// One number, or one for each column of the last axis.
        offset: Vec<f64>,
    },
    /// Adds the output of an earlier layer of the same list of layers: a residual connection.
    Add {
        /// The name of that layer. Its output has the shape of the input.
        from: String,
    },
}

/// The class names of all kinds.
pub const CLASS_NAMES: [&str; 9] = [
    "Dense",
    "Activation",
    "Dropout",
    "Flatten",
    "Embedding",
    "BatchNormalization",
    "LayerNormalization",
    "Rescaling",
    "Add",
];

impl LayerKind {
    /// Returns the class name of Keras.
    pub fn class_name(&self) -> &'static str {
        match self {
            LayerKind::Dense { .. } => "Dense",
            LayerKind::Activation(_) => "Activation",
            LayerKind::Dropout { .. } => "Dropout",
            LayerKind::Flatten => "Flatten",
            LayerKind::Embedding { .. } => "Embedding",
            LayerKind::BatchNormalization { .. } => "BatchNormalization",
            LayerKind::LayerNormalization { .. } => "LayerNormalization",
            LayerKind::Rescaling { .. } => "Rescaling",
            LayerKind::Add { .. } => "Add",
        }
    }

    /// Returns the shape of the output for a sample of this shape; `None` if its size isn't a `usize`.
    pub(crate) fn output_shape(&self, mut shape: Vec<usize>) -> Option<Vec<usize>> {
        match self {
            LayerKind::Dense { units, .. } => {
                if let Some(last) = shape.last_mut() {
                    *last = *units;
                }
            }
            LayerKind::Flatten => {
                shape = vec![shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis))?];
            }
            LayerKind::Embedding { output_dim, .. } => shape.push(*output_dim),
            LayerKind::Activation(_)
            | LayerKind::Dropout { .. }
            | LayerKind::BatchNormalization { .. }
            | LayerKind::LayerNormalization { .. }
            | LayerKind::Rescaling { .. }
            | LayerKind::Add { .. } => {}
        }
        Some(shape)
    }

    /// Returns how many numbers the parameters have for a sample of this shape; `None` if that isn't a `usize`.
    pub(super) fn count_parameters(&self, shape: &[usize]) -> Option<usize> {
        let width = shape.last().copied().unwrap_or(1);
        let affine = |beta: &Option<_>, gamma: &Option<_>| usize::from(beta.is_some()) + usize::from(gamma.is_some());
        match self {
            LayerKind::Dense { units, use_bias, .. } => width.checked_add(usize::from(*use_bias))?.checked_mul(*units),
            LayerKind::Embedding { input_dim, output_dim, .. } => input_dim.checked_mul(*output_dim),
            LayerKind::BatchNormalization { beta_initializer, gamma_initializer, .. } => {
                width.checked_mul(2 + affine(beta_initializer, gamma_initializer))
            }
            LayerKind::LayerNormalization { beta_initializer, gamma_initializer, .. } => {
                width.checked_mul(affine(beta_initializer, gamma_initializer))
            }
            LayerKind::Activation(_)
            | LayerKind::Dropout { .. }
            | LayerKind::Flatten
            | LayerKind::Rescaling { .. }
            | LayerKind::Add { .. } => Some(0),
        }
    }
}
