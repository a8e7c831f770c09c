//! The source of an optimizer's learning rate.

use plugfit_api::schedule::When;
use serde_json::{Map, Value, json};

use super::keys::Keys;
use crate::plugin::{Kind, Resolve, Resolved, Schedule};
use crate::{Error, Result};

/// A learning rate as a function of the step.
#[derive(Clone, Debug)]
pub enum Rate {
    Constant(f64),
    /// Keras 2's `decay`: `rate / (1 + decay * iterations)`.
    Decaying {
        rate: f64,
        decay: f64,
    },
    Schedule(Schedule),
}

impl Rate {
    /// Reads `learning_rate` or `lr`, a number or the identifier of a schedule, and `decay`.
    pub fn read(keys: &mut Keys<'_>, resolve: &dyn Resolve) -> Result<Self> {
        let default = keys.take("learning_rate");
        let (key, given) = match keys.take("lr") {
            Some(rate) => ("lr", Some(rate)),
            None => ("learning_rate", default),
        };
        let wrong = |keys: &Keys<'_>, found: &Value| keys.wrong(key, "a number of at least 0, or a schedule", found);
        let rate = match given {
            None => Rate::Constant(0.001),
            Some(Value::Number(number)) => match number.as_f64().filter(|rate| rate.is_finite() && *rate >= 0.0) {
                Some(rate) => Rate::Constant(rate),
                None => return Err(wrong(keys, &Value::Number(number))),
            },
            Some(Value::String(word)) if matches!(word.as_str(), "nan" | "inf" | "-inf") => {
                return Err(wrong(keys, &Value::String(word)));
            }
            Some(identifier @ (Value::String(_) | Value::Object(_))) => {
                match resolve.resolve(Kind::Schedule, &identifier).map_err(|error| error.with("in", key))? {
                    Resolved::Schedule(schedule) => Rate::Schedule(schedule),
                    _ => return Err(wrong(keys, &identifier)),
                }
            }
            Some(other) => return Err(wrong(keys, &other)),
        };
        match keys.number("decay", "a number of at least 0", |decay| decay >= 0.0)? {
            None | Some(0.0) => Ok(rate),
            Some(decay) => match rate {
                Rate::Constant(rate) => Ok(Rate::Decaying { rate, decay }),
                _ => Err(Error::usage(format!("{} has a schedule and a decay", keys.class()))
                    .with("in", "decay")
                    .hint("leave one of them out")),
            },
        }
    }

    /// Returns the rate of the step after `iteration` previous steps.
    pub fn at(&self, iteration: u64) -> Result<f64> {
        match self {
            Rate::Constant(rate) => Ok(*rate),
            Rate::Decaying { rate, decay } => Ok(rate / (1.0 + decay * iteration as f64)),
            Rate::Schedule(schedule) => {
                schedule.learning_rate(&When { step: iteration, epoch: 0, steps_per_epoch: None })
            }
        }
    }

    /// Writes the rate to a configuration.
    pub fn write(&self, config: &mut Map<String, Value>) -> Result<()> {
        let rate = match self {
            Rate::Constant(rate) => json!(rate),
            Rate::Decaying { rate, decay } => {
                config.insert("decay".into(), json!(decay));
                json!(rate)
            }
            Rate::Schedule(schedule) => json!({"class_name": schedule.full_name(), "config": schedule.config()?}),
        };
        config.insert("learning_rate".into(), rate);
        Ok(())
    }
}
