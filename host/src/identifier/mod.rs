//! Identifiers: the ways to say which loss, metric, optimizer or schedule is meant.
//!
//! | form | example |
//! |---|---|
//! | name or alias | `"mse"`, `"MeanSquaredError"` |
//! | qualified | `"robust>Tukey"`: that of the plug-in "robust" |
//! | call | `"Huber(delta=2.0)"` |
//! | config | `{"class_name": "Huber", "config": {"delta": 2.0}}`, as Keras serializes it |
//! | symbol | `"path/to/lib.so#symbol"`: a C function |
//! | instance | a value that implements an author's trait, with no plug-in at all |
//! | callable | a closure `|y_true, y_pred| ...` |
//! | none | `null`, `Identifier::none()`: an output without a loss |

mod call;
mod callable;
mod package;
mod serialized;

use std::fmt;
use std::path::{Path, PathBuf};

use plugfit_abi::{LossV1, MetricV1, OptimizerV1, ScheduleV1};
use plugfit_api::instance;
use serde_json::{Map, Value, json};

pub use call::Call;
pub use callable::Callable;
pub(crate) use package::package;
pub(crate) use serialized::{KEYS, check_keys};

use crate::data::names::{name_of, path_of};
use crate::plugin;
use crate::{Error, Result};

/// Which loss, metric, optimizer or schedule is meant. What it says is read when a [`Host`](crate::Host) resolves it.
#[derive(Clone, Debug)]
pub struct Identifier {
    form: Form,
    /// Where paths in it are seen from.
    folder: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum Form {
    Written(Value),
    Instance(Instance),
}

/// A component's name with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// A name, an alias, or `package>Name`.
    pub class_name: String,
    /// The keys that are given; the others have their defaults.
    pub config: Map<String, Value>,
}

impl Spec {
    /// As `{"class_name": ..., "config": {...}}`.
    pub fn to_json(&self) -> Value {
        json!({ "class_name": self.class_name, "config": self.config })
    }
}

/// A C function in a shared library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The library's path.
    pub library: PathBuf,
    /// The function's name.
    pub symbol: String,
    /// Keys of the host: name, reduction.
    pub config: Map<String, Value>,
}

impl Symbol {
    fn into_spec(self) -> Spec {
        Spec { class_name: format!("{}#{}", name_of(&self.library), self.symbol), config: self.config }
    }
}

/// A component that exists already, with the host's keys (name, reduction, ...) for it.
#[derive(Clone)]
pub struct Instance {
    /// The component.
    pub component: Component,
    /// Keys of the host.
    pub config: Map<String, Value>,
}

/// A component that exists already.
#[derive(Clone)]
pub enum Component {
    /// A loss.
    Loss(plugin::Loss),
    /// A metric.
    Metric(plugin::Metric),
    /// An optimizer.
    Optimizer(plugin::Optimizer),
    /// A schedule.
    Schedule(plugin::Schedule),
    /// A closure: a loss, or the metric that is the mean of its values.
    Callable(Callable),
}

impl Component {
    /// Its class's name.
    pub fn name(&self) -> &str {
        match self {
            Component::Loss(loss) => loss.name(),
            Component::Metric(metric) => metric.name(),
            Component::Optimizer(optimizer) => optimizer.name(),
            Component::Schedule(schedule) => schedule.name(),
            Component::Callable(callable) => callable.name(),
        }
    }

    /// What it is: "loss", "closure", ...
    pub fn what(&self) -> &'static str {
        match self {
            Component::Loss(_) => "loss",
            Component::Metric(_) => "metric",
            Component::Optimizer(_) => "optimizer",
            Component::Schedule(_) => "schedule",
            Component::Callable(_) => "closure",
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {:?} with {}", self.component.what(), self.component.name(), json!(self.config))
    }
}

/// An identifier after reading.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// None at all.
    Nothing,
    /// A name, an alias, or `package>Name`, with no configuration: it also names the log's column.
    Name(String),
    /// A class with its configuration.
    Config(Spec),
    /// A C function.
    Symbol(Symbol),
    /// A component that exists already.
    Instance(Instance),
}

