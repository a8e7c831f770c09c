//! What several tests need.

pub mod golden;
