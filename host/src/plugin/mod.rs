//! Finds, vets and loads plug-ins, and wraps them in a safe API for the rest of the host.
//!
//! All of the host's unsafe code is in this folder.

mod abi_error;
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), path = "no_allocations.rs")]
mod allocations;
mod bounds;
mod clip;
mod component;
mod component_error;
mod creation_guard;
mod digest;
mod elf;
pub mod find;
mod foreign;
mod formula;
mod host_callbacks;
mod image;
mod inputs;
mod interface;
mod isolate;
mod kind;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod library;
mod load;
mod lock;
mod loss;
mod manifest;
mod metric;
mod nested;
mod optimizer;
mod options;
mod ownership;
#[cfg(target_os = "linux")]
mod portable;
mod process_state;
mod refusal;
mod resolve;
pub(crate) mod row_function;
mod schedule;
mod shown_text;
mod symbol;
mod sync;
pub mod trust;
mod vet;

pub use clip::Clip;
pub use digest::sha256;
pub use host_callbacks::{HostCallbacks, Level};
pub(crate) use inputs::MAX_INPUTS;
pub use isolate::Isolation;
pub(crate) use isolate::{WorkerHost, declare_worker_program, serve_if_worker};
pub use kind::Kind;
pub use load::{Origin, Plugin};
pub use lock::{Lock, Locked};
pub use loss::Loss;
pub use manifest::{Component, Field, Manifest};
pub use metric::{Metric, MetricState};
pub use nested::Nested;
pub use optimizer::{Entry, Optimizer, Slot, SlotSpec, SlotValues, Slots};
pub use options::LoadOptions;
pub use process_state::{allocate_guarded, observe};
pub use refusal::Refusal;
pub use resolve::{Resolve, Resolved};
pub use schedule::Schedule;
pub use symbol::{function, function_digests, function_manifest, symbol};