impl Identifier {
    /// No component: an output without a loss.
    pub fn none() -> Self {
        Value::Null.into()
    }

    /// Whether it is none.
    pub fn is_none(&self) -> bool {
        matches!(self.form, Form::Written(Value::Null))
    }

    /// A component that exists already, such as one made by `plugfit_api::instance`.
    pub fn instance(component: Component) -> Self {
        Identifier { form: Form::Instance(Instance { component, config: Map::new() }), folder: None }
    }

    /// A closure from a row of `y_true` and `y_pred` (along the last axis) to its value: a loss to evaluate with, or a metric.
    ///
    /// ```
    /// let largest_error = plugfit::Identifier::callable("largest_error", |y_true, y_pred| {
    ///     y_true.iter().zip(y_pred).map(|(t, p)| (t - p).abs()).fold(0.0, f32::max)
    /// });
    /// ```
    pub fn callable(name: impl Into<String>, value: impl Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static) -> Self {
        Self::instance(Component::Callable(Callable::new(name, value)))
    }

    /// A closure as in [`callable`](Self::callable), and one that writes the value's derivative with respect to each element
    /// of `y_pred`: a loss to train with.
    pub fn callable_with_gradient(
        name: impl Into<String>,
        value: impl Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static,
        gradient: impl Fn(&[f32], &[f32], &mut [f32]) + Send + Sync + 'static,
    ) -> Self {
        Self::instance(Component::Callable(Callable::new(name, value).with_gradient(gradient)))
    }

    /// Sets one of the host's keys of an instance or a closure: `name`, `reduction`, `learning_rate`, ... Of an identifier in
    /// another form it sets a key of the configuration.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        match &mut self.form {
            Form::Instance(instance) => {
                instance.config.insert(key.into(), value.into());
            }
            // What can't be read stays as it is, to be refused when it is resolved.
            Form::Written(written) => {
                let spec = match read(written, None) {
                    Ok(Meaning::Name(class_name)) => Spec { class_name, config: Map::new() },
                    Ok(Meaning::Config(spec)) => spec,
                    Ok(Meaning::Symbol(symbol)) => symbol.into_spec(),
                    Ok(Meaning::Nothing | Meaning::Instance(_)) | Err(_) => return self,
                };
                let mut config = spec.config;
                config.insert(key.into(), value.into());
                *written = Spec { config, ..spec }.to_json();
            }
        }
        self
    }

    /// The same identifier, with the paths in it seen from this folder.
    #[must_use]
    pub fn seen_from(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Reads it.
    ///
    /// # Errors
    /// A usage error if it can't be read; whether there is such a component isn't looked at.
    pub fn read(&self) -> Result<Meaning> {
        match &self.form {
            Form::Written(value) => read(value, self.folder.as_deref()),
            Form::Instance(instance) => Ok(Meaning::Instance(instance.clone())),
        }
    }

    /// As it was written, except that the path of a library is seen from the folder of [`seen_from`](Self::seen_from); an instance as
    /// `{"class_name", "config"}` with the host's keys alone.
    pub fn to_json(&self) -> Value {
        match &self.form {
            Form::Written(value) => match self.folder.as_deref().map(|folder| read(value, Some(folder))) {
                // An object, since in a text a parenthesis of the path would begin a call.
                Some(Ok(Meaning::Symbol(symbol))) => symbol.into_spec().to_json(),
                _ => value.clone(),
            },
            Form::Instance(instance) => {
                json!({ "class_name": instance.component.name(), "config": instance.config })
            }
        }
    }
}

impl Default for Identifier {
    /// None.
    fn default() -> Self {
        Identifier::none()
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Written(Value::String(text)) => f.write_str(text),
            Form::Written(value) => value.fmt(f),
            Form::Instance(instance) => f.write_str(instance.component.name()),
        }
    }
}

