//! The training loop over epochs and batches.

use std::time::{Duration, Instant};

use super::callbacks::{Callback, Run};
use super::checkpoint;
use super::feed::{Feed, Order};
use super::fit_config::FitConfig;
use super::history::{Epoch, History};
use super::run_folder::RunFolder;
use super::trainer::Trainer;
use crate::compile::Compiled;
use crate::data::Dataset;
use crate::error::ErrorKind;
use crate::network::Training;
use crate::{Error, Result};

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

/// What every epoch trains on.
#[derive(Clone, Copy)]
struct Amount {
    /// The number of training samples.
    samples: usize,
    /// The number of batches per epoch.
    batches: usize,
    /// Whether there is validation data.
    validates: bool,
}

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
        (train, validation): (&Dataset, Option<&Dataset>),
        history: &mut History,
        watch: &mut dyn Watch,
    ) -> Result<Ended> {
        if let Some(validation) = validation {
            trainer.check_classes(validation).map_err(|error| error.with("data", "validation"))?;
        }
        let weighted = self.config.class_weight.weighted(train)?;
        let train = weighted.as_ref().unwrap_or(train);
        self.config.check()?;
        if train.is_empty() {
            return Err(Error::usage("there is nothing to train on: the data have no samples"));
        }
        trainer.prepare()?;
        let batches = train.len().div_ceil(self.config.batch_size);
        let amount = Amount {
            samples: train.len(),
            batches: self.config.steps_per_epoch.map_or(batches, |steps| steps as usize),
            validates: validation.is_some(),
        };
        let ended = std::thread::scope(|scope| {
            let feed = Feed::new(scope, train, self.config, self.done(history) * amount.batches as u64);
            self.epochs(trainer, (feed, amount), validation, history, watch)
        })?;
        trainer.finalize()?;
        let epoch = self.done(history);
        self.call(trainer, history, amount, epoch, |callback, run| callback.train_end(run))?;
        Ok(ended)
    }

    /// Returns the number of the last epoch that is done.
    fn done(&self, history: &History) -> u64 {
        history.epochs.last().map_or(self.config.initial_epoch, |epoch| epoch.epoch)
    }

    fn epochs(
        &mut self,
        trainer: &mut Trainer<'_>,
        (mut feed, amount): (Feed<'_>, Amount),
        validation: Option<&Dataset>,
        history: &mut History,
        watch: &mut dyn Watch,
    ) -> Result<Ended> {
        let config = self.config;
        let mut written: Option<Instant> = None;
        let first = self.done(history) + 1;
        self.call(trainer, history, amount, first, |callback, run| callback.train_begin(run))?;
        for epoch in first..=config.epochs {
            let begin = Instant::now();
            trainer.reset_metrics()?;
            self.call(trainer, history, amount, epoch, |callback, run| callback.epoch_begin(run))?;
            let learning_rate = trainer.learning_rate();
            if let Some(ended) = self.batches(trainer, (&mut feed, amount), history, epoch, watch)? {
                return Ok(ended);
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
                        return Ok(Ended::Stopped { epoch, batch: amount.batches });
                    }
                    Err(error) => return Err(error.with("in", format!("the validation of epoch {epoch}"))),
                }
            }
            report_crashes(trainer, watch, |error| error.with("when", format!("at the end of epoch {epoch}")));
            let done = Epoch { epoch, logs, learning_rate, seconds: begin.elapsed().as_secs_f64() };
            watch.epoch_ended(&done, config.epochs);
            history.epochs.push(done);
            let reason = self.call(trainer, history, amount, epoch, |callback, run| callback.epoch_end(run))?;
            let is_last = epoch == config.epochs || reason.is_some();
            let due = is_last || written.is_none_or(|at| at.elapsed() >= BETWEEN_CHECKPOINTS);
            if let Some(folder) = self.folder.filter(|_| due) {
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

    /// Trains on the batches of an epoch. Returns how training ended if it did.
    fn batches(
        &mut self,
        trainer: &mut Trainer<'_>,
        (feed, amount): (&mut Feed<'_>, Amount),
        history: &History,
        epoch: u64,
        watch: &mut dyn Watch,
    ) -> Result<Option<Ended>> {
        let config = self.config;
        for batch in 1..=amount.batches {
            let step = (epoch - 1) * amount.batches as u64 + batch as u64 - 1;
            let row_of = |row: usize| Order::new(amount.samples, config).batch(step).get(row).copied();
            let loss = feed
                .next()
                .and_then(|rows| trainer.train_on_batch(rows, Training { seed: config.seed, step }))
                .map_err(|error| at_batch(error.in_data(row_of), epoch, batch))?;
            report_crashes(trainer, watch, |error| at_batch(error, epoch, batch));
            watch.batch_ended(epoch, batch, amount.batches, trainer.compiled());
            if watch.is_stopped() {
                return Ok(Some(Ended::Stopped { epoch, batch }));
            }
            let reason = self.call(trainer, history, amount, epoch, |callback, run| callback.batch_end(run, loss))?;
            if let Some(reason) = reason {
                return Ok(Some(Ended::Early { epoch, reason }));
            }
            if !loss.is_finite() {
                let error = Error::failure(format!("the loss became {loss}")).hint(format!(
                    "try a lower learning rate, or `clipnorm`; the last checkpoint was written before the loss became {loss}"
                ));
                return Err(at_batch(error, epoch, batch));
            }
        }
        Ok(None)
    }

    /// Calls every callback. Returns the reason to stop, if a callback set one.
    fn call(
        &mut self,
        trainer: &mut Trainer<'_>,
        history: &History,
        amount: Amount,
        epoch: u64,
        mut act: impl FnMut(&mut dyn Callback, &mut Run<'_, '_>) -> Result<()>,
    ) -> Result<Option<String>> {
        let mut stop = None;
        for (index, callback) in self.callbacks.iter_mut().enumerate() {
            let (folder, steps, validates) = (self.folder, amount.batches as u64, amount.validates);
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
