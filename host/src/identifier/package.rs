//! Finds the package to which the class of a serialized object belongs.

use serde_json::{Map, Value};

/// Returns the package of an object's class: the one under which the class is registered, or else the first part of its
/// module. Returns `None` for Keras's own classes, and for those of plugfit's Python package that aren't from a
/// plug-in.
///
/// Keras serializes its own classes with a module of Keras. A class of another module isn't Keras's, even if it is
/// called "SGD". Keras writes the package "Custom" for classes that are registered without a package.
pub(crate) fn package(object: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let module = text("module");
    let registered = text("registered_name").and_then(|name| name.rsplit_once('>')).map(|(package, _)| package);
    match (registered, module) {
        // plugfit's Python classes are registered as "plugfit.losses>Huber" and "plugfit.losses.robust>Tukey".
        (Some(package), Some(module)) if is_in(module, "plugfit") => {
            let package = package.strip_prefix(module).unwrap_or(package).trim_start_matches('.');
            Some(package.to_owned()).filter(|package| !package.is_empty())
        }
        (None, Some(module)) if is_in(module, "plugfit") => None,
        (Some("Custom") | None, Some(module)) if is_keras(module) => None,
        (Some("Custom") | None, Some(module)) => module.split('.').next().map(str::to_owned),
        (Some("keras"), _) => None,
        (Some(package), _) => Some(package.to_owned()),
        (None, None) => None,
    }
}

/// Returns whether a distribution of Keras writes this module for its own classes and functions.
fn is_keras(module: &str) -> bool {
    const DISTRIBUTIONS: [&str; 6] =
        ["keras", "tf_keras", "keras_core", "tensorflow.keras", "tensorflow.python.keras", "builtins"];
    DISTRIBUTIONS.iter().any(|distribution| is_in(module, distribution))
}

fn is_in(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package_of(module: Value, registered: Value) -> Option<String> {
        let object = json!({"module": module, "class_name": "SGD", "registered_name": registered});
        package(object.as_object().expect("an object"))
    }

    #[test]
    fn classes_of_keras_have_no_package() {
        for module in [
            "keras.optimizers",
            "keras",
            "keras.src.optimizers.sgd",
            "tf_keras.optimizers",
            "tensorflow.keras.optimizers",
            "builtins",
        ] {
            for registered in [json!(null), json!("SGD"), json!("function"), json!("Custom>SGD"), json!("")] {
                assert_eq!(package_of(json!(module), registered), None, "{module}");
            }
        }
        assert_eq!(package_of(json!(null), json!(null)), None);
        assert_eq!(package_of(json!(null), json!("SGD")), None);
    }

    #[test]
    fn a_class_of_another_module_belongs_to_the_package_of_that_module() {
        let parts = || json!("mypackage.parts");
        assert_eq!(package_of(parts(), json!("mypackage>SGD")).as_deref(), Some("mypackage"));
        assert_eq!(package_of(parts(), json!("other>SGD")).as_deref(), Some("other"));
        for registered in [json!("Custom>SGD"), json!("SGD"), json!(null)] {
            assert_eq!(package_of(parts(), registered).as_deref(), Some("mypackage"));
        }
        assert_eq!(package_of(json!("__main__"), json!("Custom>SGD")).as_deref(), Some("__main__"));
        assert_eq!(package_of(json!("kerastuner.optimizers"), json!("SGD")).as_deref(), Some("kerastuner"));
        assert_eq!(package_of(json!(null), json!("Custom>SGD")).as_deref(), Some("Custom"));
        assert_eq!(package_of(json!("keras.optimizers"), json!("mypackage>SGD")).as_deref(), Some("mypackage"));
    }

    #[test]
    fn a_class_of_a_plugin_has_the_plugins_package() {
        assert_eq!(package_of(json!("plugfit.losses"), json!("plugfit.losses>Huber")), None);
        assert_eq!(
            package_of(json!("plugfit.losses"), json!("plugfit.losses.robust>Tukey")).as_deref(),
            Some("robust")
        );
        assert_eq!(package_of(json!("plugfit.losses"), json!("robust>Tukey")).as_deref(), Some("robust"));
        assert_eq!(package_of(json!("plugfit.losses"), json!(null)), None);
        assert_eq!(package_of(json!(null), json!("robust>Tukey")).as_deref(), Some("robust"));
    }
}