impl From<&str> for Identifier {
    fn from(text: &str) -> Self {
        Value::from(text).into()
    }
}

impl From<String> for Identifier {
    fn from(text: String) -> Self {
        Value::from(text).into()
    }
}

impl From<Value> for Identifier {
    fn from(value: Value) -> Self {
        Identifier { form: Form::Written(value), folder: None }
    }
}

impl From<Spec> for Identifier {
    fn from(spec: Spec) -> Self {
        spec.to_json().into()
    }
}

/// From what is made already: a component of a plug-in, or a value of one's own type, by `plugfit_api::instance`.
macro_rules! from_instance {
    ($($kind:ident, $table:ident;)*) => {
        $(impl From<plugin::$kind> for Identifier {
            fn from(component: plugin::$kind) -> Self {
                Self::instance(Component::$kind(component))
            }
        }

        impl From<instance::Instance<$table>> for Identifier {
            fn from(instance: instance::Instance<$table>) -> Self {
                plugin::$kind::from(instance).into()
            }
        })*
    };
}
from_instance! {
    Loss, LossV1;
    Metric, MetricV1;
    Optimizer, OptimizerV1;
    Schedule, ScheduleV1;
}

impl<T: Into<Identifier>> From<Option<T>> for Identifier {
    fn from(identifier: Option<T>) -> Self {
        identifier.map_or_else(Identifier::none, Into::into)
    }
}

fn read(value: &Value, folder: Option<&Path>) -> Result<Meaning> {
    match value {
        Value::Null => Ok(Meaning::Nothing),
        Value::String(text) => read_text(text.trim(), folder),
        Value::Object(object) => match serialized::read(object)? {
            serialized::Object::Function(name) => Ok(Meaning::Name(name)),
            serialized::Object::Class(spec) => Ok(with_symbol(spec, folder)),
        },
        other => Err(Error::usage(format!("{} is no identifier", serialized::shortened(other)))
            .hint("write a name, a call such as Huber(delta=2.0), or {\"class_name\": ..., \"config\": {...}}")),
    }
}

fn read_text(text: &str, folder: Option<&Path>) -> Result<Meaning> {
    if text.is_empty() {
        return Err(Error::usage("an identifier is empty").hint("leave it out, or write null, where none is meant"));
    }
    // A path may hold anything, so that the symbol is looked for first.
    let (path, rest) = text.rsplit_once('#').map_or(("", text), |(path, rest)| (path, rest));
    if path.contains('(') || !rest.contains('(') && path.is_empty() && !text.ends_with(')') {
        return Ok(if path.is_empty() { Meaning::Name(text.to_owned()) } else { return read_call(text, folder) });
    }
    if path.is_empty() {
        return read_call(text, folder);
    }
    let call = Call::parse(rest)?;
    let spec = Spec { class_name: format!("{path}#{}", call.name), config: named(call)? };
    Ok(with_symbol(spec, folder))
}

fn read_call(text: &str, folder: Option<&Path>) -> Result<Meaning> {
    let Value::Object(object) = Call::parse(text)?.into_value() else { return Ok(Meaning::Name(text.to_owned())) };
    match serialized::read(&object)? {
        serialized::Object::Function(name) => Ok(Meaning::Name(name)),
        serialized::Object::Class(spec) => Ok(with_symbol(spec, folder)),
    }
}

fn named(call: Call) -> Result<Map<String, Value>> {
    match call.positional.first() {
        None => Ok(call.named),
        Some(value) => {
            Err(Error::usage(format!("the values of {} need their names", call.name)).with("found", value.to_string()))
        }
    }
}

