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

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use child::Record;
pub use child::serve;
pub use exclusions::Exclusions;
pub use pattern::Pattern;
use plugfit_api::testing::{self, Case, Report, Saved};
pub use show::{Format, shown};

use crate::plugin::LoadOptions;
use crate::{Error, Result};
use process::Limits;
pub use process::limit_memory;

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
const LOAD: &str = "load";
const ABOUT_LOAD: &str = "the file is a plug-in for this program, and loads";

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
        let record = self.load(file)?;
        let manifest = record.manifest.clone();
        let load = self.verdict(file, LOAD, ABOUT_LOAD, record, started.elapsed());
        let Some(manifest) = manifest else {
            seen(&load);
            return Ok(vec![load]);
        };
        let cases: Vec<Case> = testing::cases(&manifest).into_iter().filter(|case| self.wants(&case.path())).collect();
        let mut verdicts: Vec<Option<Verdict>> = Vec::new();
        if self.wants(LOAD) || load.outcome == Outcome::Failed {
            seen(&load);
            verdicts.push(Some(load));
        }
        let before = verdicts.len();
        verdicts.resize(before + cases.len(), None);
        let (next, verdicts, failure) = (AtomicUsize::new(0), Mutex::new(verdicts), Mutex::new(None));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(index) else { return };
                let started = Instant::now();
                match self.run(file, case) {
                    Ok(record) => {
                        let verdict = self.verdict(file, &case.path(), case.test.about, record, started.elapsed());
                        seen(&verdict);
                        lock(&verdicts)[before + index] = Some(verdict);
                    }
                    Err(error) => {
                        next.store(cases.len(), Ordering::Relaxed);
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
        let Record { manifest, report, .. } = self.load(file)?;
        let Some(manifest) = manifest else {
            let why = report.failures.first().map_or("can't be loaded", String::as_str);
            return Err(Error::failure(format!("{}: {why}", crate::data::text::of_path(file))));
        };
        let cases = testing::cases(&manifest).into_iter().map(|case| (case.path(), case.test.about));
        Ok([(LOAD.to_owned(), ABOUT_LOAD)].into_iter().chain(cases).filter(|(path, _)| self.wants(path)).collect())
    }

    fn wants(&self, path: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(path))
    }

    /// Loads the file, elsewhere; its manifest, if it is loaded.
    fn load(&self, file: &Path) -> Result<Record> {
        if self.in_process { Ok(child::load(file, &self.options)) } else { self.spawn(file, LOAD) }
    }

    fn run(&self, file: &Path, case: &Case) -> Result<Record> {
        if self.in_process {
            let report = child::run(file, &case.path(), self.seed, &self.options);
            return Ok(Record { report, ..Record::default() });
        }
        self.spawn(file, &case.path())
    }

    fn spawn(&self, file: &Path, path: &str) -> Result<Record> {
        let limits = Limits { time: self.time, memory: self.memory };
        let mut arguments: Vec<OsString> = self.common.clone();
        arguments.extend(["--seed".into(), self.seed.to_string().into(), "--child".into(), path.into()]);
        process::run(&self.program, &arguments, file, limits)
    }

    fn verdict(&self, file: &Path, path: &str, about: &'static str, record: Record, time: Duration) -> Verdict {
        let Record { report, from_outside, .. } = record;
        let reason = self.exclusions.reason(path).filter(|_| !report.failures.is_empty() && path != LOAD);
        let outcome = match (&report.failures[..], &reason) {
            ([_, ..], Some(_)) => Outcome::Excluded,
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
        let file_word = if name.starts_with('-') { word(&format!("./{name}")) } else { word(&name) };
        // What the process of a test leaves, prints or dies of can't be seen from within.
        let how = match from_outside {
            true => format!(" --timeout {} --memory {}", self.time.as_secs_f64(), self.memory >> 20),
            false => " --in-process".to_owned(),
        };
        let repeat = format!("plugfit check {file_word} --only {} --seed {seed}{common}{how}", word(path));
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

/// As a shell reads it as one word.
fn word(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "/._-+=,:@".contains(character);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_what_it_is() {
        assert_eq!(word("loss/A/gradient"), "loss/A/gradient");
        assert_eq!(word("it's a.so"), r"'it'\''s a.so'");
    }
}
