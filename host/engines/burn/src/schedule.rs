//! Learning-rate schedules.

use burn::lr_scheduler::LrScheduler;
use burn::optim::LearningRate;
use burn::tensor::backend::Backend;
use plugfit::{Host, Identifier, Result, component};
use plugfit_api::schedule::When;

/// A learning-rate schedule for any optimizer of burn.
#[derive(Clone, Debug)]
pub struct Schedule {
    schedule: component::Schedule,
    steps: usize,
}

impl Schedule {
    /// Creates a schedule from its identifier.
    ///
    /// # Errors
    /// Returns an error if there is no such schedule, or if its configuration is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        Ok(Schedule { schedule: host.schedule(identifier)?, steps: 0 })
    }
}

impl LrScheduler for Schedule {
    /// The number of steps.
    type Record<B: Backend> = usize;

    /// Returns the learning rate of the next step.
    ///
    /// # Panics
    /// Panics if the plug-in fails.
    fn step(&mut self) -> LearningRate {
        let when = When { step: self.steps as u64, epoch: 0, steps_per_epoch: None };
        let rate = self.schedule.learning_rate(&when).unwrap_or_else(|error| panic!("{error}"));
        self.steps += 1;
        rate
    }

    fn to_record<B: Backend>(&self) -> usize {
        self.steps
    }

    fn load_record<B: Backend>(self, steps: usize) -> Self {
        Schedule { steps, ..self }
    }
}
