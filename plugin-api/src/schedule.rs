//! Learning-rate schedules.

use crate::Config;

/// When.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct When {
    /// Steps made before this one.
    pub step: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Steps in an epoch, where that is known.
    pub steps_per_epoch: Option<u64>,
}

/// A learning rate that depends on when.
pub trait Schedule: Config + Send + Sync + 'static {
    /// The learning rate; finite at every step.
    fn learning_rate(&self, when: &When) -> f64;
}
