//! Tests plug-ins before they are used. Each test runs in a separate process, so that a crash is a failed test.
//!
//! The tests are those of [`plugfit_api::testing`], which the tests in a plug-in's crate run as well. No plug-in code
//! runs in the checking process, unless [`Checker::in_process`] is set.

mod child;
mod exclusions;
#[cfg_attr(not(target_os = "linux"), path = "leftover_processes_portable.rs")]
mod leftover_processes;
mod pattern;
mod process;
mod show;
mod target;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use child::Record;
pub use child::serve;
pub use exclusions::Exclusions;
pub use pattern::Pattern;
use plugfit_api::testing::{Case, Report, Saved};
use serde_json::Value;
pub use show::{Format, formatted};

use crate::files::{write_atomically, write_npy_header};
use crate::plugin::LoadOptions;
use crate::text::shell_word;
use crate::{Error, Result};
use process::Limits;
pub use process::limit_memory;
use target::Target;

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The test passed.
    Passed,
    /// The test passed with a warning.
    Warned,
    /// The test wasn't run; the notes say why.
    NotTried,
    /// The test failed or doesn't apply, and is excluded with a reason.
    Excluded,
    /// The test failed.
    Failed,
}

/// A test of a plug-in, and its result.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The plug-in's file.
    pub file: PathBuf,
    /// The path of the test, such as `loss/Huber/gradient`, or `load`.
    pub path: String,
    /// The property that the test checks.
    pub about: &'static str,
    /// The result.
    pub outcome: Outcome,
    /// The failures, warnings, notes and arrays of the test.
    pub report: Report,
    /// The reason of an exclusion.
    pub reason: Option<String>,
    /// How long the test took.
    pub time: Duration,
    /// The command that repeats the test.
    pub repeat: String,
    /// The files with the arrays for which the test failed.
    pub arrays: Vec<PathBuf>,
}

/// The first test of every file: whether it can be loaded.
pub const LOAD: &str = "load";
/// The property that [`LOAD`] checks.
pub const ABOUT_LOAD: &str = "the file is a plug-in for this program, or a library with the function, and loading it changes nothing of the process";

/// How plug-ins are checked.
#[derive(Clone, Debug)]
pub struct Checker {
    /// The program that runs each test, and its first arguments. It must implement `check --child`, as this program
    /// does.
    pub program: Vec<OsString>,
    /// Arguments that configure the host.
    pub common: Vec<OsString>,
    /// The tests to run; all if empty.
    pub only: Vec<Pattern>,
    /// The tests that may fail.
    pub exclusions: Exclusions,
    /// The seed of the random numbers.
    pub seed: u64,
    /// The time limit of a test.
    pub time: Duration,
    /// The memory limit of a test, in bytes.
    pub memory: u64,
    /// How many tests run at a time.
    pub jobs: usize,
    /// Whether tests run in this process, for a debugger. A crash then ends it.
    pub in_process: bool,
    /// The folder for the arrays of failing tests.
    pub failures: Option<PathBuf>,
    /// How plug-ins are loaded.
    pub options: LoadOptions,
}

