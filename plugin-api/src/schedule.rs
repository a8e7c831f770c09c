//! The trait of learning-rate schedules.

use crate::{
    formula::{document, SCALAR},
    Config, Real, Result,
};
use plugfit_abi::{self as abi, abi_stable::std_types::RStr};

/// The position in the training for which a schedule computes the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct When {
    /// The number of steps before this one.
    pub step: u64,
    /// The number of completed epochs.
    pub epoch: u64,
    /// The number of steps per epoch, if it is known.
    pub steps_per_epoch: Option<u64>,
}

impl When {
    /// Returns the argument of a call of a schedule.
    #[doc(hidden)]
    pub fn raw(&self) -> abi::ScheduleCall<'static> {
        abi::ScheduleCall {
            step: self.step,
            epoch: self.epoch,
            steps_per_epoch: self.steps_per_epoch.and_then(|steps| i64::try_from(steps).ok()).unwrap_or(abi::NONE),
            extras: RStr::from_str(""),
        }
    }
}

/// Level 1: a learning rate that is a formula of the number of steps before this one, `step`.
///
/// It is computed in float64. Engines that compile a training step compute it themselves.
pub trait FormulaSchedule: Config + Send + Sync + 'static {
    /// Returns the learning rate. It must be finite at every step.
    fn learning_rate<R: Real>(&self, step: R) -> R;
}

/// Level 2: a learning rate that depends on the position in the training.
pub trait Schedule: Config + Send + Sync + 'static {
    /// Returns the learning rate. It must be finite at every step.
    fn learning_rate(&self, when: &When) -> f64;
}

/// Returns the document of the formula of a schedule.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn recorded(schedule: &impl FormulaSchedule) -> Result<String> {
    document(&[("step", SCALAR)], &["learning_rate"], &[], |inputs| vec![schedule.learning_rate(inputs[0])])
}
