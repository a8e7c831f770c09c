//! The plug-in side of the ABI: implements the functions of `plugfit-abi` with the safe traits of the API. No panic
//! leaves it.

mod borrowed;
mod catch_panics;
pub mod host;
pub(crate) mod loss;
pub(crate) mod metric;
pub mod nested;
pub(crate) mod optimizer;
mod plugin;
pub(crate) mod schedule;
pub mod testing;

pub use loss::{AnyLoss, LossByElement, LossByRow, LossByTensor};
pub use metric::{AnyMetric, MetricByElement, MetricByMean, MetricByRow, MetricByState};
pub use optimizer::{AnyOptimizer, OptimizerByElement, OptimizerByTensor};
pub use plugin::{unknown, Plugin, Probe, Tables};
pub use schedule::{AnySchedule, ScheduleByConfig};
