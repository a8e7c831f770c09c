//! Plug-ins: found, vetted, loaded, and wrapped so that the rest of the host sees safe Rust.
//!
//! Everything unsafe of the host is in this folder.

#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), path = "no_allocations.rs")]
mod allocations;
mod bounds;
mod component;
mod door;
mod dynamic;
pub mod find;
mod foreign;
mod headers;
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

pub use door::{Door, Level, Resolve, Resolved};
pub use isolate::{Isolation, worker_main, worker_main_of};
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
