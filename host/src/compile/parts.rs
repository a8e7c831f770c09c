//! A compiled loss or metric: its component, its log column, and how it is called with a batch.

use std::sync::OnceLock;

use plugfit_api::metric::Outcome;

use super::mean::Mean;
use crate::component::{self, DtypeCache, Output};
use crate::error::ErrorKind;
use crate::{Error, Result};

/// A loss compiled for one output.
#[derive(Debug)]
pub(super) struct CompiledLoss {
    pub loss: component::Loss,
    /// The position of its identifier in the compile configuration.
    pub place: String,
    /// The index of its output.
    pub output: usize,
    /// Its factor in the total.
    pub weight: f64,
    /// The name of its column without "_loss", used if each loss has a column.
    pub label: String,
    /// Whether it is part of the total; see `Plan`.
    pub counts: bool,
    /// The mean of its values, without `weight`.
    pub mean: Mean,
    /// Its value in the current batch, without `weight`.
    pub value: Option<f64>,
}

/// A metric compiled for one output.
#[derive(Debug)]
pub(super) struct CompiledMetric {
    pub metric: component::Metric,
    pub output: usize,
    pub weighted: bool,
    /// The name of its column.
    pub column: String,
    /// Whether training continues without it after a crash.
    continue_on_crash: bool,
    /// The crash, if any. After a crash the metric isn't called, and its result is undefined.
    crash: OnceLock<Error>,
    reported: bool,
}

impl CompiledLoss {
    pub fn new(loss: component::Loss, place: String, output: usize, weight: Option<f64>, label: String) -> Self {
        CompiledLoss {
            loss,
            place,
            output,
            weight: weight.unwrap_or(1.0),
            label,
            counts: true,
            mean: Mean::default(),
            value: None,
        }
    }

    /// Returns its part of the total: 0 if the weight is 0, even if the value is NaN.
    pub fn weighted(&self, value: f64) -> f64 {
        if self.weight == 0.0 { 0.0 } else { value * self.weight }
    }

    /// Returns the error for training with a loss that has no gradient.
    pub fn no_gradient(&self) -> Error {
        Error::usage(format!("cannot train with {}: it has no gradient", self.loss.name()))
            .with("in", &self.place)
            .hint("use it as a metric, or give it a gradient")
    }
}

impl CompiledMetric {
    pub fn new(metric: component::Metric, output: usize, weighted: bool, continue_on_crash: bool) -> Self {
        CompiledMetric {
            metric,
            output,
            weighted,
            column: String::new(),
            continue_on_crash,
            crash: OnceLock::new(),
            reported: false,
        }
    }

    /// Updates the metric with a batch.
    pub fn update(&mut self, output: &Output<'_>, cache: &mut DtypeCache) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        if output.y_true.is_none() && !self.metric.takes_values() {
            return Err(Error::usage(format!("the metric {} needs targets", self.column)));
        }
        let result = self.metric.update_with(output, self.weighted, cache);
        self.absorb_crash(result).map(drop)
    }

    /// Returns the result.
    pub fn result(&self) -> Result<Outcome> {
        if self.crash.get().is_some() {
            return Ok(Outcome::Undefined);
        }
        Ok(self.absorb_crash(self.metric.result())?.unwrap_or(Outcome::Undefined))
    }

    /// Resets the state.
    pub fn reset(&mut self) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        let result = self.metric.reset_state();
        self.absorb_crash(result).map(drop)
    }

    /// Returns its crash the first time it is called after the crash.
    pub fn take_crash(&mut self) -> Option<Error> {
        let crash = self.crash.get().filter(|_| !self.reported)?;
        self.reported = true;
        Some(crash.clone())
    }

    /// Returns `None` for a crash that doesn't end the training.
    fn absorb_crash<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(error) if self.continue_on_crash && error.kind() == ErrorKind::Crash => {
                let _ = self.crash.set(error.hint("the run continues without this metric"));
                Ok(None)
            }
            result => result.map(Some),
        }
    }
}
