//! The keys of a configuration that are the host's own, taken apart from those of the plug-in.

use serde_json::{Map, Value};

use crate::data::text::nearest;
use crate::plugin::{self, Kind};
use crate::registry::snake_case;
use crate::{Error, Result};

/// Name, type, default, and what it is.
type Key = (&'static str, &'static str, &'static str, &'static str);

const NAME: Key = ("name", "string", "from the class", "What the log calls it");

const LOSS: &[Key] = &[
    ("reduction", "string or null", "sum_over_batch_size", "sum_over_batch_size, mean_with_sample_weight, sum or none"),
    NAME,
];
const METRIC: &[Key] = &[NAME];
const OPTIMIZER: &[Key] = &[
    ("learning_rate", "number or schedule", "0.001", "The step size, or the schedule that gives it"),
    (
        "weight_decay",
        "number or null",
        "null",
        "Before each step a parameter loses this times the learning rate of itself",
    ),
    ("clipnorm", "number or null", "null", "The largest norm that the gradient of one parameter may have"),
    ("clipvalue", "number or null", "null", "The largest absolute value that an element of a gradient may have"),
    ("global_clipnorm", "number or null", "null", "The largest norm that all gradients together may have"),
    ("use_ema", "boolean", "false", "Whether moving averages of the parameters are kept, and used in the end"),
    ("ema_momentum", "number", "0.99", "How much of an average stays in a step"),
    ("ema_overwrite_frequency", "integer or null", "null", "Every so many steps the averages become the parameters"),
    ("loss_scale_factor", "number or null", "null", "The loss is multiplied by it, the gradients divided"),
    ("gradient_accumulation_steps", "integer or null", "null", "So many gradients are averaged for one update"),
    NAME,
];

/// Keys that are understood but not listed, of older Keras or without a meaning here: name and type.
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

/// The host's own keys of a kind: name, type, default, and what it is.
pub fn base_keys(kind: Kind) -> &'static [(&'static str, &'static str, &'static str, &'static str)] {
    match kind {
        Kind::Loss => LOSS,
        Kind::Metric => METRIC,
        Kind::Optimizer => OPTIMIZER,
        Kind::Schedule => &[NAME],
    }
}

/// Takes a configuration apart: the host's keys, with the component's own defaults for them, and the plug-in's.
///
/// # Errors
/// A key is neither's.
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

/// The names of dtypes that Keras has. What isn't float64 is computed in float32.
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

/// The host's keys of one component, being read.
pub(super) struct Keys<'a> {
    /// What errors call the component.
    class: &'a str,
    keys: Map<String, Value>,
}

impl<'a> Keys<'a> {
    /// # Errors
    /// A key isn't the host's.
    pub fn new(kind: Kind, class: &'a str, keys: Map<String, Value>) -> Result<Self> {
        match keys.keys().find(|key| !is_base(kind, key)) {
            None => Ok(Keys { class, keys }),
            Some(stranger) => Err(unknown(class, stranger, base_keys(kind).iter().map(|key| key.0))),
        }
    }

    /// What errors call the component.
    pub fn class(&self) -> &str {
        self.class
    }

    /// The value of a key; null is none.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key).filter(|value| !value.is_null())
    }

    /// What is wrong with a key.
    pub fn wrong(&self, key: &str, must: &str, found: &Value) -> Error {
        Error::usage(format!("{}: {key} must be {must}, not {found}", self.class)).with("in", key)
    }

    /// What the user calls it, or its class in lower case.
    pub fn name(&mut self) -> Result<String> {
        match self.take("name") {
            None => Ok(snake_case(self.class)),
            Some(Value::String(name)) if !name.is_empty() => Ok(name),
            Some(other) => Err(self.wrong("name", "a string that isn't empty", &other)),
        }
    }

    /// A dtype: a name, or a policy as Keras serializes it.
    pub fn dtype(&mut self) -> Result<Option<String>> {
        let Some(value) = self.take("dtype") else { return Ok(None) };
        let name = value.as_str().or_else(|| value.get("config")?.get("name")?.as_str());
        match name.filter(|name| DTYPES.contains(&name.strip_prefix("mixed_").unwrap_or(name))) {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(self.wrong("dtype", "the name of a dtype such as \"float32\" or \"float64\"", &value)),
        }
    }

    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    /// A finite number that `allowed` lets pass; `must` says which.
    pub fn number(&mut self, key: &str, must: &str, allowed: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite() && allowed(*number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, must, &value)),
        }
    }

    pub fn boolean(&mut self, key: &str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(key, "true or false", &other)),
        }
    }

    /// A whole number of at least `least`; 0 and false are none, as in Keras.
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
    fn each_key_goes_to_whom_it_belongs() {
        let config = object(json!({"delta": 2.0, "name": "h", "reduction": "sum", "dtype": "float32"}));
        let (base, own) = split(Kind::Loss, &huber(), config).expect("known keys");
        assert_eq!(json!(own), json!({"delta": 2.0}));
        assert_eq!(json!(base), json!({"name": "h", "reduction": "sum", "dtype": "float32"}));
    }

    #[test]
    fn a_components_defaults_for_the_hosts_keys_give_way() {
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
    fn a_dtype_that_is_none_is_refused() {
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
    fn an_unknown_key_is_refused_with_what_was_meant() {
        let error = split(Kind::Loss, &huber(), object(json!({"detla": 2.0}))).expect_err("no such key");
        assert_eq!(
            error.to_string(),
            "Huber has no setting \"detla\"\n  in      detla\n  did you mean \"delta\"?  It has: delta, reduction, name"
        );
    }
}
