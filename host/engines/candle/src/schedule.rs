//! Learning-rate schedules.

use plugfit::{Host, Identifier, component};
use plugfit_api::schedule::When;

/// A learning-rate schedule for any optimizer of candle. [`Optimizer`](crate::Optimizer) has its own schedule if
/// `learning_rate` is the identifier of one.
#[derive(Clone, Debug)]
pub struct Schedule {
    schedule: component::Schedule,
}

impl Schedule {
    /// Creates a schedule from its identifier.
    ///
    /// # Errors
    /// Returns an error if there is no such schedule, or if its configuration is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> plugfit::Result<Self> {
        Ok(Schedule { schedule: host.schedule(identifier)? })
    }

    /// Returns the learning rate of the step after this number of steps.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn learning_rate(&self, steps: u64) -> plugfit::Result<f64> {
        self.schedule.learning_rate(&When { step: steps, epoch: 0, steps_per_epoch: None })
    }

    /// Sets the learning rate of an optimizer for the step after this number of steps.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn apply(&self, optimizer: &mut impl candle_nn::Optimizer, steps: u64) -> plugfit::Result<()> {
        optimizer.set_learning_rate(self.learning_rate(steps)?);
        Ok(())
    }
}
