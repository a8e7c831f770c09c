//! The test that a plug-in's own crate runs.

use super::{cases, components, manifest, run_with, watchdog::Watchdog, Case, Subject, FLOAT_MODE, SEED};
use plugfit_abi::Root;
use serde_json::Value;
use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex, PoisonError,
    },
    thread,
};

/// Tests every component of a plug-in, with its defaults and with every setting changed. The configuration is read,
/// checked and written; the gradient of a loss matches its values; a metric doesn't depend on how its data is split,
/// merged and saved; an optimizer descends, and resumes from its slots; the rates of a schedule are finite. A component
/// that wraps another can use those of this plug-in; one that requires another plug-in isn't tested, and a note says
/// so.
///
/// If a test of a component takes more than 120 seconds (or the number in the environment variable
/// `PLUGFIT_TEST_TIMEOUT`), its name is printed to stderr and the process aborts. Only `plugfit check` tests what needs
/// a separate process: signal handlers, the working directory, descriptors, and reads past the end of a buffer that
/// don't change the result.
///
/// ```
/// # use plugfit_api::prelude::*;
/// # /// The fraction of correct signs.
/// # #[derive(Config)]
/// # pub struct SignAccuracy;
/// # impl MeanMetric for SignAccuracy {
/// #     const DIRECTION: Direction = Direction::Maximize;
/// #     fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
/// #         y_true.zip(y_pred).mean(|t, p| R::from(1.0) - (t.sign() - p.sign()).abs().min(R::from(1.0)))
/// #     }
/// # }
/// # export_plugin! { metrics: [SignAccuracy] }
/// # fn main() {
/// // In a test of the crate that calls `export_plugin!`.
/// plugfit_api::testing::check(plugin());
/// # }
/// ```
///
/// # Panics
/// Panics if a test fails. The message lists all failures.
pub fn check(plugin: &'static Root) {
    check_with(plugin, &[]);
}

/// Does the same as [`check`] with these configurations, by component name. A component without defaults must be among
/// them, or have an [example](super#examples). A component and a test (`"Huber/gradient"`) with a reason as a string are
/// skipped.
///
/// # Panics
/// Panics as [`check`] does, and if a name isn't that of a component.
pub fn check_with(plugin: &'static Root, configs: &[(&str, Value)]) {
    let manifest = manifest(plugin).unwrap_or_else(|why| panic!("{why}"));
    let mut found: Vec<String> = Vec::new();
    let known = |name: &str| components(&manifest).iter().any(|component| component["name"] == name);
    let unknown = configs.iter().filter(|(name, _)| !known(name.split('/').next().unwrap_or_default()));
    found.extend(unknown.map(|(name, _)| format!("{name} isn't exported")));
    if components(&manifest).is_empty() {
        found.push("nothing is exported".into());
    }
    let cases = cases(&manifest);
    let watchdog = Watchdog::new();
    // Components run in parallel, the tests of one component in sequence.
    let component_cases: Vec<&[Case]> = cases.chunk_by(|case, next| case.component == next.component).collect();
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); component_cases.len()]));
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(cases) = component_cases.get(index) else { return };
        let run = |case| watchdog.during(describe_case(case), || run_case(plugin, &manifest, case, configs));
        let found = cases.iter().flat_map(run).collect();
        findings.lock().unwrap_or_else(PoisonError::into_inner)[index] = found;
    };
    thread::scope(|scope| {
        scope.spawn(|| watchdog.watch());
        let workers = thread::available_parallelism().map_or(1, usize::from) - 1;
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        // Stop the watchdog even if a test of this module panics.
        let panics = [catch_unwind(AssertUnwindSafe(work)).is_err()]
            .into_iter()
            .chain(workers.into_iter().map(|worker| worker.join().is_err()))
            .fold(false, |a, b| a | b);
        watchdog.end();
        assert!(!panics, "a plug-in unwinds through the boundary");
    });
    found.extend(findings.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten());
    assert!(found.is_empty(), "the plug-in violates rules that hosts rely on:\n  {}", found.join("\n  "));
}

fn describe_case(case: &Case) -> String {
    match &case.component {
        Some((kind, name)) => format!("the {kind} {name}, in the test {},", case.test.name),
        None => format!("the test {}", case.test.name),
    }
}

/// Runs one case, unless it is skipped, and returns its failures.
fn run_case(plugin: &'static Root, manifest: &Value, case: &Case, configs: &[(&str, Value)]) -> Vec<String> {
    let name = case.component.as_ref().map_or("the plug-in", |(_, name)| name.as_str());
    let given = |key: &str| configs.iter().find(|(other, _)| *other == key).map(|(_, config)| config);
    if let Some(Value::String(reason)) = given(&format!("{name}/{}", case.test.name)) {
        println!("left out: {}, {reason}", case.path());
        return Vec::new();
    }
    if let Some(reason) = &case.exception {
        println!("excluded, as it declares: {}, {reason}", case.path());
        return Vec::new();
    }
    // Skip the others without a note, which would repeat for every component.
    if case.test.tests_surroundings() && case.test.name != FLOAT_MODE {
        return Vec::new();
    }
    let report = run_with(Subject::new(plugin, SEED), manifest, std::slice::from_ref(case), given(name)).remove(0);
    report.notes.iter().for_each(|note| println!("{}: {note}", case.path()));
    report.failures.iter().map(|failure| format!("{name} {failure} ({})", case.test.name)).collect()
}
