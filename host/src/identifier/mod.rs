//! Identifiers: the ways to specify a loss, metric, optimizer or schedule.
//!
//! | form | example |
//! |---|---|
//! | name or alias | `"mse"`, `"MeanSquaredError"` |
//! | qualified | `"robust>Tukey"`: the one of the plug-in "robust" |
//! | call | `"Huber(delta=2.0)"` |
//! | config | `{"class_name": "Huber", "config": {"delta": 2.0}}`, as Keras serializes it |
//! | symbol | `"path/to/lib.so#symbol"`: a C function |
//! | instance | a value that implements a trait of `plugfit_api`, without a plug-in |
//! | callable | a closure `|y_true, y_pred| ...` |
//! | none | `null`, `Identifier::none()`: an output without a loss |

mod call;
mod callable;
mod package;
mod parse;
mod serialized;

use std::fmt;
use std::path::PathBuf;

use plugfit_abi::{LossV1, MetricV1, OptimizerV1, ScheduleV1};
use plugfit_api::instance;
use serde_json::{Map, Value, json};

pub use call::Call;
pub use callable::Callable;
pub(crate) use package::package;
pub(crate) use serialized::{KEYS, check_keys};

use crate::files::name_of;
use crate::{Result, plugin};
use parse::parse;

/// Specifies a loss, metric, optimizer or schedule. A [`Host`](crate::Host) parses it when it resolves it.
#[derive(Clone, Debug)]
pub struct Identifier {
    form: Form,
    /// The folder to which paths in the identifier are relative.
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
    /// The keys that are set; the others have their defaults.
    pub config: Map<String, Value>,
}

impl Spec {
    /// Returns `{"class_name": ..., "config": {...}}`.
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

/// An existing component, with keys of the host for it (name, reduction, ...).
#[derive(Clone)]
pub struct Instance {
    /// The component.
    pub component: Component,
    /// Keys of the host.
    pub config: Map<String, Value>,
}

/// An existing component.
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
    /// Returns the name of the component's class.
    pub fn name(&self) -> &str {
        match self {
            Component::Loss(loss) => loss.name(),
            Component::Metric(metric) => metric.name(),
            Component::Optimizer(optimizer) => optimizer.name(),
            Component::Schedule(schedule) => schedule.name(),
            Component::Callable(callable) => callable.name(),
        }
    }

    /// Returns what the component is: "loss", "closure", ...
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

/// A parsed identifier.
#[derive(Clone, Debug)]
pub enum ParsedIdentifier {
    /// No component.
    Nothing,
    /// A name, an alias, or `package>Name`, without a configuration. It is also the name of the column in the log.
    Name(String),
    /// A class with its configuration.
    Config(Spec),
    /// A C function.
    Symbol(Symbol),
    /// An existing component.
    Instance(Instance),
}

impl Identifier {
    /// Creates an identifier of no component, for an output without a loss.
    pub fn none() -> Self {
        Value::Null.into()
    }

    /// Returns whether the identifier is that of no component.
    pub fn is_none(&self) -> bool {
        matches!(self.form, Form::Written(Value::Null))
    }

    /// Creates an identifier of an existing component, such as one created by `plugfit_api::instance`.
    pub fn instance(component: Component) -> Self {
        Identifier { form: Form::Instance(Instance { component, config: Map::new() }), folder: None }
    }

    /// Creates an identifier of a closure that maps a row of `y_true` and a row of `y_pred` (along the last axis) to a
    /// value. It can be used as a metric, or as a loss without a gradient, which can be evaluated but not trained with.
    ///
    /// ```
    /// let largest_error = plugfit::Identifier::callable("largest_error", |y_true, y_pred| {
    ///     y_true.iter().zip(y_pred).map(|(t, p)| (t - p).abs()).fold(0.0, f32::max)
    /// });
    /// ```
    pub fn callable(name: impl Into<String>, value: impl Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static) -> Self {
        Self::instance(Component::Callable(Callable::new(name, value)))
    }

    /// Creates an identifier as [`callable`](Self::callable) does, with a second closure that writes the derivative of
    /// the value with respect to each element of the row of `y_pred`. It can be used as a loss to train with.
    pub fn callable_with_gradient(
        name: impl Into<String>,
        value: impl Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static,
        gradient: impl Fn(&[f32], &[f32], &mut [f32]) + Send + Sync + 'static,
    ) -> Self {
        Self::instance(Component::Callable(Callable::new(name, value).with_gradient(gradient)))
    }

