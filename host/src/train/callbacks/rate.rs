//! The callbacks that change the learning rate: `ReduceLROnPlateau` and `LearningRateScheduler`.

use plugfit_api::schedule::When;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::monitor::{Mode, direction, is_better, value};
use super::{Callback, Run};
use crate::{Error, Host, Result, component};

/// Lowers the learning rate if a value hasn't improved for `patience` epochs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReduceLrOnPlateau {
    /// The name of the monitored value in the log.
    pub monitor: String,
    /// The factor that multiplies the rate; at least 0 and less than 1.
    pub factor: f64,
    /// The number of epochs without improvement.
    pub patience: u64,
    /// The direction in which the value is better.
    pub mode: Mode,
    /// The minimum improvement.
    pub min_delta: f64,
    /// The number of epochs after a change that are ignored.
    pub cooldown: u64,
    /// The lowest rate.
    pub min_lr: f64,
    #[serde(skip)]
    wait: u64,
    #[serde(skip)]
    cooling: u64,
    #[serde(skip)]
    best: Option<f64>,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        ReduceLrOnPlateau {
            monitor: "val_loss".into(),
            factor: 0.1,
            patience: 10,
            mode: Mode::Auto,
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
            wait: 0,
            cooling: 0,
            best: None,
        }
    }
}

impl Callback for ReduceLrOnPlateau {
    fn name(&self) -> &str {
        "ReduceLROnPlateau"
    }

    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::usage(format!(
                "ReduceLROnPlateau: factor must be at least 0 and less than 1, not {}",
                self.factor
            )));
        }
        direction(run, &self.monitor, self.mode).map(drop)
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let direction = direction(run, &self.monitor, self.mode)?;
        let value = value(run, &self.monitor)?;
        if run.history.epochs.last().is_none_or(|epoch| epoch.logs.get(&self.monitor).is_none()) {
            return Ok(());
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if let Some(value) = value.filter(|value| is_better(direction, *value, self.best, self.min_delta)) {
            self.best = Some(value);
            self.wait = 0;
        } else if self.cooling == 0 {
            self.wait += 1;
            let rate = run.trainer.learning_rate();
            if self.wait >= self.patience && rate > self.min_lr {
                run.trainer.set_learning_rate((rate * self.factor).max(self.min_lr))?;
                self.cooling = self.cooldown;
                self.wait = 0;
            }
        }
        Ok(())
    }

    fn state(&self) -> Value {
        json!({"wait": self.wait, "cooling": self.cooling, "best": self.best})
    }

    fn restore(&mut self, state: &Value, _: Vec<Vec<f32>>) -> Result<()> {
        let damaged = || Error::failure("the state of ReduceLROnPlateau is damaged");
        self.wait = state["wait"].as_u64().ok_or_else(damaged)?;
        self.cooling = state["cooling"].as_u64().ok_or_else(damaged)?;
        self.best = state["best"].as_f64();
        Ok(())
    }
}

/// Sets the learning rate at the start of each epoch from a schedule whose steps are epochs.
#[derive(Clone, Debug)]
pub struct LearningRateScheduler {
    schedule: component::Schedule,
}

impl LearningRateScheduler {
    pub(super) fn new(host: &Host, config: Map<String, Value>) -> Result<Self> {
        match config.get("schedule") {
            Some(schedule) if config.len() == 1 => Ok(LearningRateScheduler { schedule: host.schedule(schedule.clone())? }),
            _ => Err(Error::usage("LearningRateScheduler takes a schedule")
                .hint("for example LearningRateScheduler(schedule=ExponentialDecay(initial_learning_rate=0.1, decay_steps=1, decay_rate=0.9))")),
        }
    }
}

impl Callback for LearningRateScheduler {
    fn name(&self) -> &str {
        "LearningRateScheduler"
    }

    fn epoch_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let when = When { step: run.epoch - 1, epoch: run.epoch - 1, steps_per_epoch: Some(1) };
        run.trainer.set_learning_rate(self.schedule.learning_rate(&when)?)
    }
}
