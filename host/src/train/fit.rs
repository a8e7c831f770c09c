//! The training loop over epochs and batches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::callbacks::{Callback, Run};
use super::checkpoint;
use super::feed::{Feed, Order};
use super::history::{Epoch, History};
use super::run_folder::RunFolder;
use super::trainer::Trainer;
use crate::compile::Compiled;
use crate::data::Dataset;
use crate::error::ErrorKind;
use crate::network::Training;
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

/// Observes training, and can stop it.
pub trait Watch: Send {
    /// Returns whether to stop after this batch.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Called after batch `batch` of `batches` of an epoch, both numbered from 1.
    fn batch_ended(&mut self, epoch: u64, batch: usize, batches: usize, compiled: &Compiled) {
        let _ = (epoch, batch, batches, compiled);
    }

    /// Called for a problem that doesn't end the training, such as a crashed metric.
    fn warned(&mut self, text: &str) {
        let _ = text;
    }

    /// Called after an epoch, of `epochs` in total.
    fn epoch_ended(&mut self, epoch: &Epoch, epochs: u64) {
        let _ = (epoch, epochs);
    }
}

impl Watch for () {}

/// How training ended without an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Done,
    /// A callback ended training in this epoch.
    Early {
        /// The last epoch.
        epoch: u64,
        /// The reason.
        reason: String,
    },
    /// Training was stopped after a batch of this epoch.
    Stopped {
        /// The incomplete epoch.
        epoch: u64,
        /// The last batch that was trained.
        batch: usize,
    },
}

/// Trains, and appends each epoch to the history.
///
/// # Errors
/// Returns an error under the same conditions as [`Fit::run`].
pub fn fit(
    trainer: &mut Trainer<'_>,
    sets: (&Dataset, Option<&Dataset>),
    config: &FitConfig,
    history: &mut History,
    watch: &mut dyn Watch,
) -> Result<Ended> {
    Fit { config, callbacks: &mut [], folder: None }.run(trainer, sets, history, watch)
}

/// Training with callbacks and a folder for checkpoints.
pub struct Fit<'f> {
    /// The settings.
    pub config: &'f FitConfig,
    /// The callbacks, called in this order.
    pub callbacks: &'f mut [Box<dyn Callback>],
    /// The run folder, if the run is saved.
    pub folder: Option<&'f RunFolder>,
}

/// Minimum time between checkpoints, except for the first and the last: writing one may take longer than an epoch.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(1);

