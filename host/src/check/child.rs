//! The other side: a process that runs one test, and writes what it found.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use plugfit_api::testing::{self, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LOAD, strays};
use crate::plugin::{LoadOptions, Plugin};
use crate::{Error, Host, Result};

/// What a child writes once it is through; without it, the child died.
#[derive(Default, Serialize, Deserialize)]
pub struct Record {
    /// What the parent said at the beginning. An exit status proves nothing: a plug-in can exit, too.
    pub nonce: String,
    /// For [`LOAD`]: the manifest of a plug-in that was loaded.
    #[serde(default)]
    pub manifest: Option<Value>,
    /// What was found.
    pub report: Report,
    /// Whether some of it can be seen by the parent alone.
    #[serde(skip)]
    pub from_outside: bool,
}

/// Where the parent finds the record, seen from the child's working directory.
pub const RECORD: &str = "PLUGFIT_CHECK_RECORD";

/// Runs one test in this process, which the parent began for it: reads the nonce from stdin, and writes the record last of all.
///
/// # Errors
/// No parent asked for it, or the record can't be written.
pub fn serve(file: &Path, path: &str, seed: u64, options: &LoadOptions) -> Result<()> {
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
    let mut record = match path {
        LOAD => load(file, options),
        path => Record { report: run(file, path, seed, options), ..Record::default() },
    };
    match strays::kill() {
        0 => {}
        1 => record.report.failures.push("leaves a process running that it began".into()),
        count => record.report.failures.push(format!("leaves {count} processes running that it began")),
    }
    record.nonce = nonce.to_owned();
    let text = serde_json::to_string(&record).map_err(|error| Error::failure(error.to_string()))?;
    std::fs::write(record_path, text).map_err(|error| Error::failure(format!("cannot write the record: {error}")))
}

/// More than a person waits for gladly.
const SLOW: Duration = Duration::from_millis(100);

/// Loads a plug-in.
pub fn load(file: &Path, options: &LoadOptions) -> Record {
    let mut record = Record::default();
    let started = Instant::now();
    match Plugin::open(file, options) {
        Err(refusal) => {
            record.report.failures.push(refusal.line());
            record.report.failures.extend(refusal.details);
        }
        Ok(plugin) => {
            let time = started.elapsed();
            if time > SLOW {
                record.report.warnings.push(format!("takes {time:.0?} to load"));
            }
            for kind in crate::plugin::Kind::ALL {
                let has = plugin.manifest().components.iter().any(|component| component.kind() == Some(kind));
                if let (true, Some(why)) = (has, plugin.missing(kind)) {
                    record.report.failures.push(format!("its {} can't be used: {why}", kind.plural()));
                }
            }
            record.manifest = serde_json::to_value(plugin.manifest()).ok();
        }
    }
    record
}

/// Runs a test of a plug-in.
pub fn run(file: &Path, path: &str, seed: u64, options: &LoadOptions) -> Report {
    let plugin = match Plugin::open(file, options) {
        Ok(plugin) => plugin,
        Err(refusal) => return Report::of_failure(refusal.line()),
    };
    let manifest = serde_json::to_value(plugin.manifest()).unwrap_or_default();
    let Some(case) = testing::cases(&manifest).into_iter().find(|case| case.path() == path) else {
        return Report::of_failure(format!("has no test {path}"));
    };
    // All other tests are of the library as it is.
    if case.test.name == testing::ALLOCATION {
        plugin.count_allocations();
    }
    // The plug-in comes first, so that it is what its names mean; the standard set is there for what nests.
    let host = Host::with_options(options.clone());
    host.add_loaded(plugin.clone());
    host.add_builtin();
    if let Some((kind, _)) = &case.component
        && let Some(why) = crate::plugin::Kind::from_name(kind).and_then(|kind| plugin.missing(kind))
    {
        return Report::of_failure(format!("can't be used: {why}"));
    }
    match plugin.subject(host.door(), seed) {
        Ok(subject) => testing::run(subject, &case),
        Err(error) => Report::of_failure(error.to_string()),
    }
}
