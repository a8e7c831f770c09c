//! What several tests need.

pub mod build;
pub mod golden;
pub mod run;
