//! Components that a program creates in its own process, without a plug-in.

use crate::{
    export::{
        component::handle, loss as losses, metric as metrics, optimizer as optimizers, plugin, schedule as schedules,
        Component, Create,
    },
    loss::{ElementwiseLoss, Loss, RowLoss},
    metric::{MeanMetric, Metric, SumMetric},
    optimizer::{ElementwiseOptimizer, Optimizer},
    schedule::{FormulaSchedule, Schedule},
    Config,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr, RString},
    Handle,
};

/// Creates a component by its name, from its configuration and the version of that.
#[doc(hidden)]
pub type CreateFn = unsafe extern "C" fn(&abi::Host, RStr<'_>, RStr<'_>, u32) -> RResult<Handle, abi::Error>;
/// Describes a component as JSON.
#[doc(hidden)]
pub type DescribeFn = unsafe extern "C" fn(Handle) -> RResult<RString, abi::Error>;

/// The functions that the tables of all kinds begin with.
#[doc(hidden)]
pub trait Table: 'static {
    const ID: &'static str;
    fn create(&self) -> CreateFn;
    fn release(&self) -> unsafe extern "C" fn(Handle);
    fn config(&self) -> DescribeFn;
    fn instance_info(&self) -> DescribeFn;
}

macro_rules! table {
    ($($table:ident, $id:ident;)*) => {
        $(impl Table for abi::$table {
            const ID: &'static str = abi::$id;
            fn create(&self) -> CreateFn {
                self.create
            }
            fn release(&self) -> unsafe extern "C" fn(Handle) {
                self.release
            }
            fn config(&self) -> DescribeFn {
                self.config
            }
            fn instance_info(&self) -> DescribeFn {
                self.instance_info
            }
        })*
    };
}
table! {
    LossV1, LOSS_V1;
    MetricV1, METRIC_V1;
    OptimizerV1, OPTIMIZER_V1;
    ScheduleV1, SCHEDULE_V1;
}

/// A component and the function table of its kind. A host accepts it in place of an identifier.
#[derive(Debug)]
pub struct Instance<T: 'static> {
    name: &'static str,
    table: &'static T,
    handle: Handle,
}

impl<T> Instance<T> {
    /// Creates an instance of a component with the configuration `C`.
    fn of<C: Config>(table: &'static T, component: Box<impl Component + ?Sized>) -> Self {
        Instance { name: C::SPEC.name, table, handle: handle(component) }
    }

    /// Returns the component's declared name, its function table and its handle, for a host. The host then owns the
    /// handle and must pass it to the table's `release` exactly once.
    pub fn into_parts(self) -> (&'static str, &'static T, Handle) {
        (self.name, self.table, self.handle)
    }
}

/// A plug-in without components. Its tables operate on instances but can't create any by name.
struct NoComponents;

impl<T: ?Sized> Create<T> for NoComponents {}

static LOSSES: abi::LossV1 = losses::table::<NoComponents>();
static METRICS: abi::MetricV1 = metrics::table::<NoComponents>();
static OPTIMIZERS: abi::OptimizerV1 = optimizers::table::<NoComponents>();
static SCHEDULES: abi::ScheduleV1 = schedules::table::<NoComponents>();

/// Creates an instance of a loss of level 1.
pub fn elementwise_loss<T: ElementwiseLoss>(loss: T) -> Instance<abi::LossV1> {
    Instance::of::<T>(&LOSSES, losses::by_element(loss))
}

/// Creates an instance of a loss of level 2.
pub fn row_loss<T: RowLoss>(loss: T) -> Instance<abi::LossV1> {
    Instance::of::<T>(&LOSSES, losses::by_row(loss))
}

/// Creates an instance of a loss of level 3.
pub fn loss<T: Loss>(loss: T) -> Instance<abi::LossV1> {
    Instance::of::<T>(&LOSSES, losses::by_tensor(loss))
}

/// Returns the float64 functions of this module's losses.
pub fn loss_v2() -> &'static abi::LossV2 {
    losses::FLOAT64
}

/// Returns the functions that describe the formulas of this module's components.
pub fn formula_v1() -> &'static abi::FormulaV1 {
    plugin::FORMULA
}

/// Creates an instance of a [`MeanMetric`].
pub fn mean_metric<T: MeanMetric>(metric: T) -> Instance<abi::MetricV1> {
    Instance::of::<T>(&METRICS, metrics::by_mean(metric))
}

/// Creates an instance of a [`SumMetric`].
pub fn sum_metric<T: SumMetric<K>, const K: usize>(metric: T) -> Instance<abi::MetricV1> {
    Instance::of::<T>(&METRICS, metrics::by_sums(metric))
}

/// Creates an instance of a [`Metric`].
pub fn metric<T: Metric>(metric: T) -> Instance<abi::MetricV1> {
    Instance::of::<T>(&METRICS, metrics::by_whole_batches(metric))
}

/// Creates an instance of an optimizer of level 1.
pub fn elementwise_optimizer<T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize>(
    optimizer: T,
) -> Instance<abi::OptimizerV1> {
    Instance::of::<T>(&OPTIMIZERS, optimizers::by_element(optimizer))
}

/// Creates an instance of an optimizer of level 2.
pub fn optimizer<T: Optimizer>(optimizer: T) -> Instance<abi::OptimizerV1> {
    Instance::of::<T>(&OPTIMIZERS, optimizers::by_tensor(optimizer))
}

/// Creates an instance of a schedule of level 1.
pub fn formula_schedule<T: FormulaSchedule>(schedule: T) -> Instance<abi::ScheduleV1> {
    Instance::of::<T>(&SCHEDULES, schedules::by_step(schedule))
}

/// Creates an instance of a schedule of level 2.
pub fn schedule<T: Schedule>(schedule: T) -> Instance<abi::ScheduleV1> {
    Instance::of::<T>(&SCHEDULES, schedules::by_config(schedule))
}
