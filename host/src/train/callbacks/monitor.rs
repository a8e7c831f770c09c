//! The monitored value of a callback, and the direction in which it is better.

use plugfit_api::metric::Direction;
use serde::{Deserialize, Serialize};

use super::Run;
use crate::compile::LogValue;
use crate::{Error, Result};

/// The direction in which a monitored value is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The direction that the metric declares.
    #[default]
    Auto,
    /// Lower is better.
    Min,
    /// Higher is better.
    Max,
}

/// Returns the direction in which the value of this name is better.
pub fn direction(run: &Run<'_, '_>, monitor: &str, mode: Mode) -> Result<Direction> {
    if monitor.starts_with("val_") && !run.validates {
        return Err(Error::usage(format!("{monitor} needs validation data"))
            .with("in", "monitor")
            .hint("give the data a validation_split, or monitor a value of training"));
    }
    match mode {
        Mode::Min => return Ok(Direction::Minimize),
        Mode::Max => return Ok(Direction::Maximize),
        Mode::Auto => {}
    }
    let name = monitor.strip_prefix("val_").unwrap_or(monitor);
    match run.trainer.compiled().direction(name) {
        Some(direction @ (Direction::Minimize | Direction::Maximize)) => Ok(direction),
        Some(Direction::Neither) => {
            Err(Error::usage(format!("{monitor} doesn't declare whether higher or lower is better"))
                .with("in", "mode")
                .hint("add mode=min or mode=max"))
        }
        None => Err(missing(run, monitor)),
    }
}

/// Returns the value of this name after the last epoch; `None` if it is undefined or not a number.
pub fn value(run: &Run<'_, '_>, monitor: &str) -> Result<Option<f64>> {
    let Some(epoch) = run.history.epochs.last() else { return Ok(None) };
    match epoch.logs.get(monitor) {
        Some(value) => Ok(LogValue::number(value).filter(|value| !value.is_nan())),
        // Validation may be skipped in some epochs.
        None if monitor.starts_with("val_") => Ok(None),
        None => Err(missing(run, monitor)),
    }
}

fn missing(run: &Run<'_, '_>, monitor: &str) -> Error {
    let names = run.trainer.compiled().logs().map(|logs| logs.names().map(str::to_owned).collect::<Vec<_>>());
    let has = names.unwrap_or_default();
    let error = Error::usage(format!("nothing in the log is called \"{monitor}\"")).with("in", "monitor");
    let hint = if monitor.starts_with("val_") {
        "; if there are validation data, also each name with the prefix val_"
    } else {
        ""
    };
    error.with("has", format!("{}{hint}", has.join(", ")))
}

/// Returns whether `value` is better than `best` by more than `min_delta`.
pub fn is_better(direction: Direction, value: f64, best: Option<f64>, min_delta: f64) -> bool {
    match (direction, best) {
        (_, None) => true,
        (Direction::Maximize, Some(best)) => value - min_delta.abs() > best,
        (_, Some(best)) => value + min_delta.abs() < best,
    }
}
