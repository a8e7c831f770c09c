//! The checker for plug-ins: it tests what every host relies on, through the functions that a host calls.
//!
//! [`check`] is for a test of the crate; `plugfit check` runs the same tests on a built library, each in a separate
//! process.
//!
//! # Examples
//!
//! A component can declare its results for small inputs. Only such examples verify its constants, which no law can
//! check:
//!
//! ```
//! # use plugfit_api::prelude::*;
//! /// The distance, in multiples of a unit.
//! #[derive(Config)]
//! #[config(example = r#"{"config": {"unit": 2.0}, "y_true": [[0, 4]], "y_pred": [[1, 1]], "gives": [1.0]}"#)]
//! pub struct UnitDistance {
//!     /// The unit.
//!     #[config(default = 1.0, above = 0.0)]
//!     unit: f64,
//! }
//! # #[formula]
//! # impl ElementwiseLoss for UnitDistance {
//! #     fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
//! #         (y_true - y_pred).abs() / self.unit
//! #     }
//! # }
//! # export_plugin! { losses: [UnitDistance] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! | kind | keys besides `config` | `gives` |
//! |---|---|---|
//! | loss | its inputs, by name | the unreduced values; optionally `gradient`, the derivatives for `y_pred` |
//! | metric | its inputs, by name; `sample_weight`; or `batches`, a list of objects with these | a number, a list, an object of names, or null if undefined; if the type is a loss too, the values, of which the metric is the mean |
//! | optimizer | `start`, `gradients` (a list per step), `learning_rate` | the parameter after the steps; optionally `finalized`, the parameter at the end of training |
//! | schedule | `steps` | the learning rate at each step |
//!
//! An example may also declare a rejection: instead of `gives`, `refused` contains words of the error message.
//!
//! If a loss or a metric declares its own input names, the laws use the inputs of its example: its rows are split, and
//! their states merged. If an input belongs to all rows together (such as the sizes of groups), laws about rows aren't
//! tested.
//!
//! `within` is the relative tolerance, 1e-5 by default. The other tests start from the `config` of the first example,
//! so that a component without defaults can be tested; an example without `gives` has only this purpose.
//!
//! # What a component declares
//!
//! Some components accept batches of one form only, and some laws don't hold for every component. The component
//! declares both, for this test and for `plugfit check`:
//!
//! ```
//! # use plugfit_api::prelude::*;
//! /// The distance of the second number from the square of the first.
//! #[derive(Config)]
//! #[config(trial(columns = 2, except(direction = "its truth is a curve, on which y_true itself needn't lie")))]
//! pub struct Parabola;
//!
//! impl MeanMetric for Parabola {
//!     const DIRECTION: Direction = Direction::Minimize;
//!     fn value(&self, _: &[f64], y_pred: &[f64]) -> f64 {
//!         (y_pred[1] - y_pred[0] * y_pred[0]).abs()
//!     }
//! }
//! # export_plugin! { metrics: [Parabola] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! `columns` is the length of the last axis of `y_pred`, and `classes` the number of class ids; each defaults to the
//! other. `except` excludes laws of the component's kind, each with a reason. `plugfit check` lists the excluded laws;
//! [`check`] prints them, which `cargo test` shows with `--nocapture` or if the test fails. A type that is listed under
//! several kinds can exclude laws of each of them. Laws for all kinds can't be excluded. `plugfit check --help` lists
//! all tests.

mod allocation;
mod config;
mod data;
mod example_batches;
mod examples;
mod exceptions;
mod fences;
mod instance;
mod loss;
mod manifest;
mod metric;
mod nested_host;
mod optimizer;
mod report;
mod schedule;
mod surroundings;
mod tested;
mod watchdog;

pub use allocation::Counting;
#[doc(hidden)]
pub use allocation::{asked_from_outside, count_from_outside};
#[doc(hidden)]
pub use fences::{Room, GUARDED};
pub(crate) use report::where_and_what;
pub use report::{Report, Saved};
#[doc(hidden)]
pub use surroundings::{changes, float_mode, Observe, Surroundings, FLOAT_MODE};
pub use tested::Subject;

