//! A substitute for `leftover_processes` on other systems than Linux: does nothing.

use std::path::Path;

pub fn end_with_parent() {}

pub fn adopt() {}

pub fn kill() -> usize {
    0
}

pub fn kill_those_with(_: &str, _: &Path) {}
