//! Configurations of components. A struct declares its settings once; the derive implements reading, checking and
//! writing them, and their description in the manifest.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// A component's configuration. Use `#[derive(Config)]` to implement it.
pub trait Config: Sized {
    /// The description of the component for the manifest.
    const SPEC: ComponentSpec;

    /// Reads and checks a configuration. Missing keys have their default.
    ///
    /// # Errors
    /// Returns an error with the key's path if a key is unknown, a key without a default is missing, or a value has the
    /// wrong type or is out of bounds.
    fn from_json(config: &Map<String, Value>) -> Result<Self>;

    /// Returns the configuration with every key.
    fn to_json(&self) -> Map<String, Value>;
}

/// The description of a component in the manifest.
#[derive(Clone, Copy, Debug)]
pub struct ComponentSpec {
    /// The name, such as `Huber`.
    pub name: &'static str,
    /// Other names, such as `huber`.
    pub aliases: &'static [&'static str],
    /// The documentation, from the doc comment.
    pub doc: &'static str,
    /// The version of the configuration's format.
    pub version: u32,
    /// Defaults of keys that belong to the host (`learning_rate`, `weight_decay`, …), as JSON texts.
    pub base: &'static [(&'static str, &'static str)],
    /// The fields in order.
    pub fields: &'static [FieldSpec],
    /// Expected results for small inputs, as JSON texts: see [`testing`](crate::testing#examples).
    pub examples: &'static [&'static str],
    /// Declarations for the tests: see [`testing`](crate::testing#what-a-component-declares).
    pub trial: TrialSpec,
}

/// The declarations of a component for its tests.
#[derive(Clone, Copy, Debug)]
pub struct TrialSpec {
    /// The number of columns of a batch. `None`: any.
    pub columns: Option<u32>,
    /// The number of classes. `None`: the number of columns.
    pub classes: Option<u32>,
    /// The laws that don't apply to the component, each with the reason.
    pub except: &'static [(&'static str, &'static str)],
}

impl TrialSpec {
    /// Any batch and all laws.
    pub const ANY: Self = TrialSpec { columns: None, classes: None, except: &[] };
}

/// One key of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The key.
    pub name: &'static str,
    /// The documentation, from the doc comment.
    pub doc: &'static str,
    /// The type of its value.
    pub value: ValueSpec,
    /// The default as JSON text. `None`: the key is required.
    pub default: Option<&'static str>,
    /// The smallest allowed value.
    pub minimum: Option<&'static str>,
    /// The greatest allowed value.
    pub maximum: Option<&'static str>,
    /// The value must be greater than this.
    pub above: Option<&'static str>,
    /// The value must be less than this.
    pub below: Option<&'static str>,
    /// Whether infinity is allowed. NaN never is.
    pub infinite: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueSpec {
    /// `number`, `integer`, `boolean`, `string`, `array`, `object`, `identifier` or `any`.
    pub name: &'static str,
    /// Whether `null` is allowed.
    pub optional: bool,
    /// The allowed strings. Empty: any.
    pub choices: &'static [&'static str],
}

impl ValueSpec {
    const fn plain(name: &'static str) -> Self {
        ValueSpec { name, optional: false, choices: &[] }
    }
}

/// A type of a configuration's field.
pub trait ConfigValue: Sized {
    /// The description of the type in the manifest.
    const SPEC: ValueSpec;

    /// Reads a value.
    ///
    /// # Errors
    /// Returns an error such as `"must be a number"` if the value is of another type. The caller adds the key's path.
    fn read(value: &Value) -> Result<Self>;

    /// Returns the value as JSON.
    fn write(&self) -> Value;

    /// Calls `see` with each floating-point number in the value.
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        let _ = see;
    }
}

fn must_be(what: &str, value: &Value) -> Error {
    Error { kind: plugfit_abi::ERROR_CONFIG, ..Error::other(format!("must be {what}, not {value}")) }
}

/// Reads a number. JSON can't represent infinities and NaN, so they are strings.
fn read_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "inf" | "Infinity" => Some(f64::INFINITY),
            "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            "nan" | "NaN" => Some(f64::NAN),
            _ => None,
        },
        _ => None,
    }
}

