//! The plugfit host: resolves an optimizer, losses and metrics from its plug-ins, compiles them for a model, and
//! trains.
//!
//! [`Host`] holds the plug-ins, [`compile::Compile`] is the configuration, [`compile::Compiled`] is the compiled
//! result, and [`train`] contains the training loop.
#![warn(missing_docs)]

mod error;
mod files;
mod host;
mod text;
mod watch;
mod worker;

pub mod check;
pub mod cli;
pub mod compile;
pub mod component;
pub mod data;
pub mod identifier;
pub mod network;
pub mod plugin;
pub mod registry;
pub mod report;
pub mod train;

pub use error::{Error, ErrorKind, Result};
pub use host::Host;
pub use identifier::Identifier;
pub use watch::Watch;
pub use worker::{worker_main, worker_main_of};
