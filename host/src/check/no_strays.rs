//! Where the system can't tell who began a process.

use std::path::Path;

pub fn end_with_parent() {}

pub fn adopt() {}

pub fn kill() -> usize {
    0
}

pub fn kill_those_with(_: &str, _: &Path) {}
