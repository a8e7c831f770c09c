//! Separates the host's keys of a configuration from those of the plug-in.

use serde_json::{Map, Value};

use crate::plugin::{self, Kind};
use crate::text::nearest;
use crate::text::snake_case;
use crate::{Error, Result};

/// Name, type, default, and description.
type Key = (&'static str, &'static str, &'static str, &'static str);

const NAME: Key = ("name", "string", "from the class", "The name in the log");

const LOSS: &[Key] = &[
    ("reduction", "string or null", "sum_over_batch_size", "sum_over_batch_size, mean_with_sample_weight, sum or none"),
    NAME,
];
const METRIC: &[Key] = &[NAME];
const OPTIMIZER: &[Key] = &[
    ("learning_rate", "number or schedule", "0.001", "The step size, or a schedule for it"),
    (
        "weight_decay",
        "number or null",
        "null",
        "Each step first reduces a parameter by this times the learning rate times its value",
    ),
    ("clipnorm", "number or null", "null", "The maximum norm of the gradient of each parameter"),
    ("clipvalue", "number or null", "null", "The maximum absolute value of each element of a gradient"),
    ("global_clipnorm", "number or null", "null", "The maximum norm of all gradients together"),
    ("use_ema", "boolean", "false", "Whether to compute moving averages of the parameters and use them after training"),
    ("ema_momentum", "number", "0.99", "The weight of the previous average in each step"),
    ("ema_overwrite_frequency", "integer or null", "null", "The averages replace the parameters every this many steps"),
    ("loss_scale_factor", "number or null", "null", "Multiplies the loss and divides the gradients"),
    (
        "gradient_accumulation_steps",
        "integer or null",
        "null",
        "The number of gradients that are averaged for one update",
    ),
    NAME,
];

/// Returns keys that are accepted but not listed, because they are from older versions of Keras or have no effect here:
/// name and type.
pub fn silent_keys(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Loss | Kind::Metric => &[("dtype", "any")],
        Kind::Optimizer => &[
            ("lr", "number or schedule"),
            ("decay", "number or null"),
            ("jit_compile", "any"),
            ("is_legacy_optimizer", "any"),
        ],
        Kind::Schedule => &[],
    }
}

/// Returns the host's keys of a kind: name, type, default, and description.
pub fn base_keys(kind: Kind) -> &'static [(&'static str, &'static str, &'static str, &'static str)] {
    match kind {
        Kind::Loss => LOSS,
        Kind::Metric => METRIC,
        Kind::Optimizer => OPTIMIZER,
        Kind::Schedule => &[NAME],
    }
}

/// Splits a configuration into the host's keys, with the component's defaults for them, and the plug-in's keys.
///
/// # Errors
/// Returns an error if neither the host nor the component has a key.
pub fn split(
    kind: Kind,
    component: &plugin::Component,
    config: Map<String, Value>,
) -> Result<(Map<String, Value>, Map<String, Value>)> {
    let mut base = component.base.clone();
    let mut own = Map::new();
    for (key, value) in config {
        if component.fields.iter().any(|field| field.name == key) {
            own.insert(key, value);
        } else if is_base(kind, &key) {
            base.insert(key, value);
        } else {
            let fields = component.fields.iter().map(|field| field.name.as_str());
            return Err(unknown(&component.name, &key, fields.chain(base_keys(kind).iter().map(|key| key.0))));
        }
    }
    Ok((base, own))
}

/// Keras's names of dtypes. Everything except float64 is computed in float32.
const DTYPES: [&str; 17] = [
    "bfloat16",
    "bool",
    "float",
    "float16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e5m2",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
];

fn is_base(kind: Kind, key: &str) -> bool {
    base_keys(kind).iter().any(|(name, ..)| *name == key) || silent_keys(kind).iter().any(|(name, _)| *name == key)
}

fn unknown<'a>(class: &str, key: &str, has: impl Iterator<Item = &'a str>) -> Error {
    let has: Vec<&str> = has.collect();
    let error = Error::usage(format!("{class} has no setting \"{key}\"")).with("in", key);
    match nearest(key, has.iter().copied())[..] {
        [near, ..] => error.hint(format!("did you mean \"{near}\"?  It has: {}", has.join(", "))),
        [] => error.hint(format!("it has: {}", has.join(", "))),
    }
}

/// Reads the host's keys of one component.
pub(super) struct Keys<'a> {
    /// The component's class name, for errors.
    class: &'a str,
    keys: Map<String, Value>,
}

impl<'a> Keys<'a> {
    /// Creates a reader of these keys.
    ///
    /// # Errors
    /// Returns an error if the host doesn't have a key.
    pub fn new(kind: Kind, class: &'a str, keys: Map<String, Value>) -> Result<Self> {
        match keys.keys().find(|key| !is_base(kind, key)) {
            None => Ok(Keys { class, keys }),
            Some(unknown_key) => Err(unknown(class, unknown_key, base_keys(kind).iter().map(|key| key.0))),
        }
    }

