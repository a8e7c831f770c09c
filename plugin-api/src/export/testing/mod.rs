//! A plug-in's own test: what every host relies on, tried through the functions that a host calls.
//!
//! [`check`] is for a test of the crate; `plugfit check` runs the same tests on a built library, each in a process of its own.
//!
//! # Examples
//!
//! A component can say what it gives for small inputs. That is what proves its constants, which no law can know:
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
//! | loss | its inputs, by name | the values, not reduced; beside it `gradient`, the slopes for `y_pred` |
//! | metric | its inputs, by name; `sample_weight`; or `batches`, a list of objects with these | a number, a list, an object of names, or null where it is undefined; where it is a loss too, the values, of which it is the mean |
//! | optimizer | `start`, `gradients` (a list a step), `learning_rate` | the parameter after the steps; beside it `finalized`, what it is at the end of a training |
//! | schedule | `steps` | the rate at each |
//!
//! An example may also say what isn't taken: `refused`, in place of `gives`, are words of the error.
//!
//! The inputs of an example that a loss or a metric names itself are what its laws are tried with: its rows are split, and their states
//! merged. Where an input belongs to all rows together (the sizes of groups), laws about rows aren't tried.
//!
//! `within` is how near it must be, relative to the number: 1e-5 where it isn't given. The first example's `config` is also what the
//! other tests begin with, so that a component which needs settings can be tried; an example without `gives` is for that alone.

//! # What a component declares
//!
//! Some components take batches of one form alone, and some laws don't hold for every component. Both are declared once, and both this
//! test and `plugfit check` go by it:
//!
//! ```
//! # use plugfit_api::prelude::*;
//! /// How far the second of two numbers is from the first's square.
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
//! `columns` is the length of the last axis of `y_pred`, and `classes` the number of class ids; where one of them isn't given, it is the
//! other. `except` excludes laws of the component's kind, each with its reason: they aren't tried. `plugfit check` lists them; [`check`]
//! prints them, which `cargo test` shows with `--nocapture`, or where the test fails. What is listed under several kinds excludes laws of
//! each of them by their names. What holds for components of every kind can't be excluded. `plugfit check --help` lists all tests.

mod allocation;
mod config;
mod data;
mod examples;
mod exceptions;
mod fences;
mod lending;
mod loss;
mod made;
mod manifest;
mod metric;
mod optimizer;
mod own;
mod report;
mod schedule;
mod surroundings;
mod trial;
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
pub use trial::Subject;

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
use trial::Trial;
use watchdog::Watchdog;

/// The test that counts what an update allocates.
#[doc(hidden)]
pub const ALLOCATION: &str = "allocation";

/// A test that a plug-in is put to.
pub struct Test {
    /// Such as `gradient`.
    pub name: &'static str,
    /// What holds where it passes.
    pub about: &'static str,
    of: Of,
}

/// What a test is of.
enum Of {
    Plugin(fn(&Value, &mut Report)),
    Any(fn(&Trial<'_>, &mut Report)),
    /// All of a component are run at once.
    Surroundings,
    Kind(&'static str, fn(&Trial<'_>, &mut Report)),
}

impl Test {
    /// The kind of component it is for; none: it is for all, or for the plug-in as a whole.
    pub fn kind(&self) -> Option<&'static str> {
        match self.of {
            Of::Kind(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// Whether it is run with others of its kind in one process: a test of the surroundings.
    fn is_together(&self) -> bool {
        matches!(self.of, Of::Surroundings)
    }

    /// What it is of, in a word: a kind, or `component` where it is for all; none: it is for the plug-in as a whole.
    pub fn group(&self) -> Option<&'static str> {
        match self.of {
            Of::Plugin(_) => None,
            Of::Any(_) | Of::Surroundings => Some("component"),
            Of::Kind(kind, _) => Some(kind),
        }
    }
}

/// Every test there is.
pub fn tests() -> &'static [Test] {
    static TESTS: OnceLock<Vec<Test>> = OnceLock::new();
    TESTS.get_or_init(|| {
        let mut tests = vec![Test {
            name: "manifest",
            about: "names can be written, every setting has a type and a text, and defaults are of their type",
            of: Of::Plugin(manifest::check),
        }];
        tests.extend(config::TESTS.iter().map(|&(name, about, run)| Test { name, about, of: Of::Any(run) }));
        tests.extend(surroundings::TESTS.map(|(name, about)| Test { name, about, of: Of::Surroundings }));
        let kinds: [(&str, trial::Tests); 4] = [
            ("loss", loss::TESTS),
            ("metric", metric::TESTS),
            ("optimizer", optimizer::TESTS),
            ("schedule", schedule::TESTS),
        ];
        for (kind, of_kind) in kinds {
            tests.extend(of_kind.iter().map(|&(name, about, run)| Test { name, about, of: Of::Kind(kind, run) }));
        }
        tests
    })
}

/// A test of one component, or of the plug-in as a whole.
#[derive(Clone)]
pub struct Case {
    /// The test.
    pub test: &'static Test,
    /// The component's kind and name; none: the plug-in as a whole.
    pub component: Option<(String, String)>,
    /// Why the component says that it doesn't apply; then it isn't run.
    pub exception: Option<String>,
}

impl Case {
    /// Such as `loss/Huber/gradient`.
    pub fn path(&self) -> String {
        match &self.component {
            Some((kind, name)) => format!("{kind}/{name}/{}", self.test.name),
            None => self.test.name.to_owned(),
        }
    }

