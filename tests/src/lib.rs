//! Functions that several tests share.

pub mod boundary;
pub mod build;
pub mod components;
pub mod golden;
pub mod run;
