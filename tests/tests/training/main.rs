//! Tests of training: its options, interrupted and resumed runs, run folders, and custom loops.

mod callbacks;
mod optimizers;
mod options;
mod replacement;
mod resume;
mod run_folder;
mod run_paths;
mod rust_api;