use plugfit_abi::Root;
use serde_json::Value;
use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex, OnceLock, PoisonError,
    },
    thread,
};
use tested::Tested;
use watchdog::Watchdog;

/// The name of the test that counts the allocations of an update.
#[doc(hidden)]
pub const ALLOCATION: &str = "allocation";

/// A test of a plug-in.
pub struct Test {
    /// The name, such as `gradient`.
    pub name: &'static str,
    /// What holds if it passes.
    pub about: &'static str,
    of: Of,
}

/// What a test applies to.
enum Of {
    /// The plug-in as a whole; the function gets its manifest.
    Plugin(fn(&Value, &mut Report)),
    /// Components of every kind.
    Any(fn(&Tested<'_>, &mut Report)),
    /// Components of every kind. All tests of the surroundings of a component run at once.
    Surroundings,
    /// Components of one kind.
    Kind(&'static str, fn(&Tested<'_>, &mut Report)),
}

impl Test {
    /// Returns the kind of component it applies to, or `None` if it applies to all kinds or to the plug-in as a whole.
    pub fn kind(&self) -> Option<&'static str> {
        match self.of {
            Of::Kind(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// Returns whether it tests the surroundings, and so runs at once with the other tests of them.
    fn tests_surroundings(&self) -> bool {
        matches!(self.of, Of::Surroundings)
    }

    /// Returns the kind it applies to, `component` if it applies to all kinds, or `None` if it applies to the plug-in
    /// as a whole.
    pub fn group(&self) -> Option<&'static str> {
        match self.of {
            Of::Plugin(_) => None,
            Of::Any(_) | Of::Surroundings => Some("component"),
            Of::Kind(kind, _) => Some(kind),
        }
    }
}

/// Returns all tests.
pub fn tests() -> &'static [Test] {
    static TESTS: OnceLock<Vec<Test>> = OnceLock::new();
    TESTS.get_or_init(|| {
        let mut tests = vec![Test {
            name: "manifest",
            about: "names are valid, every setting has a type and documentation, and defaults have the declared type",
            of: Of::Plugin(manifest::check),
        }];
        tests.extend(config::TESTS.iter().map(|&(name, about, run)| Test { name, about, of: Of::Any(run) }));
        tests.extend(surroundings::TESTS.map(|(name, about)| Test { name, about, of: Of::Surroundings }));
        let kinds: [(&str, tested::Tests); 4] = [
            ("loss", loss::TESTS),
            ("metric", metric::TESTS),
            ("optimizer", optimizer::TESTS),
            ("schedule", schedule::TESTS),
        ];
        for (kind, kind_tests) in kinds {
            tests.extend(kind_tests.iter().map(|&(name, about, run)| Test { name, about, of: Of::Kind(kind, run) }));
        }
        tests
    })
}

/// A test of one component, or of the plug-in as a whole.
#[derive(Clone)]
pub struct Case {
    /// The test.
    pub test: &'static Test,
    /// The component's kind and name, or `None` for the plug-in as a whole.
    pub component: Option<(String, String)>,
    /// The component's reason for excluding the test, which then isn't run.
    pub exception: Option<String>,
}

impl Case {
    /// Returns the path of the case, such as `loss/Huber/gradient`.
    pub fn path(&self) -> String {
        match &self.component {
            Some((kind, name)) => format!("{kind}/{name}/{}", self.test.name),
            None => self.test.name.to_owned(),
        }
    }

