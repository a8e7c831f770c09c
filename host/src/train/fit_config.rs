//! The `[fit]` table of a run file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The weight of each class in the loss, by id or name. Classes that aren't listed have weight 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub class_weight: BTreeMap<String, f64>,
    /// Identifiers of [callbacks](super::callbacks).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Value>,
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
            class_weight: BTreeMap::new(),
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
