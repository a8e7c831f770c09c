//! Implements `plugfit.schedule/1`.

use super::component::{
    component, config, create, impl_component, instance_info, level, release, Component, Create, Probe,
};
use crate::{
    catch_panics::catch_panics,
    schedule::{recorded, FormulaSchedule, Schedule, When},
    Error, Plain,
};
use plugfit_abi::{self as abi, abi_stable::std_types::RResult, Handle};
use serde_json::json;

/// A type-erased schedule.
pub trait AnySchedule: Component {
    #[doc(hidden)]
    fn learning_rate(&self, when: &When) -> f64;
}

struct ByConfig<T>(T);

impl_component!(
    ByConfig<T: Schedule>,
    _schedule => json!({}),
    formula Err(Error::unsupported("it depends on more than the step"))
);

impl<T: Schedule> AnySchedule for ByConfig<T> {
    fn learning_rate(&self, when: &When) -> f64 {
        self.0.learning_rate(when)
    }
}

struct ByStep<T>(T);

impl_component!(ByStep<T: FormulaSchedule>, _schedule => json!({}), formula recorded(_schedule));

impl<T: FormulaSchedule> AnySchedule for ByStep<T> {
    fn learning_rate(&self, when: &When) -> f64 {
        self.0.learning_rate(Plain(when.step as f64)).0
    }
}

level! {
    /// Creates a schedule of level 1 from a probe; tried second.
    ScheduleByStep for Probe<T> where T: FormulaSchedule;
    fn create_schedule(config, _host) -> AnySchedule { Ok(by_step(T::from_json(config)?)) }
}

level! {
    /// Creates a schedule of level 2 from a probe; tried first.
    ScheduleByConfig for &Probe<T> where T: Schedule;
    fn create_schedule(config, _host) -> AnySchedule { Ok(by_config(T::from_json(config)?)) }
}

pub(crate) fn by_step(schedule: impl FormulaSchedule) -> Box<dyn AnySchedule> {
    Box::new(ByStep(schedule))
}

pub(crate) fn by_config(schedule: impl Schedule) -> Box<dyn AnySchedule> {
    Box::new(ByConfig(schedule))
}

/// Returns the function table of a plug-in's schedules.
pub(crate) const fn table<P: Create<dyn AnySchedule>>() -> abi::ScheduleV1 {
    abi::ScheduleV1 {
        create: create::<P, dyn AnySchedule>,
        release: release::<dyn AnySchedule>,
        config: config::<dyn AnySchedule>,
        instance_info: instance_info::<dyn AnySchedule>,
        learning_rate,
    }
}

unsafe extern "C" fn learning_rate(
    schedule: Handle,
    _: &abi::Host,
    call: &abi::ScheduleCall<'_>,
) -> RResult<f64, abi::Error> {
    catch_panics(|| {
        // SAFETY: `create` returned the handle, and it isn't released yet.
        let schedule = unsafe { component::<dyn AnySchedule>(schedule) };
        Ok(schedule.learning_rate(&When {
            step: call.step,
            epoch: call.epoch,
            steps_per_epoch: u64::try_from(call.steps_per_epoch).ok(),
        }))
    })
}