    /// Returns whether this case and another must run at once, in one process: the first would hide a change from the
    /// second.
    pub fn goes_with(&self, other: &Case) -> bool {
        self.test.tests_surroundings() && other.test.tests_surroundings() && self.component == other.component
    }
}

/// Returns the cases of a plug-in with this manifest, in the order in which they run.
pub fn cases(manifest: &Value) -> Vec<Case> {
    let whole = tests().iter().filter(|test| matches!(test.of, Of::Plugin(_)));
    let mut cases: Vec<Case> = whole.map(|test| Case { test, component: None, exception: None }).collect();
    for component in components(manifest) {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text("kind"), text("name"));
        let applies = |test: &&Test| match test.of {
            Of::Plugin(_) => false,
            Of::Any(_) | Of::Surroundings => ["loss", "metric", "optimizer", "schedule"].contains(&kind.as_str()),
            Of::Kind(other, _) => other == kind,
        };
        cases.extend(tests().iter().filter(applies).map(|test| Case {
            test,
            component: Some((kind.clone(), name.clone())),
            exception: exceptions::reason(component, test),
        }));
    }
    cases
}

/// Returns the components that a manifest lists.
fn components(manifest: &Value) -> &[Value] {
    manifest["components"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Runs one of the [`cases`] of a plug-in, or several that [go together](Case::goes_with). Returns a report for each.
pub fn run(subject: Subject, manifest: &Value, cases: &[Case]) -> Vec<Report> {
    run_with(subject, manifest, cases, None)
}

/// Runs cases with another configuration than that of the example, if one is given.
fn run_with(subject: Subject, manifest: &Value, cases: &[Case], config: Option<&Value>) -> Vec<Report> {
    match cases.iter().all(|case| case.test.tests_surroundings()) {
        true => run_surroundings(subject, manifest, cases, config),
        false => cases.iter().map(|case| run_one(subject, manifest, case, config)).collect(),
    }
}

/// Runs tests of the surroundings, all of the same component.
fn run_surroundings(subject: Subject, manifest: &Value, cases: &[Case], config: Option<&Value>) -> Vec<Report> {
    let [first, ..] = cases else { return Vec::new() };
    let Some(component) = first.component.as_ref().and_then(|component| find_component(manifest, component)) else {
        return vec![Report::of_failure("isn't in the manifest"); cases.len()];
    };
    let tested = Tested::new(subject, manifest, component, config);
    surroundings::run(&tested, &cases.iter().map(|case| case.test.name).collect::<Vec<_>>())
}

/// Returns the description of a component in the manifest.
fn find_component<'a>(manifest: &'a Value, (kind, name): &(String, String)) -> Option<&'a Value> {
    components(manifest).iter().find(|component| component["kind"] == **kind && component["name"] == **name)
}

fn run_one(subject: Subject, manifest: &Value, case: &Case, config: Option<&Value>) -> Report {
    let mut report = Report::default();
    let Some(name) = &case.component else {
        if let Of::Plugin(run) = case.test.of {
            run(manifest, &mut report);
        }
        return report;
    };
    let Some(component) = find_component(manifest, name) else {
        report.fail(format!("isn't in the manifest as a {}", name.0));
        return report;
    };
    let tested = Tested::new(subject, manifest, component, config);
    match case.test.of {
        Of::Any(run) | Of::Kind(_, run) => {
            if tested.can_be_tried(&mut report) {
                run(&tested, &mut report);
            }
        }
        Of::Plugin(_) | Of::Surroundings => report.fail("can't be put to this test together with others"),
    }
    report
}

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
/// #     fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
/// #         y_true.iter().zip(y_pred).filter(|(t, p)| t.signum() == p.signum()).count() as f64 / y_true.len() as f64
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
/// them, or have an [example](self#examples). A component and a test (`"Huber/gradient"`) with a reason as a string are
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
    assert!(found.is_empty(), "the plug-in doesn't hold what a host relies on:\n  {}", found.join("\n  "));
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

/// The start of the line on stderr by which a plug-in reports a panic in a destructor, which can't return an error.
pub const PANIC_IN_DROP: &str = "a destructor panics";

/// The default seed of random numbers.
pub const SEED: u64 = 7;

/// Parses the manifest of a plug-in.
fn manifest(plugin: &'static Root) -> Result<Value, String> {
    // SAFETY: the root declares the length of its manifest, which lives as long as the process.
    let bytes = unsafe { std::slice::from_raw_parts(plugin.manifest, plugin.manifest_length) };
    serde_json::from_slice(bytes).map_err(|error| format!("has a manifest that is no JSON: {error}"))
}
