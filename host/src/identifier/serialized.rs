//! Parses identifiers as Keras serializes them: `{"module": ..., "class_name": ..., "config": {...},
//! "registered_name": ...}`.

use serde_json::{Map, Value};

use super::{Spec, package};
use crate::text::nearest;
use crate::{Error, Result};

/// The meaning of a serialized object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    /// A class with its configuration.
    Class(Spec),
    /// The name of a function.
    Function(String),
}

/// Keras's wrappers of functions. Here, a wrapped function is the component itself.
const WRAPPERS: [&str; 2] = ["MeanMetricWrapper", "LossFunctionWrapper"];

/// The keys that Keras writes for an object, and "args", which is rejected with a separate message.
pub(crate) const KEYS: [&str; 8] =
    ["module", "class_name", "config", "registered_name", "build_config", "compile_config", "shared_object_id", "args"];

/// Checks that an object has only keys that Keras writes. Others are misspelt, or belong in "config".
pub(crate) fn check_keys(object: &Map<String, Value>) -> Result<()> {
    let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) else { return Ok(()) };
    let error = Error::usage(format!("an object with a \"class_name\" has no key \"{key}\""))
        .with("found", shortened(&Value::Object(object.clone())));
    Err(match nearest(key, KEYS)[..] {
        [near, ..] => error.hint(format!("did you mean \"{near}\"?")),
        [] => error.hint("settings stand in its \"config\""),
    })
}

/// Parses a serialized object.
pub(super) fn read(object: &Map<String, Value>) -> Result<Object> {
    let class_name = match object.get("class_name") {
        Some(Value::String(name)) => name.as_str(),
        Some(other) => return Err(Error::usage("\"class_name\" must be a string").with("found", other.to_string())),
        None => {
            return Err(Error::usage("an identifier in the form of an object needs a \"class_name\"")
                .with("found", shortened(&Value::Object(object.clone()))));
        }
    };
    check_keys(object)?;
    if let Some(args) = object.get("args") {
        return Err(Error::usage(format!("the values of {class_name} need their names"))
            .with("found", args.to_string())
            .hint(format!("write it like {class_name}(name=value); `plugfit show {class_name}` lists the names")));
    }
    if class_name == "function" {
        return function_name(object).map(Object::Function);
    }
    let config = match object.get("config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => {
            if WRAPPERS.contains(&class_name)
                && package(object).is_none()
                && let Some(wrapped) = config.get("fn")
            {
                let others = config.iter().filter(|(key, _)| *key != "fn");
                let others = others.map(|(key, value)| (key.clone(), plain(value))).collect();
                return unwrapped(class_name, wrapped, others);
            }
            config.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
        }
        Some(other) => {
            return Err(Error::usage(format!("the \"config\" of {class_name} must be an object"))
                .with("found", shortened(other)));
        }
    };
    Ok(Object::Class(Spec { class_name: qualified(object, class_name), config }))
}

/// Returns the component of a wrapped function, with the keys of the wrapper (name, reduction, ...) added to its own.
fn unwrapped(wrapper: &str, function: &Value, mut config: Map<String, Value>) -> Result<Object> {
    match function {
        Value::String(name) => Ok(Object::Class(Spec { class_name: name.clone(), config })),
        Value::Object(inner) => match read(inner)? {
            Object::Function(class_name) => Ok(Object::Class(Spec { class_name, config })),
            Object::Class(mut spec) => {
                spec.config.append(&mut config);
                Ok(Object::Class(spec))
            }
        },
        other => {
            Err(Error::usage(format!("\"fn\" of {wrapper} must be a function's name")).with("found", shortened(other)))
        }
    }
}

fn function_name(object: &Map<String, Value>) -> Result<String> {
    let name = match object.get("config") {
        Some(Value::String(name)) => name,
        other => {
            let found = other.map_or_else(|| "nothing".into(), shortened);
            return Err(Error::usage("a serialized function needs its name as \"config\"").with("found", found));
        }
    };
    Ok(qualified(object, name))
}

