//! The plugfit host: resolves an optimizer, losses and metrics from its plug-ins, compiles them for a model, and
//! trains.
//!
//! [`Host`] holds the plug-ins, [`compile::Compile`] is the configuration, [`compile::Compiled`] is the compiled
//! result, and [`train`] contains the training loop.
#![warn(missing_docs)]
// Some helpers are used only by modules that belong to a feature.
#![cfg_attr(not(all(feature = "cli", feature = "watch")), allow(dead_code, unused_imports))]

mod error;
mod files;
mod host;
mod random;
mod text;
#[cfg(feature = "watch")]
mod watch;
mod worker;

pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compile;
pub mod component;
#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "export")]
pub mod export;
#[cfg(any(feature = "options", feature = "report"))]
pub mod html;
pub mod identifier;
#[cfg(feature = "network")]
pub mod network;
#[cfg(feature = "options")]
pub mod options;
pub mod plugin;
pub mod registry;
#[cfg(feature = "report")]
pub mod report;
pub mod threads;
#[cfg(feature = "train")]
pub mod train;

/// Formulas of components, as data.
pub use plugfit_formula as formula;

pub use error::{Error, ErrorKind, Result};
pub use host::Host;
pub use identifier::Identifier;
#[cfg(feature = "watch")]
pub use watch::Watch;
pub use worker::{worker_main, worker_main_of};
