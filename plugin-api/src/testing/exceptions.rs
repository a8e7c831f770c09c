//! The laws that a component excludes in its manifest.

use super::{report::Report, tests, Scope, Test};
use serde_json::Value;

/// Returns the excluded tests with their reasons.
fn declared(component: &Value) -> impl Iterator<Item = (&str, &str)> {
    let list = component["trial"]["except"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|entry| (entry["test"].as_str().unwrap_or_default(), entry["reason"].as_str().unwrap_or_default()))
}

/// Returns whether a component of this kind may exclude the test: only a law of its kind can be excluded.
fn can_be_excepted(test: &Test, kind: &Value) -> bool {
    matches!(test.scope, Scope::Kind(scope, _) if *kind == *scope)
}

/// Returns the component's reason for excluding the test, if it does.
pub fn reason(component: &Value, test: &Test) -> Option<String> {
    if !can_be_excepted(test, &component["kind"]) {
        return None;
    }
    let found = declared(component).find(|(name, reason)| *name == test.name && !reason.trim().is_empty());
    found.map(|(_, reason)| reason.to_owned())
}

/// Checks the declarations of a component. A type that is listed under several kinds can exclude laws of each of them.
pub fn check(component: &Value, components: &[Value], what: &str, report: &mut Report) {
    let same_name = components.iter().filter(|other| other["name"] == component["name"]);
    let kinds: Vec<&Value> = same_name.map(|other| &other["kind"]).collect();
    for (name, reason) in declared(component) {
        let is_law = |test: &Test| test.name == name && kinds.iter().any(|kind| can_be_excepted(test, kind));
        report.check(tests().iter().any(is_law), || {
            format!("{what} excludes {name:?}, which isn't a law of its kind: only those can be excluded")
        });
        report.check(!reason.trim().is_empty(), || format!("{what} excludes {name:?} without a reason"));
    }
    for key in ["columns", "classes"] {
        let number = &component["trial"][key];
        report.check(number.is_null() || number.as_u64().is_some_and(|number| (1..=4096).contains(&number)), || {
            format!("{what} declares {key} = {number}, which isn't a number from 1 to 4096")
        });
    }
}
