//! The parts of components that Keras's base classes implement. Losses get reductions, masks and weights; metrics a
//! name and a state; optimizers a learning rate, clipping, weight decay, averages and accumulation. The plug-ins
//! implement the formulas.

mod arguments;
mod broadcast;
mod combine;
mod convert;
mod groups;
mod keys;
mod loss;
mod metric;
mod named;
mod optimizer;
mod optimizer_keys;
mod optimizer_settings;
mod optimizer_state;
mod optimizer_update;
mod parameter;
mod rate;
mod reduction;
mod schedule;
mod values;

pub(crate) use arguments::DtypeCache;
pub use convert::{Accepted, Conversions};
pub use groups::Group;
pub(crate) use groups::read as read_groups;
pub use keys::{base_keys, silent_keys, split};
pub use loss::{Loss, LossValue};
pub use metric::Metric;
pub use named::further_inputs;
pub(crate) use named::missing;
pub use optimizer::Optimizer;
pub use optimizer_keys::nested;
pub use optimizer_settings::{OptimizerSettings, ParameterSettings};
pub use optimizer_state::OptimizerState;
pub use optimizer_update::Updated;
pub use parameter::Parameter;
pub use reduction::Reduction;
pub use schedule::Schedule;
pub use values::{Number, Output, Values};
