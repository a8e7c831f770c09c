//! Components that a program creates in its own process, without a plug-in.

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

/// A component and the function table of its kind. A host accepts it in place of an identifier.
#[derive(Debug)]
pub struct Instance<T: 'static> {
    name: &'static str,
    table: &'static T,
    handle: Handle,
}

impl<T> Instance<T> {
    /// Returns the component's declared name, its function table and its handle, for a host. The host then owns the
    /// handle and must pass it to the table's `release` exactly once.
    pub fn into_parts(self) -> (&'static str, &'static T, Handle) {
        (self.name, self.table, self.handle)
    }
}

/// A plug-in without components. Its tables operate on instances but can't create any by name.
struct NoComponents;

impl Plugin for NoComponents {
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

static LOSSES: abi::LossV1 = losses::table::<NoComponents>();
static METRICS: abi::MetricV1 = metrics::table::<NoComponents>();
static OPTIMIZERS: abi::OptimizerV1 = optimizers::table::<NoComponents>();
static SCHEDULES: abi::ScheduleV1 = schedules::table::<NoComponents>();

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

/// Creates an instance of a loss of level 1.
pub fn elementwise_loss<T: ElementwiseLoss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_element(loss))
}

/// Creates an instance of a loss of level 2.
pub fn row_loss<T: RowLoss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_row(loss))
}

/// Creates an instance of a loss of level 3.
pub fn loss<T: Loss>(loss: T) -> Instance<abi::LossV1> {
    of_loss::<T>(losses::by_tensor(loss))
}

/// Returns the float64 functions of this module's losses.
pub fn loss_v2() -> &'static abi::LossV2 {
    losses::FLOAT64
}

/// Creates an instance of a [`MeanMetric`].
pub fn mean_metric<T: MeanMetric>(metric: T) -> Instance<abi::MetricV1> {
    of_metric::<T>(metrics::by_mean(metric))
}

/// Creates an instance of a [`Metric`].
pub fn metric<T: Metric>(metric: T) -> Instance<abi::MetricV1> {
    of_metric::<T>(metrics::by_state(metric))
}

/// Creates an instance of an optimizer of level 1.
pub fn elementwise_optimizer<T: ElementwiseOptimizer<N>, const N: usize>(optimizer: T) -> Instance<abi::OptimizerV1> {
    of_optimizer::<T>(optimizers::by_element::<T, N>(optimizer))
}

/// Creates an instance of an optimizer of level 2.
pub fn optimizer<T: Optimizer>(optimizer: T) -> Instance<abi::OptimizerV1> {
    of_optimizer::<T>(optimizers::by_tensor(optimizer))
}

/// Creates an instance of a schedule.
pub fn schedule<T: Schedule>(schedule: T) -> Instance<abi::ScheduleV1> {
    Instance { name: T::SPEC.name, table: &SCHEDULES, handle: handle(schedules::from(schedule)) }
}