/// Returns `package>Name` if the object isn't one of Keras, else the name. For a registered class, the name is the one
/// under which it is registered, which may differ from its class name.
fn qualified(object: &Map<String, Value>, name: &str) -> String {
    let Some(package) = package(object) else { return name.to_owned() };
    let registered = object.get("registered_name").and_then(Value::as_str);
    let class = registered.and_then(|registered| registered.rsplit_once('>')).map_or(name, |(_, class)| class);
    // The class name of a plug-in's class may already contain its package.
    format!("{package}>{}", class.rsplit_once('>').map_or(class, |(_, class)| class))
}

/// Removes Keras's wrapping from a value of a configuration: tensors become lists, functions their names, nested
/// objects `{"class_name", "config"}`.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => plain_object(object),
        other => other.clone(),
    }
}

fn plain_object(object: &Map<String, Value>) -> Value {
    let config = object.get("config");
    let inner = |key: &str| config.and_then(|config| config.get(key));
    match object.get("class_name").and_then(Value::as_str) {
        Some("__tensor__" | "__numpy__") if inner("value").is_some() => inner("value").map_or(Value::Null, plain),
        Some("__tuple__") if object.contains_key("items") => plain(&object["items"]),
        Some("DTypePolicy") if inner("name").is_some() => inner("name").cloned().unwrap_or_default(),
        // An object that can't be parsed stays unchanged, so that the component that uses it reports the error.
        Some(_) => match read(object) {
            Ok(Object::Class(spec)) => spec.to_json(),
            Ok(Object::Function(name)) => name.into(),
            Err(_) => Value::Object(object.clone()),
        },
        _ => object.iter().map(|(key, value)| (key.clone(), plain(value))).collect::<Map<_, _>>().into(),
    }
}

