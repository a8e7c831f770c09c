//! Implements `plugfit.schedule/1`.

use super::{
    catch_panics::{catch_panics, dropping},
    plugin::{component, Plugin, Probe},
};
use crate::{
    schedule::{Schedule, When},
    Error, Host, Result,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr, RString},
    Handle,
};
use serde_json::{json, Map, Value};

/// A type-erased schedule.
pub trait AnySchedule: Send + Sync {
    #[doc(hidden)]
    fn config(&self) -> Map<String, Value>;
    #[doc(hidden)]
    fn info(&self) -> Value {
        json!({})
    }
    #[doc(hidden)]
    fn learning_rate(&self, when: &When) -> f64;
}

struct ByConfig<T>(T);

impl<T: Schedule> AnySchedule for ByConfig<T> {
    fn config(&self) -> Map<String, Value> {
        self.0.to_json()
    }
    fn learning_rate(&self, when: &When) -> f64 {
        self.0.learning_rate(when)
    }
}

/// Creates a schedule from a probe; the only level.
pub trait ScheduleByConfig {
    #[doc(hidden)]
    fn make_schedule(&self, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnySchedule>>;
}
impl<T: Schedule> ScheduleByConfig for Probe<T> {
    fn make_schedule(&self, config: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnySchedule>> {
        Ok(from(T::from_json(config)?))
    }
}

pub(crate) fn from(schedule: impl Schedule) -> Box<dyn AnySchedule> {
    Box::new(ByConfig(schedule))
}

pub(crate) type Object = Box<dyn AnySchedule>;

/// Returns the function table of a plug-in's schedules.
pub(crate) const fn table<P: Plugin>() -> abi::ScheduleV1 {
    abi::ScheduleV1 { create: create::<P>, release, config, instance_info, learning_rate }
}

component! { create = Plugin::schedule, release, config, instance_info: Object }

unsafe extern "C" fn learning_rate(
    schedule: Handle,
    _: &abi::Host,
    call: &abi::ScheduleCall<'_>,
) -> RResult<f64, abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and it isn't released yet.
        let schedule = unsafe { &*schedule.pointer.cast::<Object>() };
        Ok(schedule.learning_rate(&When {
            step: call.step,
            epoch: call.epoch,
            steps_per_epoch: u64::try_from(call.steps_per_epoch).ok(),
        }))
    })
}
