//! Components made in this process, with no plug-in at all: what a host takes as an instance.

use crate::{
    export::{loss as losses, metric as metrics, optimizer as optimizers, schedule as schedules, unknown},
    export::{AnyLoss, AnyMetric, AnyOptimizer, AnySchedule, Plugin},
    loss::{ElementwiseLoss, Loss, RowLoss},
    metric::{MeanMetric, Metric},
    optimizer::{ElementwiseOptimizer, Optimizer},
    schedule::Schedule,
    Config, Host, Result,
};
use plugfit_abi::{self as abi, Handle};
use serde_json::{Map, Value};

/// A component and the table of its kind. A host takes it where it takes an identifier.
#[derive(Debug)]
pub struct Instance<T: 'static> {
    name: &'static str,
    table: &'static T,
    handle: Handle,
}

impl<T> Instance<T> {
    /// For a host: the name it is declared with, the functions, and the component, which is the host's now; it gives it back to the
    /// table's `release`, once.
    pub fn into_parts(self) -> (&'static str, &'static T, Handle) {
        (self.name, self.table, self.handle)
    }
}

/// The tables of a plug-in that makes nothing by name.
struct Nothing;

impl Plugin for Nothing {
    fn loss(name: &str, _: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyLoss>> {
        Err(unknown(name))
    }
    fn metric(name: &str, _: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyMetric>> {
        Err(unknown(name))
    }
    fn optimizer(name: &str, _: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnyOptimizer>> {
        Err(unknown(name))
    }
    fn schedule(name: &str, _: &Map<String, Value>, _: &Host<'_>) -> Result<Box<dyn AnySchedule>> {
        Err(unknown(name))
    }
}

static LOSSES: abi::LossV1 = losses::table::<Nothing>();
static METRICS: abi::MetricV1 = metrics::table::<Nothing>();
static OPTIMIZERS: abi::OptimizerV1 = optimizers::table::<Nothing>();
static SCHEDULES: abi::ScheduleV1 = schedules::table::<Nothing>();

fn handle<T>(object: T) -> Handle {
    Handle { pointer: Box::into_raw(Box::new(object)).cast() }
}

fn of_loss<T: Config>(object: losses::Object) -> Instance<abi::LossV1> {
    Instance { name: T::SPEC.name, table: &LOSSES, handle: handle(object) }
}

fn of_metric<T: Config>(object: metrics::Object) -> Instance<abi::MetricV1> {
    Instance { name: T::SPEC.name, table: &METRICS, handle: handle(object) }
}

fn of_optimizer<T: Config>(object: optimizers::Object) -> Instance<abi::OptimizerV1> {
    Instance { name: T::SPEC.name, table: &OPTIMIZERS, handle: handle(object) }
}

/// A loss of level 1.
pub fn elementwise_loss<T: ElementwiseLoss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_element(loss))
}

/// A loss of level 2.
pub fn row_loss<T: RowLoss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_row(loss))
}

/// A loss of level 3.
pub fn loss<T: Loss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_tensor(loss))
}

/// What the losses of this module do in float64.
pub fn loss_v2() -> &'static abi::LossV2 {
    losses::FLOAT64
}

/// A metric that is the mean of a function of rows.
pub fn mean_metric<T: MeanMetric>(metric: T) -> Instance<abi::MetricV1> {
    of_metric::<T>(metrics::by_mean(metric))
}

/// A metric with a state of its own.
pub fn metric<T: Metric>(metric: T) -> Instance<abi::MetricV1> {
    of_metric::<T>(metrics::by_state(metric))
}

/// An optimizer of level 1.
pub fn elementwise_optimizer<T: ElementwiseOptimizer<N>, const N: usize>(optimizer: T) -> Instance<abi::OptimizerV1> {
    of_optimizer::<T>(optimizers::by_element::<T, N>(optimizer))
}

/// An optimizer of level 2.
pub fn optimizer<T: Optimizer>(optimizer: T) -> Instance<abi::OptimizerV1> {
    of_optimizer::<T>(optimizers::by_tensor(optimizer))
}

/// A schedule.
pub fn schedule<T: Schedule>(schedule: T) -> Instance<abi::ScheduleV1> {
    Instance { name: T::SPEC.name, table: &SCHEDULES, handle: handle(schedules::from(schedule)) }
}