/// Returns a value for an error message, truncated if it is long.
pub(super) fn shortened(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(object: Value) -> (String, Value) {
        match read(object.as_object().expect("an object")).expect("an identifier") {
            Object::Class(spec) => (spec.class_name, Value::Object(spec.config)),
            Object::Function(name) => panic!("the function {name}"),
        }
    }

    #[test]
    fn objects_of_keras_are_read_unchanged() {
        let huber = json!({"module": "keras.losses", "class_name": "Huber", "config": {"delta": 2.0},
            "registered_name": null, "shared_object_id": 3, "build_config": {}, "compile_config": {}});
        assert_eq!(class(huber), ("Huber".into(), json!({"delta": 2.0})));
        assert_eq!(class(json!({"class_name": "Huber"})), ("Huber".into(), json!({})));
        assert_eq!(class(json!({"class_name": "Huber", "config": null})), ("Huber".into(), json!({})));
    }

    #[test]
    fn nested_wrappers_take_linear_time() {
        let mut object = json!({"class_name": "function"});
        for _ in 0..50 {
            object = json!({"class_name": "MeanMetricWrapper", "config": {"fn": object}});
        }
        read(object.as_object().expect("an object")).expect_err("the function has no name");
        object = json!({"class_name": "Huber", "config": {"delta": 2.0}});
        for _ in 0..50 {
            object = json!({"class_name": "LossFunctionWrapper", "config": {"fn": object, "name": "x"}});
        }
        assert_eq!(class(object), ("Huber".into(), json!({"delta": 2.0, "name": "x"})));
    }

    #[test]
    fn the_package_of_a_foreign_class_qualifies_its_name() {
        let of = |module: &str, registered: Value| {
            class(json!({"module": module, "class_name": "Tukey", "config": {}, "registered_name": registered})).0
        };
        assert_eq!(of("my.losses", json!("robust>Tukey")), "robust>Tukey");
        assert_eq!(of("my.losses", json!("robust>OwnName")), "robust>OwnName");
        assert_eq!(of("my.losses", json!("Custom>Tukey")), "my>Tukey");
        assert_eq!(of("my.losses", json!("Tukey")), "my>Tukey");
        assert_eq!(of("keras.losses", json!("Tukey")), "Tukey");
        assert_eq!(of("plugfit.losses", json!("plugfit.losses.robust>Tukey")), "robust>Tukey");
        let written = json!({"module": null, "class_name": "robust>Tukey", "registered_name": "robust>Tukey"});
        assert_eq!(class(written).0, "robust>Tukey");
        // Inside of another object, as a function, and as a wrapper of one.
        let schedule =
            json!({"module": "my.parts", "class_name": "CosineDecay", "registered_name": "Custom>CosineDecay"});
        let (_, config) = class(json!({"class_name": "SGD", "config": {"learning_rate": schedule}}));
        assert_eq!(config["learning_rate"]["class_name"], "my>CosineDecay");
        let function = json!({"module": "my.losses", "class_name": "function", "config": "mse"});
        assert_eq!(read(function.as_object().expect("an object")).expect("it"), Object::Function("my>mse".into()));
        let wrapper = json!({"module": "my.metrics", "class_name": "MeanMetricWrapper", "config": {"fn": "mse"}});
        assert_eq!(class(wrapper).0, "my>MeanMetricWrapper");
    }

    #[test]
    fn a_serialized_function_becomes_its_name() {
        for object in [
            json!({"module": "builtins", "class_name": "function", "config": "mse", "registered_name": "function"}),
            json!({"class_name": "function", "config": "mse"}),
        ] {
            assert_eq!(read(object.as_object().expect("an object")).expect("it"), Object::Function("mse".into()));
        }
    }

    #[test]
    fn wrapped_functions_are_unwrapped() {
        let function =
            json!({"module": "builtins", "class_name": "function", "config": "mse", "registered_name": "function"});
        for wrapped in [json!("mse"), function] {
            let object = json!({"class_name": "MeanMetricWrapper", "config": {"fn": wrapped, "name": "error", "dtype": "float32"}});
            assert_eq!(class(object), ("mse".into(), json!({"name": "error", "dtype": "float32"})));
        }
        let inner = json!({"class_name": "Huber", "config": {"delta": 2.0, "name": "a"}});
        let object = json!({"class_name": "LossFunctionWrapper", "config": {"fn": inner, "name": "b"}});
        assert_eq!(class(object), ("Huber".into(), json!({"delta": 2.0, "name": "b"})));
    }

    #[test]
    fn wrapped_values_in_a_config_are_unwrapped() {
        let config = json!({
            "a": {"module": "keras", "class_name": "__tensor__", "config": {"value": [1.0, 2.0], "dtype": "float32"}},
            "b": {"module": "numpy", "class_name": "__numpy__", "config": {"value": 3, "dtype": "int32"}},
            "c": [{"class_name": "__tuple__", "items": [1, 2]}],
            "d": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null},
            "e": {"module": "keras.optimizers.schedules", "class_name": "S", "config": {"x": 1}, "registered_name": null},
            "f": {"class_name": "function", "config": "relu"},
            "g": {"plain": {"key": 1}},
            "h": {"class_name": "CosineDecay", "confg": {"decay_steps": 1}},
        });
        assert_eq!(
            plain(&config),
            json!({
                "a": [1.0, 2.0], "b": 3, "c": [[1, 2]], "d": "float32",
                "e": {"class_name": "S", "config": {"x": 1}}, "f": "relu", "g": {"plain": {"key": 1}},
                "h": {"class_name": "CosineDecay", "confg": {"decay_steps": 1}},
            })
        );
    }

    #[test]
    fn invalid_objects_are_rejected() {
        for (object, says) in [
            (json!({"config": {}}), "needs a \"class_name\""),
            (json!({"class_name": 3}), "must be a string"),
            (json!({"class_name": "Huber", "config": [1]}), "must be an object"),
            (json!({"class_name": "Huber", "args": [1]}), "need their names"),
            (json!({"class_name": "SGD", "confg": {"learning_rate": 1}}), "did you mean \"config\""),
            (json!({"class_name": "Huber", "delta": 5}), "settings stand in its \"config\""),
            (json!({"class_name": "function", "config": "mse", "nam": "x"}), "has no key \"nam\""),
            (
                json!({"class_name": "LossFunctionWrapper", "config": {"fn": {"class_name": "Huber", "confg": {}}}}),
                "\"confg\"",
            ),
            (json!({"class_name": "function", "config": null}), "needs its name"),
            (json!({"class_name": "MeanMetricWrapper", "config": {"fn": 3}}), "a function's name"),
        ] {
            let error = read(object.as_object().expect("an object")).expect_err("a mistake").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