fn write_number(number: f64) -> Value {
    serde_json::Number::from_f64(number)
        .map_or_else(|| Value::String(format!("{number}").to_lowercase()), Value::Number)
}

impl ConfigValue for f64 {
    const SPEC: ValueSpec = ValueSpec::plain("number");
    fn read(value: &Value) -> Result<Self> {
        read_number(value).ok_or_else(|| must_be("a number", value))
    }
    fn write(&self) -> Value {
        write_number(*self)
    }
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        see(*self);
    }
}

impl ConfigValue for f32 {
    const SPEC: ValueSpec = ValueSpec::plain("number");
    fn read(value: &Value) -> Result<Self> {
        let number = read_number(value).ok_or_else(|| must_be("a number", value))? as f32;
        if number.is_infinite() && value.is_number() {
            return Err(must_be("a number that fits float32", value));
        }
        Ok(number)
    }
    fn write(&self) -> Value {
        // By the shortest decimal, so that 0.2 is written as 0.2 and not as 0.20000000298023224.
        write_number(self.to_string().parse().unwrap_or(f64::from(*self)))
    }
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        see(f64::from(*self));
    }
}

impl ConfigValue for bool {
    const SPEC: ValueSpec = ValueSpec::plain("boolean");
    fn read(value: &Value) -> Result<Self> {
        value.as_bool().ok_or_else(|| must_be("true or false", value))
    }
    fn write(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! integers {
    ($($type:ty,)*) => {$(
        impl ConfigValue for $type {
            const SPEC: ValueSpec = ValueSpec::plain("integer");
            fn read(value: &Value) -> Result<Self> {
                // Python and command lines may write an integer as 2.0.
                let whole = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).or_else(|| {
                    value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i128)
                });
                whole.and_then(|number| number.try_into().ok()).ok_or_else(|| must_be("an integer", value))
            }
            fn write(&self) -> Value {
                (*self).into()
            }
        }
    )*};
}
integers! { i32, i64, u32, u64, usize, }

impl ConfigValue for String {
    const SPEC: ValueSpec = ValueSpec::plain("string");
    fn read(value: &Value) -> Result<Self> {
        value.as_str().map(str::to_string).ok_or_else(|| must_be("a string", value))
    }
    fn write(&self) -> Value {
        Value::String(self.clone())
    }
}

impl ConfigValue for Value {
    const SPEC: ValueSpec = ValueSpec { name: "any", optional: true, choices: &[] };
    fn read(value: &Value) -> Result<Self> {
        Ok(value.clone())
    }
    fn write(&self) -> Value {
        self.clone()
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    const SPEC: ValueSpec = ValueSpec { optional: true, ..T::SPEC };
    fn read(value: &Value) -> Result<Self> {
        if value.is_null() {
            Ok(None)
        } else {
            T::read(value).map(Some)
        }
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::write)
    }
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        self.iter().for_each(|value| value.each_number(see));
    }
}

impl<T: ConfigValue> ConfigValue for Vec<T> {
    const SPEC: ValueSpec = ValueSpec::plain("array");
    fn read(value: &Value) -> Result<Self> {
        // Keras serialises an array as an object.
        let array = value.get("class_name").filter(|name| *name == "__tensor__" || *name == "__numpy__");
        let list = array.and_then(|_| value.pointer("/config/value")).unwrap_or(value);
        let items = list.as_array().ok_or_else(|| must_be("a list", value))?;
        items.iter().enumerate().map(|(i, item)| T::read(item).map_err(|error| error.inside(&i.to_string()))).collect()
    }
    fn write(&self) -> Value {
        self.iter().map(T::write).collect()
    }
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        self.iter().for_each(|value| value.each_number(see));
    }
}

/// The identifier of a nested component: a string, or an object with `class_name`. [`Host::loss`](crate::Host::loss),
/// [`Host::optimizer`](crate::Host::optimizer) and [`Host::schedule`](crate::Host::schedule) resolve it.
#[derive(Clone, Debug, PartialEq)]
pub struct Identifier(pub Value);

impl ConfigValue for Identifier {
    const SPEC: ValueSpec = ValueSpec::plain("identifier");
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::String(_) | Value::Object(_) => Ok(Identifier(value.clone())),
            _ => Err(must_be("the name of a component, or its class_name and config", value)),
        }
    }
    fn write(&self) -> Value {
        self.0.clone()
    }
}

