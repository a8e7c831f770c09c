//! plugfit's metrics as aggregate functions of [DataFusion](datafusion).
//!
//! [`register_all`] registers a function for each metric of the loaded plug-ins: `auc(y, p)`, or `auc(y, p, w)` with
//! sample weights. `metric('Precision(thresholds=0.8)', y, p)` takes an identifier, so that a metric can be configured.
//! The plug-ins compute the metrics; their states are merged between partitions.
//!
//! ```
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
//! use datafusion::prelude::SessionContext;
//!
//! let context = SessionContext::new();
//! plugfit_sql::register_all(&context, &plugfit::Host::new())?;
//! let results = context
//!     .sql("SELECT auc(y, p), metric('Precision(thresholds=0.8)', y, p) FROM (VALUES (1, 0.9), (0, 0.2)) AS t(y, p)")
//!     .await?
//!     .collect()
//!     .await?;
//! assert_eq!(results[0].num_rows(), 1);
//! # Ok::<(), datafusion::error::DataFusionError>(())
//! # }).expect("the query runs");
//! ```
//!
//! An argument is a column of numbers or booleans, or a list of as many numbers in every row, such as probabilities of
//! classes; [`classes`](classes::classes) makes one of several columns. Nulls, `DISTINCT` and windows from which rows
//! are removed are errors that say what to do instead.
#![warn(missing_docs)]

mod accumulator;
mod arrays;
#[cfg(feature = "cli")]
mod bootstrap;
pub mod classes;
#[cfg(feature = "cli")]
pub mod cli;
mod columns;
mod error;
mod form;
mod function;
mod groups;
mod memory;
#[cfg(feature = "cli")]
mod poisson;
mod register;
mod resolve;
mod rows;

pub use error::{from_plugfit, plugfit_error};
pub use form::Form;
pub use function::MetricFunction;
pub use register::{Registered, register_all};

/// Tests the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
