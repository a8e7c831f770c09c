//! What a plug-in says of itself, as data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Kind;

/// The JSON in a plug-in's section `.plugfit.manifest`. Keys that are unknown are passed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the ABI.
    pub abi: u32,
    /// The plug-in's name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// The compiler that built it.
    #[serde(default)]
    pub compiler: String,
    /// The target it was built for.
    #[serde(default)]
    pub target: String,
    /// The version of plugfit-api.
    #[serde(default)]
    pub api: String,
    /// "unwind" or "abort".
    #[serde(default)]
    pub panic: String,
    /// The ids of its interfaces.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Its components.
    #[serde(default)]
    pub components: Vec<Component>,
}

/// A component in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its kind; one that the host doesn't know is passed over.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its documentation.
    #[serde(default)]
    pub doc: String,
    /// The version of its configuration.
    #[serde(default)]
    pub config_version: u32,
    /// Its defaults for the host's own keys.
    #[serde(default)]
    pub base: Map<String, Value>,
    /// Its settings.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// What it gives for small inputs, as JSON texts; `plugfit check` holds it to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The batches that `plugfit check` tries it with, and the laws that don't apply to it.
    #[serde(default, skip_serializing_if = "Trial::is_any")]
    pub trial: Trial,
}

/// What a component declares of the tests that it is put to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// How many columns a batch of it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u64>,
    /// How many classes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<u64>,
    /// The laws that don't apply to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Exception>,
}

impl Trial {
    fn is_any(&self) -> bool {
        *self == Trial::default()
    }
}

/// A law that doesn't apply to a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// The test's name, such as `rosenbrock`.
    pub test: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Component {
    /// Its kind, if the host knows it.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_name(&self.kind)
    }
}

/// A default of null is one.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A setting of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it means.
    #[serde(default)]
    pub doc: String,
    /// "number", "integer", "string", …
    #[serde(default, rename = "type")]
    pub type_: String,
    /// Whether it may be null.
    #[serde(default)]
    pub optional: bool,
    /// The strings it may be.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Its default; none: it has to be given.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// It is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// It is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// It is more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// It is less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Whether it may be infinite.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub infinite: bool,
}
