//! Whose class a serialized object is of.

use serde_json::{Map, Value};

/// The package of an object that is not of Keras's own classes, nor of a plug-in's as the Python package writes it: what the class
/// was registered under, or the first part of its author's module.
///
/// Keras writes its own classes with a module of its own. The class of another module is the author's, though it be called "SGD";
/// "Custom" is what Keras writes for the package that an author left out.
pub(crate) fn package(object: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let module = text("module");
    let registered = text("registered_name").and_then(|name| name.rsplit_once('>')).map(|(package, _)| package);
    match (registered, module) {
        // As plugfit's Python classes are registered: "plugfit.losses>Huber", "plugfit.losses.robust>Tukey".
        (Some(package), Some(module)) if is_of(module, "plugfit") => {
            let package = package.strip_prefix(module).unwrap_or(package).trim_start_matches('.');
            Some(package.to_owned()).filter(|package| !package.is_empty())
        }
        (None, Some(module)) if is_of(module, "plugfit") => None,
        (Some("Custom") | None, Some(module)) if is_keras(module) => None,
        (Some("Custom") | None, Some(module)) => module.split('.').next().map(str::to_owned),
        (Some("keras"), _) => None,
        (Some(package), _) => Some(package.to_owned()),
        (None, None) => None,
    }
}

/// Whether Keras, in one of its editions, writes this module for its own classes and functions.
fn is_keras(module: &str) -> bool {
    const EDITIONS: [&str; 6] =
        ["keras", "tf_keras", "keras_core", "tensorflow.keras", "tensorflow.python.keras", "builtins"];
    EDITIONS.iter().any(|edition| is_of(module, edition))
}

fn is_of(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(module: Value, registered: Value) -> Option<String> {
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
                assert_eq!(of(json!(module), registered), None, "{module}");
            }
        }
        assert_eq!(of(json!(null), json!(null)), None);
        assert_eq!(of(json!(null), json!("SGD")), None);
    }

    #[test]
    fn a_class_of_another_module_is_its_authors() {
        let parts = || json!("mypackage.parts");
        assert_eq!(of(parts(), json!("mypackage>SGD")).as_deref(), Some("mypackage"));
        assert_eq!(of(parts(), json!("other>SGD")).as_deref(), Some("other"));
        for registered in [json!("Custom>SGD"), json!("SGD"), json!(null)] {
            assert_eq!(of(parts(), registered).as_deref(), Some("mypackage"));
        }
        assert_eq!(of(json!("__main__"), json!("Custom>SGD")).as_deref(), Some("__main__"));
        assert_eq!(of(json!("kerastuner.optimizers"), json!("SGD")).as_deref(), Some("kerastuner"));
        assert_eq!(of(json!(null), json!("Custom>SGD")).as_deref(), Some("Custom"));
        assert_eq!(of(json!("keras.optimizers"), json!("mypackage>SGD")).as_deref(), Some("mypackage"));
    }

    #[test]
    fn a_class_of_a_plugin_has_the_plugins_package() {
        assert_eq!(of(json!("plugfit.losses"), json!("plugfit.losses>Huber")), None);
        assert_eq!(of(json!("plugfit.losses"), json!("plugfit.losses.robust>Tukey")).as_deref(), Some("robust"));
        assert_eq!(of(json!("plugfit.losses"), json!("robust>Tukey")).as_deref(), Some("robust"));
        assert_eq!(of(json!("plugfit.losses"), json!(null)), None);
        assert_eq!(of(json!(null), json!("robust>Tukey")).as_deref(), Some("robust"));
    }
}
