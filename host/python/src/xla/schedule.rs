//! Schedules that XLA calls.

use plugfit::Result;
use plugfit::component::Schedule;
use plugfit::plugin::Kind;
use plugfit_api::schedule::When;

use super::digest;
use super::frame::Frame;
use super::pool::Pool;
use crate::host::{global_host, identifier_of};

/// The schedules in use.
static SCHEDULES: Pool<Schedule> = Pool::new();

/// Returns the learning rate of the step that is the argument, from 0.
///
/// # Errors
/// Returns the errors of the schedule, and an error if the plug-in isn't the one for which the function was compiled.
pub fn learning_rate(frame: &Frame<'_>) -> Result<()> {
    let (text, compiled_for) = (frame.text("identifier")?, frame.text("digest")?);
    let make = || {
        let schedule = global_host()?.schedule(identifier_of(text)?)?;
        digest::check(Kind::Schedule, &schedule.full_name(), compiled_for)?;
        Ok(schedule)
    };
    SCHEDULES.with(text, make, |schedule| {
        let step = frame.number(0)?.max(0.0) as u64;
        frame.write(0, &[schedule.learning_rate(&When { step, epoch: 0, steps_per_epoch: None })?])
    })
}
