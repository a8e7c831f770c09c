//! Compares identifiers with Keras: their configurations, and what is refused.

use plugfit::Host;
use plugfit_tests::golden::{Failures, file, near};
use serde_json::{Map, Value, json};

/// Returns the full configuration of the component that an identifier creates.
fn config(host: &Host, kind: &str, identifier: Value) -> plugfit::Result<Map<String, Value>> {
    match kind {
        "loss" => host.loss(identifier)?.get_config(),
        "metric" => host.metric(identifier)?.get_config(),
        "optimizer" => host.optimizer(identifier)?.get_config(),
        _ => host.schedule(identifier)?.get_config(),
    }
}

fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => near(a.as_f64().unwrap(), b.as_f64().unwrap(), 0.0, 1e-6),
        // Keras writes a nested object with its module and its own names.
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .filter(|(key, _)| *key != "class_name" && *key != "registered_name")
            .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        (a, b) => a == b,
    }
}

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let kind = case["kind"].as_str().unwrap();
    let found = config(host, kind, case["identifier"].clone()).map_err(|error| error.to_string())?;
    let expected = case["config"].as_object().cloned().unwrap_or_default();
    for (key, expected) in expected.iter().filter(|(key, _)| *key != "dtype") {
        match found.get(key) {
            Some(found) if same(found, expected) => {}
            found => return Err(format!("{key} is {found:?}, not {expected}")),
        }
    }
    Ok(())
}

#[test]
fn identifiers_have_the_same_configurations_as_in_keras() {
    let (host, file) = (Host::new(), file("identifiers"));
    let mut failures = Failures::default();
    for case in file["resolved"].as_array().unwrap() {
        // Skip null and base classes, which can't be created.
        let identifier = &case["identifier"];
        let is_base = ["Loss", "Metric", "metric"].iter().any(|base| identifier == base);
        if !identifier.is_null() && !is_base {
            failures.add(&json!(format!("{} {}", case["kind"], case["identifier"])), check(&host, case));
        }
    }
    failures.finish(100);
}

/// Returns why plugfit accepts an identifier that Keras refuses, if it does.
fn more_than_keras(identifier: &Value) -> Option<&'static str> {
    let class = identifier["class_name"].as_str().or(identifier.as_str())?;
    let config = &identifier["config"];
    Some(match class {
        "huber_loss" | "logcosh" | "adam_w" | "fbeta_score" => "the name that Keras itself gives such an object",
        "CategoricalGeneralizedCrossEntropy" | "categorical_generalized_cross_entropy" | "Lamb" | "lamb" => {
            "Keras forgot it in its list"
        }
        "kld" | "KLD" | "huber" => "a loss's name means the mean of its values among metrics",
        "MSE" => "what is an alias as a string is one in an object",
        "function" if config == "binary_accuracy" => "a serialized function that is a metric",
        "FBetaScore" if config["beta"] == 1 => "1 is a number, as 1.0 is",
        "F1Score" if config["threshold"] == 1 => "the same",
        "SGD" if config["momentum"] == 1 || config["learning_rate"] == 1 => "1 is a number, as 1.0 is",
        "Adam" if config["lr"] == 0.1 => "Keras 2's name of the learning rate",
        "AdamW" if config["weight_decay"].is_null() => "null is no decay",
        _ => return None,
    })
}

#[test]
fn identifiers_that_keras_refuses_are_refused() {
    let (host, file) = (Host::new(), file("identifiers"));
    let mut failures = Failures::default();
    for case in file["refused"].as_array().unwrap() {
        let (kind, identifier) = (case["kind"].as_str().unwrap(), &case["identifier"]);
        let result = match config(&host, kind, identifier.clone()) {
            Ok(_) if more_than_keras(identifier).is_some() => Ok(()),
            Ok(config) => Err(format!("was taken as {}; Keras: {}", json!(config), case["error"]["gist"])),
            Err(_) => Ok(()),
        };
        failures.add(&json!(format!("{kind} {identifier}")), result);
    }
    failures.finish(127);
}
