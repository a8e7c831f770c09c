//! Finds, vets and loads plug-ins, and wraps them in a safe API for the rest of the host.
//!
//! All of the host's unsafe code is in this folder.

#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), path = "no_allocations.rs")]
mod allocations;
mod bounds;
mod component;
mod dynamic;
pub mod find;
mod foreign;
mod headers;
mod host_callbacks;
mod image;
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
mod ownership;
#[cfg(target_os = "linux")]
mod portable;
mod refusal;
mod relocations;
mod schedule;
mod surroundings;
mod symbol;
pub mod trust;
mod versions;
mod vet;

pub use host_callbacks::{HostCallbacks, Level, Resolve, Resolved};
pub use isolate::Isolation;
pub(crate) use isolate::{WorkerHost, declare_worker_program, serve_if_worker};
pub use kind::Kind;
pub use load::{LoadOptions, Origin, Plugin};
pub use lock::{Lock, Locked, sha256};
pub use loss::Loss;
pub use manifest::{Component, Field, Manifest};
pub use metric::{Metric, MetricState};
pub use nested::{Clip, Nested};
pub use optimizer::{Entry, Optimizer, Slot, SlotSpec, SlotValues};
pub use refusal::Refusal;
pub use schedule::Schedule;
pub use surroundings::{observe, room};
pub use symbol::{function, function_digests, function_manifest, symbol};
