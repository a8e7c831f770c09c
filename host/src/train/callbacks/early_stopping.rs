//! The `EarlyStopping` callback.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::monitor::{Mode, direction, is_better, value};
use super::{Callback, Run, weights};
use crate::{Error, Result};

/// Ends a run if a value hasn't improved for `patience` epochs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// The name of the monitored value in the log.
    pub monitor: String,
    /// The minimum improvement.
    pub min_delta: f64,
    /// The number of epochs without improvement.
    pub patience: u64,
    /// The direction in which the value is better.
    pub mode: Mode,
    /// The value to surpass: epochs that don't surpass it count as epochs without improvement.
    pub baseline: Option<f64>,
    /// Whether to restore the weights of the best epoch at the end.
    pub restore_best_weights: bool,
    /// The number of epochs at the start that are ignored.
    pub start_from_epoch: u64,
    #[serde(skip)]
    wait: u64,
    #[serde(skip)]
    best: Option<(f64, u64)>,
    #[serde(skip)]
    best_weights: Vec<Vec<f32>>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            monitor: "val_loss".into(),
            min_delta: 0.0,
            patience: 0,
            mode: Mode::Auto,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            wait: 0,
            best: None,
            best_weights: Vec::new(),
        }
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> &str {
        "EarlyStopping"
    }

    fn monitored(&self) -> Option<(&str, Mode)> {
        Some((&self.monitor, self.mode))
    }

    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        direction(run, &self.monitor, self.mode).map(drop)
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let epoch = run.history.epochs.len() as u64;
        let direction = direction(run, &self.monitor, self.mode)?;
        let value = value(run, &self.monitor)?;
        let validated = run.history.epochs.last().is_some_and(|epoch| epoch.logs.get(&self.monitor).is_some());
        if epoch <= self.start_from_epoch || !validated {
            return Ok(());
        }
        self.wait += 1;
        if let Some(value) =
            value.filter(|value| is_better(direction, *value, self.best.map(|best| best.0), self.min_delta))
        {
            self.best = Some((value, epoch));
            if self.restore_best_weights {
                self.best_weights = weights(run);
            }
            if is_better(direction, value, self.baseline, self.min_delta) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 1 {
            let best = self
                .best
                .map_or_else(|| "was never defined".into(), |(best, at)| format!("was best at epoch {at}: {best:.4}"));
            *run.stop = Some(format!("{} {best}", self.monitor));
        }
        Ok(())
    }

    fn train_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        if self.best_weights.is_empty() { Ok(()) } else { run.trainer.set_weights(&self.best_weights) }
    }

    fn state(&self) -> Value {
        json!({"wait": self.wait, "best": self.best})
    }

    fn tensors(&self) -> Vec<Vec<f32>> {
        self.best_weights.clone()
    }

    fn restore(&mut self, state: &Value, tensors: Vec<Vec<f32>>) -> Result<()> {
        self.wait = state["wait"].as_u64().ok_or_else(|| Error::failure("the state of EarlyStopping is damaged"))?;
        self.best = serde_json::from_value(state["best"].clone()).unwrap_or_default();
        self.best_weights = tensors;
        Ok(())
    }
}
