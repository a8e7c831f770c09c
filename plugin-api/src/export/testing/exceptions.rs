//! What a component declares in its manifest of the tests that it is put to.

use super::{report::Report, tests, Of, Test};
use serde_json::Value;

fn declared(component: &Value) -> impl Iterator<Item = (&str, &str)> {
    let list = component["trial"]["except"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|entry| (entry["test"].as_str().unwrap_or_default(), entry["reason"].as_str().unwrap_or_default()))
}

/// Whether a component may say that it isn't meant: a law of its kind. What every component holds, no one can be excused from.
fn can_be_excepted(test: &Test, kind: &Value) -> bool {
    matches!(test.of, Of::Kind(of, _) if *kind == *of)
}

/// Why a test doesn't apply to a component, if that says so.
pub fn reason(component: &Value, test: &Test) -> Option<String> {
    if !can_be_excepted(test, &component["kind"]) {
        return None;
    }
    let found = declared(component).find(|(name, reason)| *name == test.name && !reason.trim().is_empty());
    found.map(|(_, reason)| reason.to_owned())
}

/// That what it declares can be. What is listed under several kinds is one struct, which declares laws of each of them.
pub fn check(component: &Value, components: &[Value], what: &str, report: &mut Report) {
    let of_its_name = components.iter().filter(|other| other["name"] == component["name"]);
    let kinds: Vec<&Value> = of_its_name.map(|other| &other["kind"]).collect();
    for (name, reason) in declared(component) {
        let is_law = |test: &Test| test.name == name && kinds.iter().any(|kind| can_be_excepted(test, kind));
        report.that(tests().iter().any(is_law), || {
            format!("{what} excludes {name:?}, which is no law of its kind: only those can be excluded")
        });
        report.that(!reason.trim().is_empty(), || format!("{what} excludes {name:?} without a reason"));
    }
    for key in ["columns", "classes"] {
        let number = &component["trial"][key];
        report.that(number.is_null() || number.as_u64().is_some_and(|number| (1..=4096).contains(&number)), || {
            format!("{what} declares {key} = {number}, which is no number from 1 to 4096")
        });
    }
}
