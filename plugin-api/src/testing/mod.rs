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
//! `#[config(examples = PATH)]` names a constant `&[&str]` with all examples instead.
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
//!     fn value<R: Real>(&self, _: Row<'_, R>, y_pred: Row<'_, R>) -> R {
//!         (y_pred.get(1) - y_pred.get(0) * y_pred.get(0)).abs()
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
mod bits;
mod buffers;
mod check;
mod config;
mod data;
mod example_arrays;
mod example_batches;
mod examples;
mod exceptions;
mod fences;
mod formula;
mod instance;
mod loss;
mod manifest;
mod metric;
mod nested_host;
mod optimizer;
mod report;
mod schedule;
mod subject;
mod surroundings;
mod tested;
mod watchdog;

pub use crate::catch_panics::PANIC_IN_DROP;
pub use allocation::Counting;
#[doc(hidden)]
pub use allocation::{count_allocation, count_from_outside};
pub use check::{check, check_with};
#[doc(hidden)]
pub use fences::{AllocateGuarded, GUARDED};
pub use report::{Report, Saved};
pub use subject::Subject;
#[doc(hidden)]
pub use subject::{Observe, Surroundings};
#[doc(hidden)]
pub use surroundings::{changes, float_mode, FLOAT_MODE};

use plugfit_abi::Root;
use serde_json::Value;
use std::sync::OnceLock;
use tested::Tested;

/// The name of the test that counts the allocations of an update.
#[doc(hidden)]
pub const ALLOCATION: &str = "allocation";

/// A test of a plug-in.
pub struct Test {
    /// The name, such as `gradient`.
    pub name: &'static str,
    /// What holds if it passes.
    pub about: &'static str,
    scope: Scope,
}

/// What a test applies to.
enum Scope {
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
        match self.scope {
            Scope::Kind(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// Returns whether it tests the surroundings, and so runs at once with the other tests of them.
    fn tests_surroundings(&self) -> bool {
        matches!(self.scope, Scope::Surroundings)
    }

    /// Returns the kind it applies to, `component` if it applies to all kinds, or `None` if it applies to the plug-in
    /// as a whole.
    pub fn group(&self) -> Option<&'static str> {
        match self.scope {
            Scope::Plugin(_) => None,
            Scope::Any(_) | Scope::Surroundings => Some("component"),
            Scope::Kind(kind, _) => Some(kind),
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
            scope: Scope::Plugin(manifest::check),
        }];
        tests.extend(config::TESTS.iter().map(|&(name, about, run)| Test { name, about, scope: Scope::Any(run) }));
        tests.extend(surroundings::TESTS.map(|(name, about)| Test { name, about, scope: Scope::Surroundings }));
        let kinds: [(&str, tested::Tests); 4] = [
            ("loss", loss::TESTS),
            ("metric", metric::TESTS),
            ("optimizer", optimizer::TESTS),
            ("schedule", schedule::TESTS),
        ];
        for (kind, kind_tests) in kinds {
            tests.extend(kind_tests.iter().map(|&(name, about, run)| Test {
                name,
                about,
                scope: Scope::Kind(kind, run),
            }));
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
    pub fn shares_process_with(&self, other: &Case) -> bool {
        self.test.tests_surroundings() && other.test.tests_surroundings() && self.component == other.component
    }
}

/// Returns the cases of a plug-in with this manifest, in the order in which they run.
pub fn cases(manifest: &Value) -> Vec<Case> {
    let whole = tests().iter().filter(|test| matches!(test.scope, Scope::Plugin(_)));
    let mut cases: Vec<Case> = whole.map(|test| Case { test, component: None, exception: None }).collect();
    for component in components(manifest) {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text("kind"), text("name"));
        let applies = |test: &&Test| match test.scope {
            Scope::Plugin(_) => false,
            Scope::Any(_) | Scope::Surroundings => ["loss", "metric", "optimizer", "schedule"].contains(&kind.as_str()),
            Scope::Kind(other, _) => other == kind,
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

/// Runs one of the [`cases`] of a plug-in, or several that [share a process](Case::shares_process_with). Returns a report for each.
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
        if let Scope::Plugin(run) = case.test.scope {
            run(manifest, &mut report);
        }
        return report;
    };
    let Some(component) = find_component(manifest, name) else {
        report.fail(format!("isn't in the manifest as a {}", name.0));
        return report;
    };
    let tested = Tested::new(subject, manifest, component, config);
    match case.test.scope {
        Scope::Any(run) | Scope::Kind(_, run) => {
            if tested.can_be_tried(&mut report) {
                run(&tested, &mut report);
            }
        }
        Scope::Plugin(_) | Scope::Surroundings => report.fail("can't be put to this test together with others"),
    }
    report
}

/// The default seed of random numbers.
pub const SEED: u64 = 7;

/// Parses the manifest of a plug-in.
fn manifest(plugin: &'static Root) -> Result<Value, String> {
    // SAFETY: the root declares the length of its manifest, which lives as long as the process.
    let bytes = unsafe { std::slice::from_raw_parts(plugin.manifest, plugin.manifest_length) };
    serde_json::from_slice(bytes).map_err(|error| format!("has a manifest that isn't JSON: {error}"))
}
