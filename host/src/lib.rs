//! plugfit's host.
mod error;

pub mod data;
pub mod network;

pub use error::{Error, ErrorKind, Result};