impl Fit<'_> {
    /// Trains the epochs that the history doesn't contain, and appends each to it. Then the optimizer sets the
    /// parameters to the values used for evaluation.
    ///
    /// The result depends only on the seed, the data and the configuration, not on the number of threads or on
    /// interruptions and resumes.
    ///
    /// # Errors
    /// Returns an error if the data don't fit the network, if a loss has no gradient, if a component or a callback
    /// fails, or if the loss is no longer finite. If a batch fails, the error says in which epoch and batch, the
    /// history doesn't contain that epoch, and the network is as it was before that batch, unless the optimizer failed
    /// or the loss wasn't finite.
    pub fn run(
        &mut self,
        trainer: &mut Trainer<'_>,
        sets: (&Dataset, Option<&Dataset>),
        history: &mut History,
        watch: &mut dyn Watch,
    ) -> Result<Ended> {
        let validates = sets.1.is_some();
        if let Some(validation) = sets.1 {
            trainer.check_classes(validation).map_err(|error| error.with("data", "validation"))?;
        }
        let weighted = match self.config.class_weight.is_empty() {
            true => None,
            false => Some(sets.0.clone().weighted_by_class(&self.config.class_weight)?),
        };
        let ended = self.epochs(trainer, (weighted.as_ref().unwrap_or(sets.0), sets.1), history, watch)?;
        trainer.finalize()?;
        let (epoch, count) = (self.done(history), self.count(sets.0));
        self.call(trainer, (history, count, validates), epoch, |callback, run| callback.train_end(run))?;
        Ok(ended)
    }

    /// Returns the number of the last epoch that is done.
    fn done(&self, history: &History) -> u64 {
        history.epochs.last().map_or(self.config.initial_epoch, |epoch| epoch.epoch)
    }

    /// Returns the number of batches per epoch.
    fn count(&self, train: &Dataset) -> usize {
        let batches = train.len().div_ceil(self.config.batch_size);
        self.config.steps_per_epoch.map_or(batches, |steps| steps as usize)
    }

    fn epochs(
        &mut self,
        trainer: &mut Trainer<'_>,
        (train, validation): (&Dataset, Option<&Dataset>),
        history: &mut History,
        watch: &mut dyn Watch,
    ) -> Result<Ended> {
        self.config.check()?;
        if train.is_empty() {
            return Err(Error::usage("there is nothing to train on: the data have no samples"));
        }
        trainer.prepare()?;
        let count = self.count(train);
        std::thread::scope(|scope| {
            let feed = Feed::new(scope, train, self.config, self.done(history) * count as u64);
            self.steps(trainer, (feed, count, train.len()), validation, history, watch)
        })
    }

    /// Trains all epochs, each of `count` batches; the training data have `len` samples.
    fn steps(
        &mut self,
        trainer: &mut Trainer<'_>,
        (mut feed, count, len): (Feed<'_>, usize, usize),
        validation: Option<&Dataset>,
        history: &mut History,
        watch: &mut dyn Watch,
    ) -> Result<Ended> {
        let (config, validates) = (self.config, validation.is_some());
        let mut written: Option<Instant> = None;
        let first = self.done(history) + 1;
        self.call(trainer, (history, count, validates), first, |callback, run| callback.train_begin(run))?;
        for epoch in first..=config.epochs {
            let begin = Instant::now();
            trainer.reset_metrics()?;
            self.call(trainer, (history, count, validates), epoch, |callback, run| callback.epoch_begin(run))?;
            let learning_rate = trainer.learning_rate();
            for index in 0..count {
                let batch = feed.next().map_err(|error| at_batch(error, epoch, index + 1))?;
                let training = Training { seed: config.seed, step: (epoch - 1) * count as u64 + index as u64 };
                let row_of = |row: usize| Order::new(len, config).batch(training.step).get(row).copied();
                let loss = trainer
                    .train_on_batch(batch, training)
                    .map_err(|error| at_batch(error.in_data(row_of), epoch, index + 1))?;
                report_crashes(trainer, watch, |error| at_batch(error, epoch, index + 1));
                watch.batch_ended(epoch, index + 1, count, trainer.compiled());
                if watch.is_stopped() {
                    return Ok(Ended::Stopped { epoch, batch: index + 1 });
                }
                if let Some(reason) = self
                    .call(trainer, (history, count, validates), epoch, |callback, run| callback.batch_end(run, loss))?
                {
                    return Ok(Ended::Early { epoch, reason });
                }
                if !loss.is_finite() {
                    let error = Error::failure(format!("the loss became {loss}"));
                    let error =
                        error.hint("try a lower learning rate, or `clipnorm`; the last checkpoint is from before");
                    return Err(at_batch(error, epoch, index + 1));
                }
            }
            let mut logs = trainer.compiled().logs()?;
            let due = epoch.is_multiple_of(config.validation_freq);
            if let Some(validation) = validation.filter(|_| due) {
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
            report_crashes(trainer, watch, |error| error.with("when", format!("at the end of epoch {epoch}")));
            let done = Epoch { epoch, logs, learning_rate, seconds: begin.elapsed().as_secs_f64() };
            watch.epoch_ended(&done, config.epochs);
            history.epochs.push(done);
            let reason =
                self.call(trainer, (history, count, validates), epoch, |callback, run| callback.epoch_end(run))?;
            let is_last = epoch == config.epochs || reason.is_some();
            if let Some(folder) =
                self.folder.filter(|_| is_last || written.is_none_or(|at| at.elapsed() >= BETWEEN_CHECKPOINTS))
            {
                folder.keep_checkpoint();
                checkpoint::save(trainer, history, self.callbacks, &folder.checkpoint())?;
                written = Some(Instant::now());
            }
            if let Some(reason) = reason {
                return Ok(Ended::Early { epoch, reason });
            }
        }
        Ok(Ended::Done)
    }

    /// Calls every callback. Returns the reason to stop, if a callback set one.
    fn call(
        &mut self,
        trainer: &mut Trainer<'_>,
        (history, steps, validates): (&History, usize, bool),
        epoch: u64,
        mut act: impl FnMut(&mut dyn Callback, &mut Run<'_, '_>) -> Result<()>,
    ) -> Result<Option<String>> {
        let mut stop = None;
        for (index, callback) in self.callbacks.iter_mut().enumerate() {
            let (folder, steps) = (self.folder, steps as u64);
            let mut run = Run { trainer, history, epoch, steps, validates, folder, stop: &mut stop };
            act(&mut **callback, &mut run).map_err(|error| error.with("in", format!("fit.callbacks[{index}]")))?;
        }
        Ok(stop)
    }
}

fn report_crashes(trainer: &mut Trainer<'_>, watch: &mut dyn Watch, add_place: impl Fn(Error) -> Error) {
    for error in trainer.take_crashes() {
        watch.warned(&add_place(error).to_string());
    }
}

/// Adds the epoch and the batch to an error.
fn at_batch(error: Error, epoch: u64, batch: usize) -> Error {
    error.with("when", format!("epoch {epoch}, batch {batch}"))
}
