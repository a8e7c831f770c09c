//! Tests of plug-ins that run in separate processes (`--isolate`).
#![cfg(target_os = "linux")]

mod broken_components;
mod isolated_components;
mod isolated_runs;
mod workers;
