//! What Keras's base classes give: to losses reductions, masks and weights; to metrics a name and a state; to optimizers a
//! learning rate, clipping, weight decay, averages, accumulation. The formulas are the plug-ins'.

mod broadcast;
mod combine;
mod keys;
mod loss;
mod loss_mean;
mod metric;
mod optimizer;
mod optimizer_keys;
mod optimizer_state;
mod rate;
mod reduction;
mod schedule;
mod weightless;

pub use keys::{base_keys, silent_keys, split};
pub use loss::{Loss, LossValue};
pub use metric::Metric;
pub use optimizer::Optimizer;
pub use optimizer_keys::nested;
pub use optimizer_state::OptimizerState;
pub use reduction::Reduction;
pub use schedule::Schedule;