    /// Sets a key. For an instance or a closure, it is a key of the host: `name`, `reduction`, `learning_rate`, ... For
    /// other forms, it is any key of the configuration.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        match &mut self.form {
            Form::Instance(instance) => {
                instance.config.insert(key.into(), value.into());
            }
            // An identifier that can't be parsed stays unchanged, and is an error when it is resolved.
            Form::Written(written) => {
                let spec = match parse(written, None) {
                    Ok(ParsedIdentifier::Name(class_name)) => Spec { class_name, config: Map::new() },
                    Ok(ParsedIdentifier::Config(spec)) => spec,
                    Ok(ParsedIdentifier::Symbol(symbol)) => symbol.into_spec(),
                    Ok(ParsedIdentifier::Nothing | ParsedIdentifier::Instance(_)) | Err(_) => return self,
                };
                let mut config = spec.config;
                config.insert(key.into(), value.into());
                *written = Spec { config, ..spec }.to_json();
            }
        }
        self
    }

    /// Resolves relative paths in the identifier against this folder.
    #[must_use]
    pub fn relative_to(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Parses the identifier.
    ///
    /// # Errors
    /// Returns a usage error if it can't be parsed. It isn't an error if there is no such component.
    pub fn parse(&self) -> Result<ParsedIdentifier> {
        match &self.form {
            Form::Written(value) => parse(value, self.folder.as_deref()),
            Form::Instance(instance) => Ok(ParsedIdentifier::Instance(instance.clone())),
        }
    }

    /// Returns the identifier as it was written, except that the path of a library is resolved against the folder of
    /// [`relative_to`](Self::relative_to). An instance is `{"class_name", "config"}` with only the keys of the host.
    pub fn to_json(&self) -> Value {
        match &self.form {
            Form::Written(value) => match self.folder.as_deref().map(|folder| parse(value, Some(folder))) {
                // An object, because in a text a parenthesis in the path would start a call.
                Some(Ok(ParsedIdentifier::Symbol(symbol))) => symbol.into_spec().to_json(),
                _ => value.clone(),
            },
            Form::Instance(instance) => {
                json!({ "class_name": instance.component.name(), "config": instance.config })
            }
        }
    }
}

impl Default for Identifier {
    /// Returns [`Identifier::none`].
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

/// Implements `From` for existing components: those of plug-ins, and those created by `plugfit_api::instance`.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(identifier: impl Into<Identifier>) -> ParsedIdentifier {
        let identifier = identifier.into();
        identifier.parse().unwrap_or_else(|error| panic!("{identifier}: {error}"))
    }

    fn config(identifier: impl Into<Identifier>) -> (String, Value) {
        match parsed(identifier) {
            ParsedIdentifier::Config(spec) => (spec.class_name, spec.config.into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_stay_names() {
        for name in ["mse", "MeanSquaredError", "robust>Tukey", "mean squared error"] {
            assert!(matches!(parsed(name), ParsedIdentifier::Name(read) if read == name));
        }
        assert!(matches!(parsed(" mse "), ParsedIdentifier::Name(read) if read == "mse"));
        let function =
            json!({"module": "builtins", "class_name": "function", "config": "mse", "registered_name": "function"});
        assert!(matches!(parsed(function), ParsedIdentifier::Name(read) if read == "mse"));
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
    fn paths_of_libraries_are_relative_to_the_folder() {
        let symbol = |identifier: Identifier| match parsed(identifier) {
            ParsedIdentifier::Symbol(symbol) => (symbol.library, symbol.symbol, Value::from(symbol.config)),
            other => panic!("{other:?}"),
        };
        let want = ("/run/lib/a.so".into(), "my_loss".to_owned(), json!({}));
        assert_eq!(symbol(Identifier::from("lib/a.so#my_loss").relative_to("/run")), want);
        assert_eq!(symbol(Identifier::from("/run/lib/a.so#my_loss").relative_to("/elsewhere")), want);
        let again = Identifier::from(Identifier::from("a.so#f").relative_to("/run (1)").to_json());
        assert_eq!(symbol(again), ("/run (1)/a.so".into(), "f".to_owned(), json!({})));
        let json = json!({"class_name": "/run/a.so#f", "config": {"name": "x"}});
        assert_eq!(Identifier::from("./a.so#f(name=x)").relative_to("/run").to_json(), json);
        assert_eq!(Identifier::from("mse").relative_to("/run").to_json(), "mse");
        let named = ("a b.so".into(), "f".to_owned(), json!({"name": "x"}));
        assert_eq!(symbol("a b.so#f(name=x)".into()), named);
        assert_eq!(symbol(Identifier::from("a b.so#f").with("name", "x")), named);
    }

    #[test]
    fn none_has_several_spellings() {
        for none in [Identifier::none(), Value::Null.into(), None::<&str>.into()] {
            assert!(none.is_none());
            assert!(matches!(parsed(none), ParsedIdentifier::Nothing));
        }
    }

    #[test]
    fn invalid_identifiers_are_rejected() {
        for value in
            [json!(3), json!(["mse"]), json!(""), json!("  "), json!({}), json!("Huber(2.0)"), json!("a.so#f(1)")]
        {
            assert!(Identifier::from(value.clone()).parse().is_err(), "{value}");
        }
    }
}
