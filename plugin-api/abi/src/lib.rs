//! What crosses between plugfit and its plug-ins. **Frozen**: a published type is never changed, not even by a field at
//! its end. Growth is a new interface id (`plugfit.loss/2`) beside the old one.
//!
//! A plug-in exports one [`Root`] whose symbol starts with [`ROOT_SYMBOL_PREFIX`]. The root gives a manifest and, by id,
//! [`Interface`]s: tables of functions with the layout they were built with, which the other side checks before it calls
//! any of them. Authors use `plugfit-api`, which writes all of this for them.
//!
//! # Rules for every function
//! - Nothing unwinds across. Whoever implements a function catches its own panics and returns [`Error`].
//! - What a call borrows (`&Host`, tensors, strings) is valid until the call returns and is not kept.
//! - Each side frees what it made: a [`Handle`] goes back to the `release` beside the function that gave it; `RString` and
//!   `RVec` carry their own destructor.
//! - Handles of components are shared between threads; a state is used by one thread at a time.
//! - Codes are integers with constants. A reader treats a code that it doesn't know as an error, or ignores it where said.

mod codes;
mod error;
mod formula;
mod host;
mod interface;
mod loss;
mod loss2;
mod metric;
mod optimizer;
mod root;
mod schedule;
mod tensor;

pub use crate::codes::*;
pub use crate::error::Error;
pub use crate::formula::{FormulaV1, FORMULA_V1};
pub use crate::host::{
    CancelV1, Component, ComponentV1, Host, LogV1, ParallelV1, Task, CANCEL_V1, COMPONENT_V1, LOG_V1, PARALLEL_V1,
};
pub use crate::interface::{Handle, Interface};
pub use crate::loss::{LossOutput, LossTotals, LossV1, LOSS_V1};
pub use crate::loss2::{LossV2, LOSS_V2};
pub use crate::metric::{MetricResult, MetricV1, SavedState, METRIC_V1};
pub use crate::optimizer::{OptimizerV1, Parameter, Slot, Update, UpdateEntry, OPTIMIZER_V1};
pub use crate::root::{Root, ABI_VERSION, MAGIC, MANIFEST_SECTION, ROOT_SYMBOL_PREFIX};
pub use crate::schedule::{ScheduleCall, ScheduleV1, SCHEDULE_V1};
pub use crate::tensor::{DType, Inputs, NamedTensor, Tensor};

/// The foreign types that cross, and the layout check, as `plugfit-abi` uses them.
pub use ::abi_stable;
