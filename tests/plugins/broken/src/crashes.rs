//! Components with faults that can't be contained within a process.

use crate::{
    losses::squares,
    metrics::{MeanSquare, SquareSum, add, metrics},
};
use plugfit_api::{loss::LossTotals, prelude::*};
use std::{
    cell::Cell,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

metrics! {
    CrashesInUpdate, Aborts, Exits, Forges, ReplacesItsRecord, LoopsForEver, AsksForTooMuch, AsksForMoreAndMore, Prints,
    PanicsAtTheEndOfAThread, LeavesAProcess, LeavesADaemon,
}

fn crash() {
    // SAFETY: none. The crash is intended: no memory is mapped at this address.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

/// Recurses until the stack overflows.
#[derive(Config)]
pub struct OverflowsItsStack;

fn deeper(level: u64) -> u64 {
    let frame = std::hint::black_box([level; 64]);
    if level == u64::MAX { 0 } else { deeper(level + 1) + frame[63] }
}

impl Loss for OverflowsItsStack {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let totals = squares(inputs, output)?;
        Ok(LossTotals { value: deeper(0) as f64, ..totals })
    }
}

/// Writes to an unmapped address when it is dropped.
#[derive(Config)]
pub struct CrashesInDrop;

impl Drop for CrashesInDrop {
    fn drop(&mut self) {
        crash();
    }
}

impl Loss for CrashesInDrop {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Writes to an unmapped address.
#[derive(Config)]
pub struct CrashesInUpdate;

impl MeanSquare for CrashesInUpdate {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        crash();
        Ok(())
    }
}

/// Aborts the process.
#[derive(Config)]
pub struct Aborts;

impl MeanSquare for Aborts {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        std::process::abort()
    }
}

/// Ends the process with status 0.
#[derive(Config)]
pub struct Exits;

impl MeanSquare for Exits {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        std::process::exit(0)
    }
}

/// Writes the record that a test would write, and ends the process.
#[derive(Config)]
pub struct Forges;

impl MeanSquare for Forges {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        if let Some(path) = std::env::var_os("PLUGFIT_CHECK_RECORD") {
            let _ = std::fs::write(path, r#"{"nonce":"guessed","tests":["metric/Forges/split"],"reports":[{}]}"#);
        }
        std::process::exit(0)
    }
}

/// Replaces the record and the output files of its test by named pipes, and ends the process.
#[derive(Config)]
pub struct ReplacesItsRecord;

impl MeanSquare for ReplacesItsRecord {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        if let Some(path) = std::env::var_os("PLUGFIT_CHECK_RECORD") {
            let folder = std::path::Path::new(&path).parent().expect("it lies in a folder").to_owned();
            for name in ["record.json", "stdout", "stderr"] {
                let path = folder.join(name);
                let _ = std::fs::remove_file(&path);
                let _ = Command::new("mkfifo").arg(path).status();
            }
        }
        std::process::exit(0)
    }
}

/// Loops forever.
#[derive(Config)]
pub struct LoopsForEver;

impl MeanSquare for LoopsForEver {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        loop {
            std::thread::yield_now();
        }
    }
}

/// Allocates more memory than there is.
#[derive(Config)]
pub struct AsksForTooMuch;

impl MeanSquare for AsksForTooMuch {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        let memory = std::hint::black_box(vec![1_u8; 1 << 46]);
        assert!(memory[0] == 1);
        add(state, inputs)
    }
}

/// Allocates memory until there is none left.
#[derive(Config)]
pub struct AsksForMoreAndMore;

impl MeanSquare for AsksForMoreAndMore {
    fn update(&self, _: &mut SquareSum, _: &Inputs<'_>) -> Result<()> {
        let mut all = Vec::new();
        loop {
            all.push(std::hint::black_box(vec![1_u8; 16 << 20]));
        }
    }
}

/// Writes to stdout.
#[derive(Config)]
pub struct Prints;

impl MeanSquare for Prints {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        println!("an update of the metric");
        add(state, inputs)
    }
}

struct Farewell(Cell<u64>);

impl Drop for Farewell {
    fn drop(&mut self) {
        panic!("told to panic after {} updates, when the thread ends", self.0.get());
    }
}

thread_local! {
    static FAREWELL: Farewell = const { Farewell(Cell::new(0)) };
}

/// Sets a thread-local value that panics when its thread ends.
#[derive(Config)]
pub struct PanicsAtTheEndOfAThread;

impl MeanSquare for PanicsAtTheEndOfAThread {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        FAREWELL.with(|farewell| farewell.0.set(farewell.0.get() + 1));
        add(state, inputs)
    }
}

/// Starts a program that sleeps, once, without waiting for it. Tests recognise the process by its arguments.
fn spawn_once(program: &str, arguments: &[&str]) -> Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|error| Error::other(error.to_string()))
}

/// Starts a process that keeps running.
#[derive(Config)]
pub struct LeavesAProcess;

impl MeanSquare for LeavesAProcess {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        spawn_once("sleep", &["63.25"])?;
        add(state, inputs)
    }
}

/// Starts a process that keeps running and leaves the process group, by `setsid`.
#[derive(Config)]
pub struct LeavesADaemon;

impl MeanSquare for LeavesADaemon {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        spawn_once("setsid", &["--fork", "sleep", "64.25"])?;
        add(state, inputs)
    }
}