fn with_symbol(spec: Spec, folder: Option<&Path>) -> Meaning {
    match spec.class_name.rsplit_once('#') {
        None => Meaning::Config(spec),
        Some((path, symbol)) => {
            let library = folder.map_or_else(|| PathBuf::from(path), |folder| path_of(path, folder));
            Meaning::Symbol(Symbol { library, symbol: symbol.to_owned(), config: spec.config })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(identifier: impl Into<Identifier>) -> Meaning {
        let identifier = identifier.into();
        identifier.read().unwrap_or_else(|error| panic!("{identifier}: {error}"))
    }

    fn config(identifier: impl Into<Identifier>) -> (String, Value) {
        match meaning(identifier) {
            Meaning::Config(spec) => (spec.class_name, spec.config.into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_stay_names() {
        for name in ["mse", "MeanSquaredError", "robust>Tukey", "mean squared error"] {
            assert!(matches!(meaning(name), Meaning::Name(read) if read == name));
        }
        assert!(matches!(meaning(" mse "), Meaning::Name(read) if read == "mse"));
        let function =
            json!({"module": "builtins", "class_name": "function", "config": "mse", "registered_name": "function"});
        assert!(matches!(meaning(function), Meaning::Name(read) if read == "mse"));
    }

    #[test]
    fn calls_and_objects_mean_the_same() {
        let want = ("Huber".to_owned(), json!({"delta": 2.0}));
        assert_eq!(config("Huber(delta=2.0)"), want);
        assert_eq!(config(json!({"class_name": "Huber", "config": {"delta": 2.0}})), want);
        assert_eq!(config(Identifier::from("Huber").with("delta", 2.0)), want);
        assert_eq!(config(Identifier::from("Huber(delta=1)").with("delta", 2.0)), want);
        assert_eq!(config("Huber()"), ("Huber".to_owned(), json!({})));
        assert_eq!(config("robust>Tukey(c=1)").0, "robust>Tukey");
        let name = config("calibration>ExpectedCalibrationError(name=ece)").1;
        assert_eq!(name, json!({"name": "ece"}));
        let nested = config("SGD(learning_rate=CosineDecay(decay_steps=10), note='a#b(c)')").1;
        assert_eq!(nested["learning_rate"], json!({"class_name": "CosineDecay", "config": {"decay_steps": 10}}));
        assert_eq!(nested["note"], "a#b(c)");
    }

    #[test]
    fn symbols_are_seen_from_their_folder() {
        let symbol = |identifier: Identifier| match meaning(identifier) {
            Meaning::Symbol(symbol) => (symbol.library, symbol.symbol, Value::from(symbol.config)),
            other => panic!("{other:?}"),
        };
        let want = ("/run/lib/a.so".into(), "my_loss".to_owned(), json!({}));
        assert_eq!(symbol(Identifier::from("lib/a.so#my_loss").seen_from("/run")), want);
        assert_eq!(symbol(Identifier::from("/run/lib/a.so#my_loss").seen_from("/elsewhere")), want);
        let again = Identifier::from(Identifier::from("a.so#f").seen_from("/run (1)").to_json());
        assert_eq!(symbol(again), ("/run (1)/a.so".into(), "f".to_owned(), json!({})));
        let json = json!({"class_name": "/run/a.so#f", "config": {"name": "x"}});
        assert_eq!(Identifier::from("./a.so#f(name=x)").seen_from("/run").to_json(), json);
        assert_eq!(Identifier::from("mse").seen_from("/run").to_json(), "mse");
        let named = ("a b.so".into(), "f".to_owned(), json!({"name": "x"}));
        assert_eq!(symbol("a b.so#f(name=x)".into()), named);
        assert_eq!(symbol(Identifier::from("a b.so#f").with("name", "x")), named);
    }

    #[test]
    fn none_has_several_spellings() {
        for none in [Identifier::none(), Value::Null.into(), None::<&str>.into()] {
            assert!(none.is_none());
            assert!(matches!(meaning(none), Meaning::Nothing));
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for value in
            [json!(3), json!(["mse"]), json!(""), json!("  "), json!({}), json!("Huber(2.0)"), json!("a.so#f(1)")]
        {
            assert!(Identifier::from(value.clone()).read().is_err(), "{value}");
        }
    }
}
