//! plugfit's host: finds the optimizer, the losses and the metrics that a model is compiled with among its plug-ins, and
//! trains with them.
//!
//! [`Host`] has the plug-ins, [`compile::Compile`] says what is wanted, [`compile::Compiled`] does it; [`train`] has the loop.
#![warn(missing_docs)]

mod error;
mod host;
mod watch;

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
