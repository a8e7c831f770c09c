//! The child process: runs one test, or several that share a process, and writes a record of the results.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use plugfit_api::testing::{self, Case, Report};
use serde::{Deserialize, Serialize};

use super::{LOAD, Target, leftover_processes};
use crate::plugin::{self, LoadOptions, Refusal};
use crate::{Error, Host, Result};

/// The record that a child writes at its end. If there is none, the child died.
#[derive(Default, Serialize, Deserialize)]
pub struct Record {
    /// The nonce that the parent sent. It proves that the child reached its end; an exit status doesn't, because a
    /// plug-in can exit too.
    pub nonce: String,
    /// The tests that were run, which the parent compares with those that it requested.
    #[serde(default)]
    pub tests: Vec<String>,
    /// For [`LOAD`]: whether the file was loaded.
    #[serde(default)]
    pub is_loaded: bool,
    /// The report of each test.
    pub reports: Vec<Report>,
    /// Whether only the parent could observe a part of the result.
    #[serde(skip)]
    pub from_outside: bool,
}

impl Record {
    /// Creates the record of tests that all failed for the same reason.
    pub fn of_failure(tests: usize, what: &str) -> Self {
        Record { reports: vec![Report::of_failure(what); tests], ..Record::default() }
    }

    /// Adds a failure to each report.
    pub fn fail(&mut self, what: &str) {
        self.reports.iter_mut().for_each(|report| report.failures.push(what.to_owned()));
    }
}

/// The separator of the tests in the argument `--child`.
pub const TEST_SEPARATOR: char = ',';

/// The environment variable with the path of the record.
pub const RECORD_VARIABLE: &str = "PLUGFIT_CHECK_RECORD";

/// Runs tests in this process, which the parent started for them: reads the nonce from stdin, and writes the record at
/// the end.
///
/// # Errors
/// Returns an error if no parent started this process, or if the record can't be written.
pub fn serve(file: &Path, paths: &str, seed: u64, options: &LoadOptions) -> Result<()> {
    let record_path =
        std::env::var_os(RECORD_VARIABLE).ok_or_else(|| Error::usage("--child is for `plugfit check` itself"))?;
    leftover_processes::end_with_parent();
    let mut nonce = String::new();
    std::io::stdin().lock().read_line(&mut nonce).map_err(|error| Error::failure(error.to_string()))?;
    // Without a nonce, the parent may have ended before `end_with_parent` took effect.
    let nonce = nonce.trim();
    if nonce.is_empty() {
        return Err(Error::usage("--child is for `plugfit check` itself"));
    }
    leftover_processes::adopt();
    let tests: Vec<String> = paths.split(TEST_SEPARATOR).map(str::to_owned).collect();
    let mut record = match paths {
        LOAD => load(file, options),
        _ => Record { reports: run(file, &tests, seed, options, true), ..Record::default() },
    };
    match leftover_processes::kill() {
        0 => {}
        1 => record.fail("leaves a process running that it began"),
        count => record.fail(&format!("leaves {count} processes running that it began")),
    }
    record.tests = tests;
    record.nonce = nonce.to_owned();
    let text = serde_json::to_string(&record).map_err(|error| Error::failure(error.to_string()))?;
    std::fs::write(record_path, text).map_err(|error| Error::failure(format!("cannot write the record: {error}")))
}

/// Loading that takes longer is reported with a warning.
const SLOW: Duration = Duration::from_millis(100);

/// Runs the test [`LOAD`]: loads a plug-in, and checks that loading doesn't change the process.
pub fn load(file: &Path, options: &LoadOptions) -> Record {
    let (mut report, mut is_loaded) = (Report::default(), false);
    let before = plugin::observe();
    let started = Instant::now();
    match Target::of(file).load(options) {
        Err(refusal) => report = refused(refusal),
        Ok(plugin) => {
            let time = started.elapsed();
            if time > SLOW {
                report.warnings.push(format!("takes {time:.0?} to load"));
            }
            for kind in crate::plugin::Kind::ALL {
                let has = plugin.manifest().components.iter().any(|component| component.kind() == Some(kind));
                if let (true, Some(why)) = (has, plugin.unusable_reason(kind)) {
                    report.failures.push(format!("its {} can't be used: {why}", kind.plural()));
                }
            }
            let after = plugin::observe();
            let changes = before.keys().flat_map(|test| testing::changes(test, &before, &after));
            report.failures.extend(changes.map(|change| format!("as it is loaded, it {change}")));
            is_loaded = true;
        }
    }
    Record { is_loaded, reports: vec![report], ..Record::default() }
}

/// Returns the report for a file that was refused.
pub fn refused(refusal: Refusal) -> Report {
    let mut report = Report::of_failure(refusal.line());
    report.failures.extend(refusal.details);
    report
}

/// Runs tests of a plug-in that share a process, and returns a report for each. `is_child`: whether a parent process
/// reads the output of this one.
pub fn run(file: &Path, paths: &[String], seed: u64, options: &LoadOptions, is_child: bool) -> Vec<Report> {
    let all = |why: String| vec![Report::of_failure(why); paths.len()];
    let target = Target::of(file);
    let plugin = match target.load(options) {
        Ok(plugin) => plugin,
        Err(refusal) => return all(refusal.line()),
    };
    // The manifest that was read from the file, not one that the plug-in's code may have changed.
    let manifest = serde_json::to_value(plugin.manifest()).unwrap_or_default();
    let cases: Vec<Case> = target.cases(&manifest).into_iter().filter(|case| paths.contains(&case.path())).collect();
    let [case, ..] = &cases[..] else { return all(format!("has no test {}", paths.join(", "))) };
    if cases.len() != paths.len() {
        return all(format!("doesn't have all of the tests {}", paths.join(", ")));
    }
    // All other tests run the library without counting.
    if case.test.name == testing::ALLOCATION {
        plugin.count_allocations();
    }
    // The plug-in is added first, so that its names refer to it. The standard set provides nested components.
    let host = Host::with_options(options.clone());
    if let Target::Plugin(_) = target {
        host.add_loaded(plugin.clone());
    }
    host.add_builtin();
    if let Some((kind, _)) = &case.component
        && let Some(why) = crate::plugin::Kind::from_name(kind).and_then(|kind| plugin.unusable_reason(kind))
    {
        return all(format!("can't be used: {why}"));
    }
    match plugin.subject(host.callbacks(), seed) {
        Ok(subject) if is_child => testing::run(subject.reporting_to_parent(), &manifest, &cases),
        Ok(subject) => testing::run(subject, &manifest, &cases),
        Err(error) => all(error.to_string()),
    }
}
