//! What several tests need.

pub mod boundary;
pub mod build;
pub mod components;
pub mod golden;
pub mod run;