    /// Whether this and another case are run at once, in one process: what one changes the other couldn't see.
    pub fn goes_with(&self, other: &Case) -> bool {
        self.test.is_together() && other.test.is_together() && self.component == other.component
    }
}

/// The tests of a plug-in with this manifest, in the order they are run.
pub fn cases(manifest: &Value) -> Vec<Case> {
    let whole = tests().iter().filter(|test| matches!(test.of, Of::Plugin(_)));
    let mut cases: Vec<Case> = whole.map(|test| Case { test, component: None, exception: None }).collect();
    for component in components(manifest) {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text("kind"), text("name"));
        let of_it = |test: &&Test| match test.of {
            Of::Plugin(_) => false,
            Of::Any(_) | Of::Surroundings => ["loss", "metric", "optimizer", "schedule"].contains(&kind.as_str()),
            Of::Kind(other, _) => other == kind,
        };
        cases.extend(tests().iter().filter(of_it).map(|test| Case {
            test,
            component: Some((kind.clone(), name.clone())),
            exception: exceptions::reason(component, test),
        }));
    }
    cases
}

fn components(manifest: &Value) -> &[Value] {
    manifest["components"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Runs [`cases`] of a plug-in of this manifest: one, or several that [go together](Case::goes_with). Gives a report for each.
pub fn run(subject: Subject, manifest: &Value, cases: &[Case]) -> Vec<Report> {
    run_with(subject, manifest, cases, None)
}

fn run_with(subject: Subject, manifest: &Value, cases: &[Case], config: Option<&Value>) -> Vec<Report> {
    match cases.iter().all(|case| case.test.is_together()) {
        true => surroundings_of(subject, manifest, cases, config),
        false => cases.iter().map(|case| run_one(subject, manifest, case, config)).collect(),
    }
}

/// Runs tests of the surroundings, all of one component.
fn surroundings_of(subject: Subject, manifest: &Value, cases: &[Case], config: Option<&Value>) -> Vec<Report> {
    let [first, ..] = cases else { return Vec::new() };
    let Some(component) = first.component.as_ref().and_then(|component| described(manifest, component)) else {
        return vec![Report::of_failure("isn't in the manifest"); cases.len()];
    };
    let trial = Trial::new(subject, manifest, component, config);
    surroundings::run(&trial, &cases.iter().map(|case| case.test.name).collect::<Vec<_>>())
}

fn described<'a>(manifest: &'a Value, (kind, name): &(String, String)) -> Option<&'a Value> {
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
    let Some(component) = described(manifest, name) else {
        report.fail(format!("isn't in the manifest as a {}", name.0));
        return report;
    };
    let trial = Trial::new(subject, manifest, component, config);
    match case.test.of {
        Of::Any(run) | Of::Kind(_, run) => {
            if trial.can_be_tried(&mut report) {
                run(&trial, &mut report);
            }
        }
        Of::Plugin(_) | Of::Surroundings => report.fail("can't be put to this test together with others"),
    }
    report
}

