//! Stubs of `linux.rs` for systems on which plug-ins can't be isolated; they return an error that says so.

use std::io::{Error, Result};
use std::process::{Child, Command, ExitStatus};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

fn unsupported<T>() -> Result<T> {
    Err(Error::other("plug-ins can be isolated only on Linux"))
}

pub const RESERVED: usize = 0;

pub enum Mapping {}

impl Mapping {
    pub fn create(_: usize) -> Result<Self> {
        unsupported()
    }

    pub fn from_stdin() -> Result<Self> {
        unsupported()
    }

    pub fn base(&self) -> NonNull<u8> {
        match *self {}
    }

    pub fn grow(&self, _: usize) -> Result<()> {
        match *self {}
    }
}

pub fn wait(_: &AtomicU32, _: u32, _: Option<Duration>) {}

pub fn wake(_: &AtomicU32) {}

pub fn processor() -> u32 {
    0
}

pub fn this_program() -> Result<std::path::PathBuf> {
    unsupported()
}

pub fn start(_: Command, _: &Mapping) -> Result<Child> {
    unsupported()
}

pub fn kill(_: u32) {}

pub fn wait_for_end(_: &mut Child, _: impl FnMut(&[u8])) -> Result<()> {
    unsupported()
}

pub fn describe_status(status: ExitStatus) -> String {
    status.to_string()
}

pub fn become_worker(_: u32, _: u64) -> Result<u64> {
    unsupported()
}

pub fn limit_addresses(_: u64) {}

pub fn available_memory() -> u64 {
    0
}
