//! The results of each epoch.

use plugfit_api::metric::Direction;
use serde_json::{Value, json};

use crate::compile::{LogValue, Logs};

/// A finished epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Training losses and metrics, then validation losses and metrics with the prefix `val_`.
    pub logs: Logs,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// The duration in seconds, including validation.
    pub seconds: f64,
}

impl Epoch {
    /// Converts the epoch to JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "epoch": self.epoch,
            "logs": self.logs.to_json(),
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        })
    }
}

/// The epochs of a run, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The epochs.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// Returns the best value of this name and the first epoch with it. Skips undefined values and NaN.
    pub fn best(&self, name: &str, direction: Direction) -> Option<(&Epoch, f64)> {
        let values = self.epochs.iter().filter_map(|epoch| {
            let value = epoch.logs.get(name).and_then(LogValue::number).filter(|value| !value.is_nan())?;
            Some((epoch, value))
        });
        let better = |value: f64, best: f64| match direction {
            Direction::Maximize => value > best,
            Direction::Minimize => value < best,
            Direction::Neither => false,
        };
        if direction == Direction::Neither {
            return None;
        }
        values.fold(None, |best, (epoch, value)| match best {
            Some((_, so_far)) if !better(value, so_far) => best,
            _ => Some((epoch, value)),
        })
    }

    /// Converts to JSON that keeps the order of the logs, for [`from_saved`](Self::from_saved).
    pub(super) fn to_saved(&self) -> Value {
        let epoch = |epoch: &Epoch| {
            let logs: Vec<Value> =
                epoch.logs.entries().iter().map(|(name, value)| json!([name, value.to_json()])).collect();
            json!({"epoch": epoch.epoch, "logs": logs, "learning_rate": epoch.learning_rate, "seconds": epoch.seconds})
        };
        self.epochs.iter().map(epoch).collect()
    }

    /// Converts from the output of [`to_saved`](Self::to_saved); `None` if the value has a different form.
    pub(super) fn from_saved(value: &Value) -> Option<Self> {
        let epoch = |value: &Value| {
            let mut logs = Logs::default();
            for entry in value["logs"].as_array()? {
                logs.push(entry[0].as_str()?, LogValue::from_json(&entry[1])?);
            }
            Some(Epoch {
                epoch: value["epoch"].as_u64()?,
                logs,
                learning_rate: value["learning_rate"].as_f64()?,
                seconds: value["seconds"].as_f64()?,
            })
        };
        value.as_array()?.iter().map(epoch).collect::<Option<_>>().map(|epochs| History { epochs })
    }

    /// Converts the history to JSON: a list of epochs.
    pub fn to_json(&self) -> Value {
        self.epochs.iter().map(Epoch::to_json).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_epochs_is_the_best_and_nan_never_is() {
        let epoch = |number: u64, value: f64| {
            let mut logs = Logs::default();
            logs.push("auc", LogValue::Number(value));
            Epoch { epoch: number, logs, learning_rate: 0.1, seconds: 0.0 }
        };
        let history = History { epochs: vec![epoch(1, f64::NAN), epoch(2, 0.9), epoch(3, 0.9), epoch(4, 0.1)] };
        let best = |direction| history.best("auc", direction).map(|(epoch, value)| (epoch.epoch, value));
        assert_eq!(best(Direction::Maximize), Some((2, 0.9)));
        assert_eq!(best(Direction::Minimize), Some((4, 0.1)));
        assert_eq!(best(Direction::Neither), None);
        assert_eq!(history.best("loss", Direction::Minimize), None);
    }
}
