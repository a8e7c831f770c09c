//! The `ModelCheckpoint` callback.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::monitor::{Mode, direction, is_better, value};
use super::{Callback, Run, file_of};
use crate::compile::LogValue;
use crate::train::save_weights;
use crate::{Error, Result};

/// Writes the weights after an epoch, to the run folder unless the path is absolute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCheckpoint {
    /// The file; `{epoch}`, `{epoch:02d}`, `{val_loss}` and `{val_loss:.2f}` are replaced by their values.
    pub filepath: String,
    /// The name of the monitored value in the log.
    pub monitor: String,
    /// Whether to write only epochs that are better than all before.
    pub save_best_only: bool,
    /// The direction in which the value is better.
    pub mode: Mode,
    #[serde(skip)]
    best: Option<f64>,
}

impl Default for ModelCheckpoint {
    fn default() -> Self {
        ModelCheckpoint {
            filepath: "best.safetensors".into(),
            monitor: "val_loss".into(),
            save_best_only: true,
            mode: Mode::Auto,
            best: None,
        }
    }
}

impl ModelCheckpoint {
    /// Returns the file name for the epoch that just ended.
    fn file(&self, run: &Run<'_, '_>) -> Result<String> {
        let Some(epoch) = run.history.epochs.last() else { return Ok(self.filepath.clone()) };
        let (mut text, mut rest) = (String::new(), self.filepath.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let wrong = || Error::usage(format!("ModelCheckpoint: filepath \"{}\" can't be filled in", self.filepath));
            let (field, remaining) = after.split_once('}').ok_or_else(wrong)?;
            let (name, format) = field.split_once(':').unwrap_or((field, ""));
            text.push_str(before);
            if name == "epoch" {
                let width: usize = format.trim_start_matches('0').trim_end_matches('d').parse().unwrap_or(0);
                text.push_str(&format!("{:0width$}", epoch.epoch));
            } else {
                let value = epoch.logs.get(name).and_then(LogValue::number).ok_or_else(wrong)?;
                let digits: usize = format.trim_start_matches('.').trim_end_matches('f').parse().unwrap_or(4);
                text.push_str(&format!("{value:.digits$}"));
            }
            rest = remaining;
        }
        text.push_str(rest);
        Ok(text)
    }
}

impl Callback for ModelCheckpoint {
    fn name(&self) -> &str {
        "ModelCheckpoint"
    }

    fn monitored(&self) -> Option<(&str, Mode)> {
        self.save_best_only.then_some((self.monitor.as_str(), self.mode))
    }

    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        // A name with fields is known only at the end of an epoch.
        if !self.filepath.contains('{') {
            file_of(run, &self.filepath)?;
        }
        if self.save_best_only { direction(run, &self.monitor, self.mode).map(drop) } else { Ok(()) }
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        if self.save_best_only {
            let direction = direction(run, &self.monitor, self.mode)?;
            match value(run, &self.monitor)? {
                Some(value) if is_better(direction, value, self.best, 0.0) => self.best = Some(value),
                _ => return Ok(()),
            }
        }
        save_weights(run.trainer.network(), &file_of(run, &self.file(run)?)?)
    }

    fn state(&self) -> Value {
        json!({"best": self.best})
    }

    fn restore(&mut self, state: &Value, _: Vec<Vec<f32>>) -> Result<()> {
        self.best = state["best"].as_f64();
        Ok(())
    }
}
