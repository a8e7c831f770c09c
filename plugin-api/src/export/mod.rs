//! The plug-in side of the ABI: implements the functions of `plugfit-abi` with the safe traits of the API. No panic
//! leaves it.

mod borrowed;
pub(crate) mod component;
pub(crate) mod loss;
pub(crate) mod metric;
pub(crate) mod optimizer;
pub(crate) mod plugin;
pub(crate) mod schedule;

pub use component::{Component, Create, Probe};
pub use loss::{AnyLoss, LossByElement, LossByRow, LossByTensor};
pub use metric::{AnyMetric, MetricByElement, MetricByMean, MetricByRow, MetricByState, MetricBySums};
pub use optimizer::{AnyOptimizer, OptimizerByElement, OptimizerByTensor};
pub use plugin::{Plugin, Tables};
pub use schedule::{AnySchedule, ScheduleByConfig, ScheduleByStep};