    /// Returns the component's class name, for errors.
    pub fn class(&self) -> &str {
        self.class
    }

    /// Removes a key and returns its value; `None` if it is missing or null.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key).filter(|value| !value.is_null())
    }

    /// Returns an error for an invalid value of a key.
    pub fn wrong(&self, key: &str, must: &str, found: &Value) -> Error {
        Error::usage(format!("{}: {key} must be {must}, not {found}", self.class)).with("in", key)
    }

    /// Returns the user's name for the component, or its class name in snake case.
    pub fn name(&mut self) -> Result<String> {
        match self.take("name") {
            None => Ok(snake_case(self.class)),
            Some(Value::String(name)) if !name.is_empty() => Ok(name),
            Some(other) => Err(self.wrong("name", "a string that isn't empty", &other)),
        }
    }

    /// Reads a dtype: a name, or a policy in Keras's serialized form.
    pub fn dtype(&mut self) -> Result<Option<String>> {
        let Some(value) = self.take("dtype") else { return Ok(None) };
        let name = value.as_str().or_else(|| value.get("config")?.get("name")?.as_str());
        match name.filter(|name| DTYPES.contains(&name.strip_prefix("mixed_").unwrap_or(name))) {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(self.wrong("dtype", "the name of a dtype such as \"float32\" or \"float64\"", &value)),
        }
    }

    /// Reads a string.
    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    /// Reads a finite number that satisfies `allowed`; `must` describes the condition.
    pub fn number(&mut self, key: &str, must: &str, allowed: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite() && allowed(*number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, must, &value)),
        }
    }

    /// Reads a boolean; false by default.
    pub fn boolean(&mut self, key: &str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(key, "true or false", &other)),
        }
    }

    /// Reads an integer of at least `least`; 0 and false mean none, as in Keras.
    pub fn count(&mut self, key: &str, least: u64) -> Result<Option<u64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let whole = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number));
        match whole.map(|number| number as u64) {
            Some(0) => Ok(None),
            Some(count) if count >= least => Ok(Some(count)),
            _ if value == Value::Bool(false) => Ok(None),
            _ => Err(self.wrong(key, &format!("a whole number of at least {least}"), &value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn huber() -> plugin::Component {
        let field = |name: &str| plugin::Field { name: name.into(), ..plugin::Field::default() };
        plugin::Component { name: "Huber".into(), fields: vec![field("delta")], ..plugin::Component::default() }
    }

    #[test]
    fn keys_are_split_between_host_and_plugin() {
        let config = object(json!({"delta": 2.0, "name": "h", "reduction": "sum", "dtype": "float32"}));
        let (base, own) = split(Kind::Loss, &huber(), config).expect("known keys");
        assert_eq!(json!(own), json!({"delta": 2.0}));
        assert_eq!(json!(base), json!({"name": "h", "reduction": "sum", "dtype": "float32"}));
    }

    #[test]
    fn settings_override_a_components_defaults() {
        let component = plugin::Component {
            name: "AdamW".into(),
            base: object(json!({"weight_decay": 0.004, "learning_rate": 0.001})),
            ..plugin::Component::default()
        };
        let config = object(json!({"learning_rate": 0.1}));
        let (base, _) = split(Kind::Optimizer, &component, config).expect("known keys");
        assert_eq!(json!(base), json!({"weight_decay": 0.004, "learning_rate": 0.1}));
    }

    #[test]
    fn an_invalid_dtype_is_rejected() {
        let dtype = |value: Value| Keys::new(Kind::Loss, "Huber", object(json!({"dtype": value})))?.dtype();
        for name in ["float64", "float32", "mixed_bfloat16"] {
            assert_eq!(dtype(json!(name)).expect("a dtype").as_deref(), Some(name));
        }
        let policy = json!({"class_name": "DTypePolicy", "config": {"name": "float64"}});
        assert_eq!(dtype(policy).expect("a policy").as_deref(), Some("float64"));
        assert_eq!(dtype(Value::Null).expect("none"), None);
        for wrong in [json!("flaot64"), json!(64), json!({"config": {}})] {
            let error = dtype(wrong).expect_err("no dtype").to_string();
            assert!(error.starts_with("Huber: dtype must be the name of a dtype"), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_rejected_with_a_suggestion() {
        let error = split(Kind::Loss, &huber(), object(json!({"detla": 2.0}))).expect_err("no such key");
        assert_eq!(
            error.to_string(),
            "Huber has no setting \"detla\"\n  in      detla\n  did you mean \"delta\"?  It has: delta, reduction, name"
        );
    }
}
