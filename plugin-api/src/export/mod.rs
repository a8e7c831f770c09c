//! The boundary: the author's safe traits on one side, the functions of `plugfit-abi` on the other. All panics end here.

mod borrowed;
pub mod host;
pub(crate) mod loss;
pub(crate) mod metric;
pub mod nested;
pub(crate) mod optimizer;
mod plugin;
pub(crate) mod schedule;
pub mod testing;
mod wall;

pub use loss::{AnyLoss, LossByElement, LossByRow, LossByTensor};
pub use metric::{AnyMetric, MetricByElement, MetricByMean, MetricByRow, MetricByState};
pub use optimizer::{AnyOptimizer, OptimizerByElement, OptimizerByTensor};
pub use plugin::{unknown, Plugin, Probe, Tables};
pub use schedule::{AnySchedule, ScheduleByConfig};
