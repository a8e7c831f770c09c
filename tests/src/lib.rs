//! What several tests need.

pub mod boundary;
pub mod build;
pub mod golden;
pub mod run;