impl Checker {
    /// Runs the selected tests of a file, and returns the verdicts in order. Calls `seen` for each test as it ends.
    ///
    /// # Errors
    /// Returns an error if the tests can't be run: their records can't be stored, or the program can't be started.
    pub fn check(&self, file: &Path, seen: &(dyn Fn(&Verdict) + Sync)) -> Result<Vec<Verdict>> {
        let started = Instant::now();
        let target = Target::of(file);
        // The tests are those of the manifest in the file, whatever manifest the plug-in's code returns later.
        let (record, manifest) = match target.manifest(&self.options) {
            Ok(manifest) => (self.load(file)?, manifest),
            Err(refusal) => (Record { reports: vec![child::refused(refusal)], ..Record::default() }, Value::Null),
        };
        let (is_loaded, from_outside) = (record.is_loaded, record.from_outside);
        let report = record.reports.into_iter().next().unwrap_or_default();
        let load = self.verdict(file, LOAD, ABOUT_LOAD, None, (report, from_outside), started.elapsed());
        if !is_loaded {
            seen(&load);
            return Ok(vec![load]);
        }
        let cases: Vec<Case> =
            target.cases(&manifest).into_iter().filter(|case| self.is_selected(&case.path())).collect();
        let groups: Vec<&[Case]> = cases.chunk_by(Case::shares_process_with).collect();
        let mut verdicts: Vec<Vec<Verdict>> = Vec::new();
        if self.is_selected(LOAD) || load.outcome == Outcome::Failed {
            seen(&load);
            verdicts.push(vec![load]);
        }
        let before = verdicts.len();
        verdicts.resize(before + groups.len(), Vec::new());
        let (next, verdicts, failure) = (AtomicUsize::new(0), Mutex::new(verdicts), Mutex::new(None));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(cases) = groups.get(index) else { return };
                let started = Instant::now();
                match self.run(file, cases) {
                    Ok(Record { reports, from_outside, .. }) => {
                        let time = started.elapsed() / cases.len() as u32;
                        let verdict_of = |(case, report): (&Case, Report)| {
                            let (path, found) = (case.path(), (report, from_outside));
                            self.verdict(file, &path, case.test.about, case.exception.clone(), found, time)
                        };
                        let found: Vec<Verdict> = cases.iter().zip(reports).map(verdict_of).collect();
                        found.iter().for_each(seen);
                        lock(&verdicts)[before + index] = found;
                    }
                    Err(error) => {
                        next.store(groups.len(), Ordering::Relaxed);
                        *lock(&failure) = Some(error);
                    }
                }
            }
        };
        let jobs = if self.in_process { 1 } else { self.jobs.clamp(1, cases.len().max(1)) };
        std::thread::scope(|scope| {
            (1..jobs).for_each(|_| {
                scope.spawn(work);
            });
            work();
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// Returns the paths of the selected tests of a file, with the property that each checks.
    ///
    /// # Errors
    /// Returns an error if the file is refused.
    pub fn list(&self, file: &Path) -> Result<Vec<(String, &'static str)>> {
        let target = Target::of(file);
        let manifest = target
            .manifest(&self.options)
            .map_err(|refusal| Error::failure(format!("{}: {}", crate::text::printable_path(file), refusal.line())))?;
        let cases = target.cases(&manifest).into_iter().map(|case| (case.path(), case.test.about));
        Ok([(LOAD.to_owned(), ABOUT_LOAD)]
            .into_iter()
            .chain(cases)
            .filter(|(path, _)| self.is_selected(path))
            .collect())
    }

    fn is_selected(&self, path: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(path))
    }

    /// Runs the test [`LOAD`], in a child process unless tests run in this one.
    fn load(&self, file: &Path) -> Result<Record> {
        if self.in_process { Ok(child::load(file, &self.options)) } else { self.spawn(file, vec![LOAD.into()]) }
    }

    fn run(&self, file: &Path, cases: &[Case]) -> Result<Record> {
        if cases.iter().any(|case| case.exception.is_some()) {
            return Ok(Record { reports: vec![Report::default(); cases.len()], ..Record::default() });
        }
        let paths: Vec<String> = cases.iter().map(Case::path).collect();
        if self.in_process {
            let reports = child::run(file, &paths, self.seed, &self.options, false);
            return Ok(Record { reports, ..Record::default() });
        }
        self.spawn(file, paths)
    }

    fn spawn(&self, file: &Path, tests: Vec<String>) -> Result<Record> {
        let limits = Limits { time: self.time, memory: self.memory };
        let mut arguments: Vec<OsString> = self.common.clone();
        arguments.extend(["--seed".into(), self.seed.to_string().into()]);
        process::run(&self.program, &arguments, file, &tests, limits)
    }

    /// Creates a verdict, and saves the arrays of a failed test. `exception`: the reason that the component declares
    /// why the test doesn't apply; the test wasn't run then.
    fn verdict(
        &self,
        file: &Path,
        path: &str,
        about: &'static str,
        exception: Option<String>,
        (report, from_outside): (Report, bool),
        time: Duration,
    ) -> Verdict {
        let is_declared = exception.is_some();
        let excluded = || self.exclusions.reason(path).filter(|_| !report.failures.is_empty() && path != LOAD);
        let reason = exception.map(|reason| format!("as it declares: {reason}")).or_else(excluded);
        let outcome = match (&report.failures[..], &reason) {
            ([_, ..], Some(_)) => Outcome::Excluded,
            ([], Some(_)) if is_declared => Outcome::Excluded,
            ([_, ..], None) => Outcome::Failed,
            _ if report.notes.iter().any(|note| note.starts_with("not tried")) => Outcome::NotTried,
            _ if !report.warnings.is_empty() => Outcome::Warned,
            _ => Outcome::Passed,
        };
        let arrays = match (&self.failures, outcome) {
            (Some(folder), Outcome::Failed) => save_arrays(
                &folder.join(file.file_name().unwrap_or_default()).join(path.replace('/', "-")),
                &report.arrays,
            ),
            _ => Vec::new(),
        };
        let common: String = self.common.iter().map(|word| format!(" {}", word.display())).collect();
        let (name, seed) = (file.display().to_string(), self.seed);
        let file_word = if name.starts_with('-') { shell_word(&format!("./{name}")) } else { shell_word(&name) };
        // Only a parent process can observe leftover processes, output and crashes.
        let how = match from_outside {
            true => format!(" --timeout {} --memory {}", self.time.as_secs_f64(), self.memory >> 20),
            false => " --in-process".to_owned(),
        };
        let repeat = format!("plugfit check {file_word} --only {} --seed {seed}{common}{how}", shell_word(path));
        Verdict { file: file.to_owned(), path: path.to_owned(), about, outcome, report, reason, time, repeat, arrays }
    }
}

/// Writes arrays into a folder, and returns their paths. Skips arrays that can't be written: the failure itself matters
/// more.
fn save_arrays(folder: &Path, arrays: &[Saved]) -> Vec<PathBuf> {
    let write = |array: &Saved| {
        std::fs::create_dir_all(folder).ok()?;
        let path = folder.join(format!("{}.npy", array.name));
        let write = |writer: &mut dyn std::io::Write| {
            write_npy_header(writer, "<f8", &array.shape)?;
            array.values().iter().try_for_each(|value| writer.write_all(&value.to_le_bytes()))
        };
        write_atomically(&path, write).ok()?;
        Some(path)
    };
    arrays.iter().filter_map(write).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
