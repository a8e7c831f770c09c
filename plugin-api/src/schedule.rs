//! The trait of learning-rate schedules.

use crate::Config;
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

/// A learning rate that depends on the step.
pub trait Schedule: Config + Send + Sync + 'static {
    /// Returns the learning rate. It must be finite at every step.
    fn learning_rate(&self, when: &When) -> f64;
}
