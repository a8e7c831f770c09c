//! The other side: a process that runs a test, or several that go together, and writes what it found.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use plugfit_api::testing::{self, Case, Report};
use serde::{Deserialize, Serialize};

use super::{LOAD, Target, strays};
use crate::plugin::{self, LoadOptions, Refusal};
use crate::{Error, Host, Result};

/// What a child writes once it is through; without it, the child died.
#[derive(Default, Serialize, Deserialize)]
pub struct Record {
    /// What the parent said at the beginning. An exit status proves nothing: a plug-in can exit, too.
    pub nonce: String,
    /// The tests that were run; the parent knows which it asked for.
    #[serde(default)]
    pub tests: Vec<String>,
    /// For [`LOAD`]: whether it was loaded.
    #[serde(default)]
    pub is_loaded: bool,
    /// What was found, for each test.
    pub reports: Vec<Report>,
    /// Whether some of it can be seen by the parent alone.
    #[serde(skip)]
    pub from_outside: bool,
}

impl Record {
    /// Of one test.
    fn of(report: Report) -> Self {
        Record { reports: vec![report], ..Record::default() }
    }

    /// Of tests that all failed by this.
    pub fn of_failure(tests: usize, what: &str) -> Self {
        Record { reports: vec![Report::of_failure(what); tests], ..Record::default() }
    }

    /// Adds what was found by all of them.
    pub fn fail(&mut self, what: &str) {
        self.reports.iter_mut().for_each(|report| report.failures.push(what.to_owned()));
    }
}

/// What stands between the tests that a process is begun for.
pub const AND: char = ',';

/// Where the parent finds the record, seen from the child's working directory.
pub const RECORD: &str = "PLUGFIT_CHECK_RECORD";

/// Runs tests in this process, which the parent began for them: reads the nonce from stdin, and writes the record last of all.
///
/// # Errors
/// No parent asked for it, or the record can't be written.
pub fn serve(file: &Path, paths: &str, seed: u64, options: &LoadOptions) -> Result<()> {
    let record_path = std::env::var_os(RECORD).ok_or_else(|| Error::usage("--child is for `plugfit check` itself"))?;
    strays::end_with_parent();
    let mut nonce = String::new();
    std::io::stdin().lock().read_line(&mut nonce).map_err(|error| Error::failure(error.to_string()))?;
    // Whoever began this process may have ended before it could be noticed.
    let nonce = nonce.trim();
    if nonce.is_empty() {
        return Err(Error::usage("--child is for `plugfit check` itself"));
    }
    strays::adopt();
    let tests: Vec<String> = paths.split(AND).map(str::to_owned).collect();
    let mut record = match paths {
        LOAD => load(file, options),
        _ => Record { reports: run(file, &tests, seed, options, true), ..Record::default() },
    };
    match strays::kill() {
        0 => {}
        1 => record.fail("leaves a process running that it began"),
        count => record.fail(&format!("leaves {count} processes running that it began")),
    }
    record.tests = tests;
    record.nonce = nonce.to_owned();
    let text = serde_json::to_string(&record).map_err(|error| Error::failure(error.to_string()))?;
    std::fs::write(record_path, text).map_err(|error| Error::failure(format!("cannot write the record: {error}")))
}

/// More than a person waits for gladly.
const SLOW: Duration = Duration::from_millis(100);

/// Loads a plug-in.
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
                if let (true, Some(why)) = (has, plugin.missing(kind)) {
                    report.failures.push(format!("its {} can't be used: {why}", kind.plural()));
                }
            }
            let after = plugin::observe();
            let changes = before.keys().flat_map(|test| testing::changes(test, &before, &after));
            report.failures.extend(changes.map(|change| format!("as it is loaded, it {change}")));
            is_loaded = true;
        }
    }
    Record { is_loaded, ..Record::of(report) }
}

/// Why a file isn't loaded.
pub fn refused(refusal: Refusal) -> Report {
    let mut report = Report::of_failure(refusal.line());
    report.failures.extend(refusal.details);
    report
}

/// Runs tests of a plug-in that go together; gives a report for each. `is_child`: a parent reads what this process prints.
pub fn run(file: &Path, paths: &[String], seed: u64, options: &LoadOptions, is_child: bool) -> Vec<Report> {
    let all = |why: String| vec![Report::of_failure(why); paths.len()];
    let target = Target::of(file);
    let plugin = match target.load(options) {
        Ok(plugin) => plugin,
        Err(refusal) => return all(refusal.line()),
    };
    // What the file says, and not what the code makes of it since.
    let manifest = serde_json::to_value(plugin.manifest()).unwrap_or_default();
    let cases: Vec<Case> = target.cases(&manifest).into_iter().filter(|case| paths.contains(&case.path())).collect();
    let [case, ..] = &cases[..] else { return all(format!("has no test {}", paths.join(", "))) };
    if cases.len() != paths.len() {
        return all(format!("doesn't have all of the tests {}", paths.join(", ")));
    }
    // All other tests are of the library as it is.
    if case.test.name == testing::ALLOCATION {
        plugin.count_allocations();
    }
    // The plug-in comes first, so that it is what its names mean; the standard set is there for what nests.
    let host = Host::with_options(options.clone());
    if let Target::Plugin(_) = target {
        host.add_loaded(plugin.clone());
    }
    host.add_builtin();
    if let Some((kind, _)) = &case.component
        && let Some(why) = crate::plugin::Kind::from_name(kind).and_then(|kind| plugin.missing(kind))
    {
        return all(format!("can't be used: {why}"));
    }
    match plugin.subject(host.door(), seed) {
        Ok(subject) if is_child => testing::run(subject.telling_parent(), &manifest, &cases),
        Ok(subject) => testing::run(subject, &manifest, &cases),
        Err(error) => all(error.to_string()),
    }
}
