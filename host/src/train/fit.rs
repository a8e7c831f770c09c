//! The loop over epochs and batches.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::history::{Epoch, History};
use super::trainer::{Trainer, batches};
use crate::compile::Compiled;
use crate::data::{Dataset, shuffled_order};
use crate::error::ErrorKind;
use crate::network::Training;
use crate::{Error, Result};

/// How to train: the `[fit]` table of a run's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// How often to go through the training data.
    pub epochs: u64,
    /// Samples in a batch.
    pub batch_size: usize,
    /// What the weights' start, the order of the samples and dropout follow from.
    pub seed: u64,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
}

impl Default for FitConfig {
    fn default() -> Self {
        FitConfig { epochs: 1, batch_size: 32, seed: 0, shuffle: true }
    }
}

impl FitConfig {
    /// # Errors
    /// It can't be trained with.
    pub fn check(&self) -> Result<()> {
        match self.batch_size {
            0 => Err(Error::usage("a batch needs at least one sample").with("in", "fit.batch_size")),
            _ => Ok(()),
        }
    }

    /// The keys of the table.
    pub const KEYS: [&'static str; 4] = ["epochs", "batch_size", "seed", "shuffle"];
}

/// Looks on while it is trained, and may stop it.
pub trait Watch: Send {
    /// Whether to stop after this batch.
    fn is_stopped(&self) -> bool {
        false
    }

    /// A batch is done: number `batch` of `batches` in this epoch, both numbers from 1.
    fn batch_ended(&mut self, epoch: u64, batch: usize, batches: usize, compiled: &Compiled) {
        let _ = (epoch, batch, batches, compiled);
    }

    /// An epoch is done, of `epochs` in all.
    fn epoch_ended(&mut self, epoch: &Epoch, epochs: u64) {
        let _ = (epoch, epochs);
    }
}

impl Watch for () {}

/// How a fit ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every epoch is done.
    Done,
    /// It was stopped after a batch of this epoch.
    Stopped {
        /// The epoch that isn't whole.
        epoch: u64,
        /// The last batch that was trained.
        batch: usize,
    },
}

/// Trains, and adds each epoch to the history.
///
/// The result follows from the seed, the data and the configuration, whatever the number of threads.
///
/// # Errors
/// The data don't fit the network, a loss has no gradient, or a component fails; the error says in which epoch and batch,
/// and the network and the history are as they were before that batch.
pub fn fit(
    trainer: &mut Trainer<'_>,
    (train, validation): (&Dataset, Option<&Dataset>),
    config: &FitConfig,
    history: &mut History,
    watch: &mut dyn Watch,
) -> Result<Ended> {
    config.check()?;
    if train.is_empty() {
        return Err(Error::usage("there is nothing to train on: the data have no samples"));
    }
    trainer.prepare()?;
    let mut batch = train.new_batch();
    let mut order = Vec::new();
    let count = train.len().div_ceil(config.batch_size);
    for epoch in 1..=config.epochs {
        let begin = Instant::now();
        if config.shuffle {
            shuffled_order(train.len(), config.seed, epoch, &mut order);
        } else if order.is_empty() {
            order.extend(0..train.len());
        }
        trainer.reset_metrics()?;
        let learning_rate = trainer.compiled().optimizer().map_or(0.0, |optimizer| optimizer.learning_rate());
        for (index, rows) in batches(train.len(), config.batch_size).enumerate() {
            train.gather_into(&order[rows], &mut batch)?;
            let training = Training { seed: config.seed, step: (epoch - 1) * count as u64 + index as u64 };
            trainer.train_on_batch(&batch, training).map_err(|error| placed(error, epoch, index + 1))?;
            watch.batch_ended(epoch, index + 1, count, trainer.compiled());
            if watch.is_stopped() {
                return Ok(Ended::Stopped { epoch, batch: index + 1 });
            }
        }
        let mut logs = trainer.compiled().logs()?;
        if let Some(validation) = validation {
            match trainer.evaluate(validation, config.batch_size, &|| watch.is_stopped()) {
                Ok(found) => {
                    for (name, value) in found.entries() {
                        logs.push(format!("val_{name}"), value.clone());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    return Ok(Ended::Stopped { epoch, batch: count });
                }
                Err(error) => return Err(error.with("in", format!("the validation of epoch {epoch}"))),
            }
        }
        let done = Epoch { epoch, logs, learning_rate, seconds: begin.elapsed().as_secs_f64() };
        watch.epoch_ended(&done, config.epochs);
        history.epochs.push(done);
    }
    Ok(Ended::Done)
}

/// Says when it happened.
fn placed(error: Error, epoch: u64, batch: usize) -> Error {
    error.with("when", format!("epoch {epoch}, batch {batch}"))
}