/// An enum whose variants are strings in a configuration. Use `#[derive(Choice)]` to implement it.
pub trait Choice: Copy + 'static {
    /// The strings, in the order of the variants.
    const NAMES: &'static [&'static str];
    /// The variants.
    const ALL: &'static [Self];
    /// Returns the index of a variant.
    fn index(self) -> usize;
}

/// Returns the [`ConfigValue::SPEC`] of a [`Choice`]; called by the derive.
#[doc(hidden)]
pub const fn choice_spec(choices: &'static [&'static str]) -> ValueSpec {
    ValueSpec { name: "string", optional: false, choices }
}

/// Reads a [`Choice`]; called by the derive.
#[doc(hidden)]
pub fn read_choice<T: Choice>(value: &Value) -> Result<T> {
    let text = value.as_str().unwrap_or_default();
    match T::NAMES.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        Some(index) => Ok(T::ALL[index]),
        None => Err(must_be(&format!("one of {}", T::NAMES.join(", ")), value)),
    }
}

/// Reads one field; called by the derive.
#[doc(hidden)]
pub fn read_field<T: ConfigValue>(config: &Map<String, Value>, field: &FieldSpec) -> Result<T> {
    let default_value;
    let value = match config.get(field.name) {
        Some(value) => value,
        None => {
            default_value = match field.default {
                Some(default) => serde_json::from_str(default).map_err(|_| {
                    Error::config(field.name, format!("the plug-in declares a default that isn't JSON: {default}"))
                })?,
                None => return Err(Error::config(field.name, "must be given")),
            };
            &default_value
        }
    };
    let read = T::read(value).map_err(|error| error.inside(field.name))?;
    // A default may be out of bounds on purpose, for example -1 for "none".
    if config.contains_key(field.name) {
        check_finite(&read, value, field)?;
        check_bounds(value, field)?;
    }
    Ok(read)
}

fn check_finite<T: ConfigValue>(read: &T, value: &Value, field: &FieldSpec) -> Result<()> {
    let mut fits = true;
    read.each_number(&mut |number| fits &= number.is_finite() || number.is_infinite() && field.infinite);
    // The default must be accepted if it is given explicitly, as in a saved configuration.
    if fits
        || field
            .default
            .is_some_and(|default| serde_json::from_str(default).is_ok_and(|default: Value| default == *value))
    {
        return Ok(());
    }
    let what = if field.infinite { "a number" } else { "finite" };
    Err(Error::config(field.name, format!("must be {what}, not {value}")))
}

fn check_bounds(value: &Value, field: &FieldSpec) -> Result<()> {
    let bound = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    let numbers: Vec<f64> = match value {
        Value::Array(items) => items.iter().filter_map(read_number).collect(),
        other => read_number(other).into_iter().collect(),
    };
    for number in numbers {
        let bounds = [
            (bound(field.minimum), "at least", number >= bound(field.minimum).unwrap_or(number)),
            (bound(field.maximum), "at most", number <= bound(field.maximum).unwrap_or(number)),
            (bound(field.above), "greater than", number > bound(field.above).unwrap_or(f64::NEG_INFINITY)),
            (bound(field.below), "less than", number < bound(field.below).unwrap_or(f64::INFINITY)),
        ];
        for (limit, words, holds) in bounds {
            if let (Some(limit), false) = (limit, holds) {
                return Err(Error::config(field.name, format!("must be {words} {limit}, not {value}")));
            }
        }
    }
    Ok(())
}

/// Refuses unknown keys; called by the derive.
#[doc(hidden)]
pub fn refuse_unknown(config: &Map<String, Value>, spec: &ComponentSpec) -> Result<()> {
    for key in config.keys() {
        if !spec.fields.iter().any(|field| field.name == key) {
            let known: Vec<&str> = spec.fields.iter().map(|field| field.name).collect();
            let known = if known.is_empty() { "no settings".to_string() } else { known.join(", ") };
            return Err(Error::config(key, format!("{} has no such setting; it has: {known}", spec.name)));
        }
    }
    Ok(())
}
