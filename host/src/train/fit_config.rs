//! The `[fit]` table of a run file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::Dataset;
use crate::{Error, Result};

/// How to train: the `[fit]` table of a run file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// The number of the last epoch.
    pub epochs: u64,
    /// The number of epochs that count as already done.
    pub initial_epoch: u64,
    /// Batches per epoch; by default one pass over the training data. Passes continue across epochs, each in its own
    /// order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_per_epoch: Option<u64>,
    /// Samples per batch.
    pub batch_size: usize,
    /// The seed of the initial weights, the sample order and dropout.
    pub seed: u64,
    /// Whether each pass over the data is shuffled differently.
    pub shuffle: bool,
    /// Validation runs every this many epochs.
    pub validation_freq: u64,
    /// The weight of each class in the loss.
    #[serde(skip_serializing_if = "ClassWeight::is_none")]
    pub class_weight: ClassWeight,
    /// Identifiers of [callbacks](super::callbacks).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Value>,
}

/// The weight of each class in the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"balanced\" or a table of classes and weights")]
pub enum ClassWeight {
    /// By a rule.
    Rule(ClassWeightRule),
    /// By id or name. Classes that aren't listed have weight 1.
    Classes(BTreeMap<String, f64>),
}

/// A rule for the weights of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeightRule {
    /// N / (K · n) for a class with n of the N samples to train on, which have K classes, as in scikit-learn: each class
    /// counts as much as any other.
    Balanced,
}

impl Default for ClassWeight {
    fn default() -> Self {
        ClassWeight::Classes(BTreeMap::new())
    }
}

impl ClassWeight {
    /// Returns whether all weights are 1 because none is given.
    pub fn is_none(&self) -> bool {
        matches!(self, ClassWeight::Classes(weights) if weights.is_empty())
    }

    /// Returns these samples with the weights of their classes, or `None` if no weight is given.
    ///
    /// # Errors
    /// As [`Dataset::weighted_by_class`], and if the target isn't one of classes.
    pub(super) fn weighted(&self, samples: &Dataset) -> Result<Option<Dataset>> {
        let balanced;
        let weights = match self {
            ClassWeight::Classes(weights) if weights.is_empty() => return Ok(None),
            ClassWeight::Classes(weights) => weights,
            ClassWeight::Rule(ClassWeightRule::Balanced) => {
                balanced = samples.balanced_class_weights()?;
                &balanced
            }
        };
        samples.clone().weighted_by_class(weights).map(Some)
    }
}

impl Default for FitConfig {
    fn default() -> Self {
        FitConfig {
            epochs: 1,
            initial_epoch: 0,
            steps_per_epoch: None,
            batch_size: 32,
            seed: 0,
            shuffle: true,
            validation_freq: 1,
            class_weight: ClassWeight::default(),
            callbacks: Vec::new(),
        }
    }
}

impl FitConfig {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// Returns an error if a setting that must be at least 1 is 0.
    pub fn check(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::usage("a batch needs at least one sample").with("in", "fit.batch_size"));
        }
        if self.steps_per_epoch == Some(0) {
            return Err(Error::usage("an epoch needs at least one step").with("in", "fit.steps_per_epoch"));
        }
        if self.validation_freq == 0 {
            return Err(Error::usage("validation_freq must be at least 1").with("in", "fit.validation_freq"));
        }
        Ok(())
    }

    /// The keys of the table.
    pub const KEYS: [&'static str; 9] = [
        "epochs",
        "initial_epoch",
        "steps_per_epoch",
        "batch_size",
        "seed",
        "shuffle",
        "validation_freq",
        "class_weight",
        "callbacks",
    ];
}
