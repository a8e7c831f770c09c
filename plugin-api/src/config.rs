//! A component's configuration, declared once: from the fields of a struct follow reading, checking, writing, and what
//! the manifest says of them.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// What `#[derive(Config)]` implements.
pub trait Config: Sized {
    /// The declaration, as data.
    const SPEC: ComponentSpec;

    /// Reads a configuration. Keys that are left out have their default; a key that isn't there is an error.
    ///
    /// # Errors
    /// An unknown key, a missing one, a wrong type, a value out of bounds, with the key's path.
    fn from_json(config: &Map<String, Value>) -> Result<Self>;

    /// Writes the configuration with every key.
    fn to_json(&self) -> Map<String, Value>;
}

/// A component as the manifest describes it.
#[derive(Clone, Copy, Debug)]
pub struct ComponentSpec {
    /// The name it is asked for by, such as `Huber`.
    pub name: &'static str,
    /// Further names, such as `huber`.
    pub aliases: &'static [&'static str],
    /// What it is, from the doc comment.
    pub doc: &'static str,
    /// The version of the configuration's meaning.
    pub version: u32,
    /// Defaults of keys that the host owns (`learning_rate`, `weight_decay`, …) as JSON texts.
    pub base: &'static [(&'static str, &'static str)],
    /// The fields in order.
    pub fields: &'static [FieldSpec],
    /// What it gives for small inputs, as JSON texts: see [`testing`](crate::testing#examples).
    pub examples: &'static [&'static str],
    /// How it is tested: see [`testing`](crate::testing#what-a-component-declares).
    pub trial: TrialSpec,
}

/// What a component declares of the tests that it is put to.
#[derive(Clone, Copy, Debug)]
pub struct TrialSpec {
    /// How many columns a batch of it has; none: as many as there are.
    pub columns: Option<u32>,
    /// How many classes there are; none: as many as columns.
    pub classes: Option<u32>,
    /// The laws that don't apply to it, each with the reason.
    pub except: &'static [(&'static str, &'static str)],
}

impl TrialSpec {
    /// Any batch, and all laws.
    pub const ANY: Self = TrialSpec { columns: None, classes: None, except: &[] };
}

/// One key of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The key.
    pub name: &'static str,
    /// What it is, from the doc comment.
    pub doc: &'static str,
    /// The type of its value.
    pub value: ValueSpec,
    /// The default as JSON text; none: the key must be given.
    pub default: Option<&'static str>,
    /// The least value allowed.
    pub minimum: Option<&'static str>,
    /// The greatest value allowed.
    pub maximum: Option<&'static str>,
    /// The value must be greater than this.
    pub above: Option<&'static str>,
    /// The value must be less than this.
    pub below: Option<&'static str>,
    /// Whether infinity has a meaning. NaN has none.
    pub infinite: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueSpec {
    /// `number`, `integer`, `boolean`, `string`, `array`, `object`, `identifier` or `any`.
    pub name: &'static str,
    /// Whether `null` is allowed.
    pub optional: bool,
    /// The strings allowed; empty: any.
    pub choices: &'static [&'static str],
}

impl ValueSpec {
    const fn plain(name: &'static str) -> Self {
        ValueSpec { name, optional: false, choices: &[] }
    }
}

/// A type that a field of a configuration can have.
pub trait ConfigValue: Sized {
    /// How the manifest calls it.
    const SPEC: ValueSpec;

    /// Reads it, or says what it must be (`"must be a number"`).
    ///
    /// # Errors
    /// The value is of another type; the key's path is added by the caller.
    fn read(value: &Value) -> Result<Self>;

    /// Writes it.
    fn write(&self) -> Value;

    /// Gives `see` each floating-point number in it.
    fn each_number(&self, see: &mut dyn FnMut(f64)) {
        let _ = see;
    }
}

fn must_be(what: &str, value: &Value) -> Error {
    Error { kind: plugfit_abi::ERROR_CONFIG, ..Error::other(format!("must be {what}, not {value}")) }
}

/// JSON has no word for them, so they are strings.
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
            return Err(must_be("a number that float32 holds", value));
        }
        Ok(number)
    }
    fn write(&self) -> Value {
        // By way of the shortest decimal: 0.2 comes back as 0.2 and not as 0.20000000298023224.
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
                // Python and command lines write whole numbers as 2.0 too.
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
        // Keras writes an array as an object.
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

/// The identifier of a nested component (a string, or an object with `class_name`), which the host resolves:
/// [`Host::optimizer`](crate::Host::optimizer) and its siblings.
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

/// An enum of `#[derive(Choice)]`: one of a few strings.
pub trait Choice: Copy + 'static {
    /// The strings, in the order of the variants.
    const NAMES: &'static [&'static str];
    /// The variants.
    const ALL: &'static [Self];
    /// The index of a variant.
    fn index(self) -> usize;
}

/// How [`ConfigValue`] is implemented for a [`Choice`]; called by the derive.
#[doc(hidden)]
pub const fn choice_spec(choices: &'static [&'static str]) -> ValueSpec {
    ValueSpec { name: "string", optional: false, choices }
}

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
    let given;
    let value = match config.get(field.name) {
        Some(value) => value,
        None => {
            given = match field.default {
                Some(default) => serde_json::from_str(default).map_err(|_| {
                    Error::config(field.name, format!("the plug-in declares a default that is no JSON: {default}"))
                })?,
                None => return Err(Error::config(field.name, "must be given")),
            };
            &given
        }
    };
    let read = T::read(value).map_err(|error| error.inside(field.name))?;
    // A default may lie outside of the bounds on purpose ("-1: none").
    if config.contains_key(field.name) {
        check_finite(&read, value, field)?;
        check_bounds(value, field)?;
    }
    Ok(read)
}

fn check_finite<T: ConfigValue>(read: &T, value: &Value, field: &FieldSpec) -> Result<()> {
    let mut fits = true;
    read.each_number(&mut |number| fits &= number.is_finite() || number.is_infinite() && field.infinite);
    // A default that is written out is read back.
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

/// Refuses keys that aren't there; called by the derive.
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
