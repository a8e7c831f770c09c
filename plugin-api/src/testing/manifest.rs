//! The test of a plug-in's manifest.

use super::{components, exceptions, report::Report};
use crate::manifest::{is_name, not_shown};
use serde_json::Value;
use std::collections::HashSet;

const KINDS: [&str; 4] = ["loss", "metric", "optimizer", "schedule"];
const TYPES: [&str; 8] = ["number", "integer", "boolean", "string", "array", "object", "identifier", "any"];

pub fn check(manifest: &Value, report: &mut Report) {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    name(report, "the plug-in", &text(manifest, "name"));
    let version = text(manifest, "version");
    let numbers = version.split(['-', '+']).next().unwrap_or_default().split('.');
    report.check(numbers.clone().count() == 3 && numbers.clone().all(|part| part.parse::<u64>().is_ok()), || {
        format!("has the version {version:?}; write three numbers, such as 0.1.0")
    });
    report.check(!components(manifest).is_empty(), || "has no component".into());
    if let Some(text) = not_shown(manifest, false) {
        report.fail(format!("has control characters in {text:?}: only documentation may have several lines"));
    }
    let mut names = HashSet::new();
    for component in components(manifest) {
        let (kind, component_name) = (text(component, "kind"), text(component, "name"));
        let what = format!("{kind} {component_name:?}");
        if !KINDS.contains(&kind.as_str()) {
            report.note(format!("{what} is of a kind that this program doesn't know"));
            continue;
        }
        name(report, &what, &component_name);
        report
            .check(!text(component, "doc").is_empty(), || format!("{what} has no documentation: write a doc comment"));
        let aliases: Vec<&str> =
            component["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for alias in &aliases {
            name(report, &format!("{what}, also"), alias);
        }
        for name in aliases.into_iter().chain([component_name.as_str()]) {
            report.check(names.insert((kind.clone(), name.to_owned())), || format!("has two of {kind} {name:?}"));
        }
        exceptions::check(component, components(manifest), &what, report);
        let mut keys = HashSet::new();
        for field in component["fields"].as_array().into_iter().flatten() {
            let key = text(field, "name");
            report.check(keys.insert(key.clone()), || format!("{what} has the setting {key:?} twice"));
            setting(report, &what, &key, field);
        }
    }
}

fn name(report: &mut Report, what: &str, name: &str) {
    report.check(is_name(name), || {
        format!("{what} is called {name:?}: a name is of letters, digits, _ - and ., and begins with a letter")
    });
}

fn setting(report: &mut Report, what: &str, key: &str, field: &Value) {
    let type_ = field["type"].as_str().unwrap_or_default();
    report.check(TYPES.contains(&type_), || format!("{what}: {key} is of the unknown type {type_:?}"));
    report.check(!field["doc"].as_str().unwrap_or_default().is_empty(), || {
        format!("{what}: {key} has no documentation: write a doc comment")
    });
    let Some(default) = field.get("default") else { return };
    let optional = field["optional"] == true && default.is_null();
    let choices = field["choices"].as_array();
    let is_special = || matches!(default.as_str(), Some("inf" | "-inf" | "nan" | "Infinity" | "-Infinity" | "NaN"));
    let fits = optional
        || match type_ {
            "number" => default.is_number() || is_special(),
            "integer" => default.as_f64().is_some_and(|number| number.fract() == 0.0),
            "boolean" => default.is_boolean(),
            "string" => {
                default.is_string() && choices.is_none_or(|choices| choices.is_empty() || choices.contains(default))
            }
            "array" => default.is_array(),
            "object" => default.is_object(),
            "identifier" => default.is_string() || default.is_object(),
            _ => true,
        };
    report.check(fits, || format!("{what}: the default of {key}, {default}, isn't a valid {type_}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failures(components: Value) -> Vec<String> {
        let mut report = Report::default();
        check(&json!({"name": "a", "version": "0.1.0", "components": components}), &mut report);
        report.failures
    }

    fn excluding(kind: &str, test: &str, reason: &str) -> Value {
        let except = json!([{"test": test, "reason": reason}]);
        json!({"kind": kind, "name": "A", "doc": "A.", "trial": {"except": except}})
    }

    #[test]
    fn a_type_that_is_a_loss_and_a_metric_can_exclude_laws_of_both() {
        let both = |test: &str| json!([excluding("loss", test, "so"), excluding("metric", test, "so")]);
        assert_eq!(failures(both("truth")), [""; 0]);
        assert_eq!(failures(both("merge")), [""; 0]);
        assert_eq!(failures(both("quadratic")).len(), 2);
        assert_eq!(failures(json!([excluding("loss", "merge", "so")])).len(), 1);
    }

    #[test]
    fn control_characters_are_rejected_except_in_documentation() {
        for reason in ["two\nlines", "\u{1b}[2J", "\u{202e}"] {
            assert_eq!(failures(json!([excluding("loss", "truth", reason)])).len(), 1, "{reason:?}");
        }
        assert_eq!(failures(json!([{"kind": "loss", "name": "A", "doc": "Two\n\nparagraphs."}])), [""; 0]);
    }
}
