//! What a plug-in says of itself, as data.

use std::collections::HashSet;

use plugfit_api::manifest::{is_name, not_shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Kind, Refusal, bounds};
use crate::data::text::{cut, grouped};

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

impl Manifest {
    /// Refuses names that aren't names, and what a table or a terminal can't show.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if !is_name(&self.name) {
            return Err(misnamed("is", &self.name));
        }
        at_most(self.components.len(), bounds::COMPONENTS, "components")?;
        let mut declared = HashSet::new();
        for component in &self.components {
            at_most(component.aliases.len(), bounds::ALIASES, "names for one component")?;
            for name in component.aliases.iter().chain([&component.name]) {
                if !is_name(name) {
                    return Err(misnamed(&format!("declares a {}", component.kind), name));
                }
            }
            if !declared.insert((&component.kind, &component.name)) {
                return Err(Refusal::new(format!("declares the {} \"{}\" twice", component.kind, component.name))
                    .hint("rename one of them"));
            }
        }
        if let Some(text) = short_texts(self).find(|text| text.len() > bounds::NAME) {
            return Err(Refusal::new(format!(
                "has a text of {} bytes in its manifest: {:?}",
                grouped(text.len()),
                cut(text, 64)
            ))
            .hint(format!("a text that is no documentation has at most {} bytes", bounds::NAME)));
        }
        let value = serde_json::to_value(self).unwrap_or_default();
        if let Some(text) = not_shown(&value, false) {
            return Err(Refusal::new(format!("has control characters in its manifest: {text:?}"))
                .hint("write its texts without them; only documentation has several lines"));
        }
        Ok(())
    }
}

fn at_most(found: usize, most: usize, what: &str) -> Result<(), Refusal> {
    match found > most {
        true => Err(Refusal::new(format!("declares {} {what}", grouped(found)))
            .hint(format!("a manifest has at most {}", grouped(most)))),
        false => Ok(()),
    }
}

/// What stands in one line of a table or of a message.
fn short_texts(manifest: &Manifest) -> impl Iterator<Item = &String> {
    let Manifest { name, version, compiler, target, api, panic, interfaces, .. } = manifest;
    let components = manifest.components.iter().flat_map(|component| {
        let fields = component.fields.iter().flat_map(|field| field.choices.iter().chain([&field.name, &field.type_]));
        let exceptions = component.trial.except.iter().flat_map(|law| [&law.test, &law.reason]);
        component.aliases.iter().chain([&component.kind, &component.name]).chain(fields).chain(exceptions)
    });
    interfaces.iter().chain([name, version, compiler, target, api, panic]).chain(components)
}

fn misnamed(what: &str, name: &str) -> Refusal {
    Refusal::new(format!("{what} called {name:?}"))
        .hint("a name is of letters, digits, _ - and ., and begins with a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(json: &str) -> Manifest {
        serde_json::from_str(json).expect("it can be read")
    }

    #[test]
    fn what_a_terminal_or_a_path_would_take_for_something_else_is_refused() {
        let refused = |json: &str| manifest(json).check().expect_err("it is refused").reason;
        assert_eq!(refused(r#"{"abi":1,"name":"../x"}"#), "is called \"../x\"");
        let named = |name: &str| format!(r#"{{"abi":1,"name":"x","components":[{{"kind":"loss","name":"{name}"}}]}}"#);
        assert_eq!(refused(&named("a/b")), "declares a loss called \"a/b\"");
        assert_eq!(refused(&named("a\\u001b[2J")), "declares a loss called \"a\\u{1b}[2J\"");
        let reason = refused(r#"{"abi":1,"name":"x","description":"\u001b]0;x\u0007"}"#);
        assert!(reason.contains("control characters") && !reason.contains('\u{1b}'), "{reason}");
    }

    #[test]
    fn texts_that_are_no_documentation_have_one_line() {
        let checked = |json: &str| manifest(json).check();
        let component =
            |rest: &str| format!(r#"{{"abi":1,"name":"x","components":[{{"kind":"loss","name":"a",{rest}}}]}}"#);
        checked(r#"{"abi":1,"name":"x","description":"two\nlines"}"#).expect("it is documentation");
        checked(&component(r#""doc":"two\nlines","fields":[{"name":"f","doc":"two\nlines"}]"#)).expect("as above");
        for (json, what) in [
            (r#"{"abi":1,"name":"x","version":"1\nerror: all is lost"}"#.to_owned(), "version"),
            (r#"{"abi":1,"name":"x","compiler":"a\nb"}"#.to_owned(), "compiler"),
            (r#"{"abi":1,"name":"x","interfaces":["a\tb"]}"#.to_owned(), "interfaces"),
            (r#"{"abi":1,"name":"x","description":"a\u202eb"}"#.to_owned(), "direction"),
            (r#"{"abi":1,"name":"x","description":"a\rb"}"#.to_owned(), "return"),
            (component(r#""doc":"\u2067""#), "direction"),
            (component(r#""fields":[{"name":"f\ng"}]"#), "setting"),
            (component(r#""fields":[{"name":"f","type":"a\nb"}]"#), "type"),
            (component(r#""fields":[{"name":"f","choices":["a\nb"]}]"#), "choice"),
            (component(r#""fields":[{"name":"f","default":"a\nb"}]"#), "default"),
            (component(r#""base":{"name":"a\nb"}"#), "base"),
            (component(r#""base":{"a\nb":1}"#), "key"),
        ] {
            let reason = checked(&json).expect_err(what).reason;
            assert!(reason.starts_with("has control characters in its manifest"), "{what}: {reason}");
        }
    }

    #[test]
    fn a_manifest_has_so_many_components_and_names_and_texts_so_long() {
        let of = |count: usize, rest: &str| {
            let component = |i: usize| format!(r#"{{"kind":"loss","name":"L{i}"{rest}}}"#);
            let components: Vec<String> = (0..count).map(component).collect();
            let json = format!(r#"{{"abi":1,"name":"x","components":[{}]}}"#, components.join(","));
            manifest(&json).check().map_err(|refusal| refusal.reason)
        };
        let list = |count: usize| (0..count).map(|i| format!(r#""a{i}""#)).collect::<Vec<_>>().join(",");
        let aliases = |count| format!(r#","aliases":[{}]"#, list(count));
        of(bounds::COMPONENTS, "").expect("just as many");
        assert_eq!(of(bounds::COMPONENTS + 1, ""), Err("declares 1,025 components".into()));
        of(1, &aliases(bounds::ALIASES)).expect("just as many");
        assert_eq!(of(1, &aliases(bounds::ALIASES + 1)), Err("declares 17 names for one component".into()));
        let field = |field: &str| format!(r#","fields":[{{"name":"f",{field}}}]"#);
        of(1, &field(&format!(r#""doc":"{}""#, "a".repeat(9999)))).expect("documentation may be long");
        let long = "a".repeat(bounds::NAME + 1);
        for rest in [
            field(&format!(r#""choices":["{long}"]"#)),
            field(&format!(r#""type":"{long}""#)),
            format!(r#","fields":[{{"name":"{long}"}}]"#),
            format!(r#","trial":{{"except":[{{"test":"bowl","reason":"{long}"}}]}}"#),
        ] {
            let reason = of(1, &rest).expect_err("it is too long");
            assert!(reason.starts_with("has a text of 257 bytes in its manifest"), "{reason}");
        }
    }
}