/// Tries every component of a plug-in, each with its defaults and with every setting changed: that its configuration is read, checked
/// and written; that a loss's gradient is that of its values; that a metric doesn't mind how its data is split, merged and saved; that
/// an optimizer descends, and goes on from its slots; that a schedule's rates are finite. A component that wraps another is lent those
/// of this plug-in; one that wants another plug-in's isn't tried, and the test says so.
///
/// A component that doesn't come back is named on stderr, and the process ends by an abort: after 120 seconds in one test of it, or as
/// many as the variable `PLUGFIT_TEST_TIMEOUT` says. What only a process of its own can show (signal handlers, the working directory,
/// descriptors, reads behind a buffer that change nothing) is left to `plugfit check`.
///
/// ```
/// # use plugfit_api::prelude::*;
/// # /// How often the sign is right.
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
/// // in a test of the crate that has `export_plugin!`
/// plugfit_api::testing::check(plugin());
/// # }
/// ```
///
/// # Panics
/// Something doesn't hold: the message lists all that was found.
pub fn check(plugin: &'static Root) {
    check_with(plugin, &[]);
}

/// The same, where components are configured as given, by name; those that need a configuration must be among them, or have an
/// [example](self#examples). A component and a test that are named (`"Huber/gradient"`) with the reason as a string are left out.
///
/// # Panics
/// As [`check`], and where a name is no component's.
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
    // Components are tried at once, each component's tests one after another.
    let of_components: Vec<&[Case]> = cases.chunk_by(|case, next| case.component == next.component).collect();
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); of_components.len()]));
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(cases) = of_components.get(index) else { return };
        let of_it = |case| watchdog.during(case_in_words(case), || findings_of(plugin, &manifest, case, configs));
        let of_it = cases.iter().flat_map(of_it).collect();
        findings.lock().unwrap_or_else(PoisonError::into_inner)[index] = of_it;
    };
    thread::scope(|scope| {
        scope.spawn(|| watchdog.watch());
        let others = thread::available_parallelism().map_or(1, usize::from) - 1;
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        // The watch ends even where a test of this module panics.
        let panics = [catch_unwind(AssertUnwindSafe(work)).is_err()]
            .into_iter()
            .chain(others.into_iter().map(|other| other.join().is_err()))
            .fold(false, |one, other| one | other);
        watchdog.end();
        assert!(!panics, "a plug-in unwinds through the boundary");
    });
    found.extend(findings.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten());
    assert!(found.is_empty(), "the plug-in doesn't hold what a host relies on:\n  {}", found.join("\n  "));
}

fn case_in_words(case: &Case) -> String {
    match &case.component {
        Some((kind, name)) => format!("the {kind} {name}, in the test {},", case.test.name),
        None => format!("the test {}", case.test.name),
    }
}

/// What one test finds, unless it is left out.
fn findings_of(plugin: &'static Root, manifest: &Value, case: &Case, configs: &[(&str, Value)]) -> Vec<String> {
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
    // It would be noted for every component.
    if case.test.is_together() && case.test.name != FLOAT_MODE {
        return Vec::new();
    }
    let report = run_with(Subject::new(plugin, SEED), manifest, std::slice::from_ref(case), given(name)).remove(0);
    report.notes.iter().for_each(|note| println!("{}: {note}", case.path()));
    report.failures.iter().map(|failure| format!("{name} {failure} ({})", case.test.name)).collect()
}

/// How a plug-in begins the line on stderr by which it tells of a panic in a destructor; there is nobody to whom it could be an error.
pub const PANIC_IN_DROP: &str = "a destructor panics";

/// Where random numbers begin, if nobody says.
pub const SEED: u64 = 7;

fn manifest(plugin: &'static Root) -> Result<Value, String> {
    // SAFETY: a root's manifest is as long as it says, and lives as long as the process.
    let bytes = unsafe { std::slice::from_raw_parts(plugin.manifest, plugin.manifest_length) };
    serde_json::from_slice(bytes).map_err(|error| format!("has a manifest that is no JSON: {error}"))
}
