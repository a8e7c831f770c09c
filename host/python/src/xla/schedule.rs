//! Schedules that XLA calls.

use plugfit::Result;
use plugfit::component::Schedule;
use plugfit::plugin::Kind;
use plugfit_api::schedule::When;

use super::digest;
use super::frame::{Frame, Output, exactly};
use super::pool::{self, Pool};
use crate::host::{global_host, identifier_of};

/// The schedules in use.
static SCHEDULES: Pool<Schedule> = Pool::new();

/// Returns the learning rate of the step that is the argument, from 0.
///
/// # Errors
/// Returns the errors of the schedule, and an error if the step isn't a whole number, or if the plug-in isn't the one
/// for which the function was compiled.
pub fn learning_rate(frame: &Frame<'_>, results: Vec<Output<'_>>) -> Result<()> {
    let (text, compiled_for) = (frame.text("identifier")?, frame.text("digest")?);
    let make = || {
        let schedule = global_host()?.schedule(identifier_of(text)?)?;
        digest::check(Kind::Schedule, &schedule.full_name(), compiled_for)?;
        Ok(schedule)
    };
    SCHEDULES.with(&pool::key(text, compiled_for), make, |schedule| {
        let [rate] = exactly(results)?;
        let when = When { step: frame.step(0)?, epoch: 0, steps_per_epoch: None };
        rate.write_all(&[], &[schedule.learning_rate(&when)?])
    })
}
