//! Plug-ins put to the test before anyone trains with them: each test in a process of its own, so that a crash is a finding.
//!
//! The tests are those of [`plugfit_api::testing`], which an author's own test runs as well. No code of a plug-in runs in the process
//! that checks it, unless it is asked to ([`Checker::in_process`]).

mod child;
mod exclusions;
mod pattern;
mod process;
mod show;
#[cfg_attr(not(target_os = "linux"), path = "no_strays.rs")]
mod strays;
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
pub use show::{Format, shown};

use crate::data::text::shell_word;
use crate::plugin::LoadOptions;
use crate::{Error, Result};
use process::Limits;
pub use process::limit_memory;
use target::Target;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Held,
    /// It holds, with something to know.
    Warned,
    /// It wasn't tried; the notes say why.
    NotTried,
    /// It doesn't hold, and is excused with a reason.
    Excluded,
    /// It doesn't hold.
    Failed,
}

/// A test of a plug-in, and what came out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The plug-in's file.
    pub file: PathBuf,
    /// Such as `loss/Huber/gradient`, or `load`.
    pub path: String,
    /// What holds where it passes.
    pub about: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found.
    pub report: Report,
    /// For an exclusion its reason.
    pub reason: Option<String>,
    /// How long it took.
    pub time: Duration,
    /// The command that repeats it.
    pub repeat: String,
    /// Where the arrays that it failed with were put.
    pub arrays: Vec<PathBuf>,
}

/// The first test of every file: that it can be loaded at all.
pub const LOAD: &str = "load";
/// What holds where it passes.
pub const ABOUT_LOAD: &str = "the file is a plug-in for this program, or a library with the function, and loading it changes nothing of the process";

/// How plug-ins are checked.
#[derive(Clone, Debug)]
pub struct Checker {
    /// The program that is run for each test, and its first arguments: this one, which understands `check --child`.
    pub program: Vec<OsString>,
    /// Arguments that say how the host is made.
    pub common: Vec<OsString>,
    /// The tests that are wanted; all where there are none.
    pub only: Vec<Pattern>,
    /// What needn't hold.
    pub exclusions: Exclusions,
    /// Where random numbers begin.
    pub seed: u64,
    /// How long a test may take.
    pub time: Duration,
    /// How many bytes of memory a test may have.
    pub memory: u64,
    /// How many tests run at a time.
    pub jobs: usize,
    /// Whether tests run in this process, for a debugger; then nothing holds a crash.
    pub in_process: bool,
    /// Where the arrays of failing tests go.
    pub failures: Option<PathBuf>,
    /// How a plug-in is loaded.
    pub options: LoadOptions,
}

impl Checker {
    /// Checks a file: every test of it, in order. `seen` is told of each as it ends.
    ///
    /// # Errors
    /// The tests can't be run at all: there is no room for their records, or the program can't be started.
    pub fn check(&self, file: &Path, seen: &(dyn Fn(&Verdict) + Sync)) -> Result<Vec<Verdict>> {
        let started = Instant::now();
        let target = Target::of(file);
        // The tests are those of what the file says, whatever its code says later.
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
        let cases: Vec<Case> = target.cases(&manifest).into_iter().filter(|case| self.wants(&case.path())).collect();
        let together: Vec<&[Case]> = cases.chunk_by(Case::goes_with).collect();
        let mut verdicts: Vec<Option<Verdict>> = Vec::new();
        if self.wants(LOAD) || load.outcome == Outcome::Failed {
            seen(&load);
            verdicts.push(Some(load));
        }
        let before = verdicts.len();
        verdicts.resize(before + together.len(), None);
        let verdicts: Vec<Vec<Verdict>> = verdicts.into_iter().map(|verdict| verdict.into_iter().collect()).collect();
        let (next, verdicts, failure) = (AtomicUsize::new(0), Mutex::new(verdicts), Mutex::new(None));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(cases) = together.get(index) else { return };
                let started = Instant::now();
                match self.run(file, cases) {
                    Ok(Record { reports, from_outside, .. }) => {
                        let time = started.elapsed() / cases.len() as u32;
                        let of = |(case, report): (&Case, Report)| {
                            let (path, found) = (case.path(), (report, from_outside));
                            self.verdict(file, &path, case.test.about, case.exception.clone(), found, time)
                        };
                        let found: Vec<Verdict> = cases.iter().zip(reports).map(of).collect();
                        found.iter().for_each(seen);
                        lock(&verdicts)[before + index] = found;
                    }
                    Err(error) => {
                        next.store(together.len(), Ordering::Relaxed);
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

    /// The paths of the tests of a file, and what each holds.
    ///
    /// # Errors
    /// As [`check`](Self::check), and where the file can't be loaded.
    pub fn list(&self, file: &Path) -> Result<Vec<(String, &'static str)>> {
        let target = Target::of(file);
        let manifest = target
            .manifest(&self.options)
            .map_err(|refusal| Error::failure(format!("{}: {}", crate::data::text::of_path(file), refusal.line())))?;
        let cases = target.cases(&manifest).into_iter().map(|case| (case.path(), case.test.about));
        Ok([(LOAD.to_owned(), ABOUT_LOAD)].into_iter().chain(cases).filter(|(path, _)| self.wants(path)).collect())
    }

    fn wants(&self, path: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(path))
    }

    /// Loads the file, elsewhere; its manifest, if it is loaded.
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

    /// `exception`: why the component says that the test doesn't apply, and it wasn't run.
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
            _ => Outcome::Held,
        };
        let arrays = match (&self.failures, outcome) {
            (Some(folder), Outcome::Failed) => {
                keep(&folder.join(file.file_name().unwrap_or_default()).join(path.replace('/', "-")), &report.arrays)
            }
            _ => Vec::new(),
        };
        let common: String = self.common.iter().map(|word| format!(" {}", word.display())).collect();
        let (name, seed) = (file.display().to_string(), self.seed);
        let file_word = if name.starts_with('-') { shell_word(&format!("./{name}")) } else { shell_word(&name) };
        // What the process of a test leaves, prints or dies of can't be seen from within.
        let how = match from_outside {
            true => format!(" --timeout {} --memory {}", self.time.as_secs_f64(), self.memory >> 20),
            false => " --in-process".to_owned(),
        };
        let repeat = format!("plugfit check {file_word} --only {} --seed {seed}{common}{how}", shell_word(path));
        Verdict { file: file.to_owned(), path: path.to_owned(), about, outcome, report, reason, time, repeat, arrays }
    }
}

/// Writes arrays into a folder; what can't be written is left out, for the finding is more than its arrays.
fn keep(folder: &Path, arrays: &[Saved]) -> Vec<PathBuf> {
    let write = |array: &Saved| {
        std::fs::create_dir_all(folder).ok()?;
        let path = folder.join(format!("{}.npy", array.name));
        let values = array.values();
        let write = |writer: &mut dyn std::io::Write| crate::data::write_npy_doubles(writer, &array.shape, &values);
        crate::data::write_atomically(&path, write).ok()?;
        Some(path)
    };
    arrays.iter().filter_map(write).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
