//! The manifest of a plug-in: its description of itself and of its components, as data.

use std::collections::HashSet;

use plugfit_api::manifest::{is_name, not_shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Kind, Refusal, bounds};
use crate::text::{grouped, snake_case, truncate};

/// The JSON in a plug-in's section `.plugfit.manifest`. Unknown keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The ABI version.
    pub abi: u32,
    /// The plug-in's name.
    pub name: String,
    /// The plug-in's version.
    #[serde(default)]
    pub version: String,
    /// A description of the plug-in.
    #[serde(default)]
    pub description: String,
    /// The compiler that built it.
    #[serde(default)]
    pub compiler: String,
    /// The target that it was built for.
    #[serde(default)]
    pub target: String,
    /// The version of plugfit-api that it was built with.
    #[serde(default)]
    pub api: String,
    /// The panic strategy: "unwind" or "abort".
    #[serde(default)]
    pub panic: String,
    /// The ids of the interfaces that it offers.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The plug-in's components.
    #[serde(default)]
    pub components: Vec<Component>,
}

/// A component in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The component's kind; a component of an unknown kind is ignored.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Other names of the component.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The component's documentation.
    #[serde(default)]
    pub doc: String,
    /// The version of its configuration.
    #[serde(default)]
    pub config_version: u32,
    /// Its defaults for the host's own keys.
    #[serde(default)]
    pub base: Map<String, Value>,
    /// The component's settings.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Examples of results for small inputs, as JSON texts. `plugfit check` compares results with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The batches with which `plugfit check` tests it, and the laws that don't apply to it.
    #[serde(default, skip_serializing_if = "Trial::is_default")]
    pub trial: Trial,
}

/// A component's declarations about how it is tested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The number of columns of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u64>,
    /// The number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<u64>,
    /// The laws that don't apply to the component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Exception>,
}

impl Trial {
    fn is_default(&self) -> bool {
        *self == Trial::default()
    }
}

/// A law that doesn't apply to a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// The test's name, such as `rosenbrock`.
    pub test: String,
    /// Why the law doesn't apply.
    #[serde(default)]
    pub reason: String,
}

impl Component {
    /// Returns the component's kind, or `None` if the host doesn't know it.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_name(&self.kind)
    }

    /// Returns the name in snake case, in which a loss or a metric may also be written.
    pub fn snake_case_name(&self) -> String {
        snake_case(&self.name)
    }
}

/// Deserializes a value that is present, so that a default of null differs from no default.
fn deserialize_some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A setting of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The setting's documentation.
    #[serde(default)]
    pub doc: String,
    /// The type: "number", "integer", "string", …
    #[serde(default, rename = "type")]
    pub type_: String,
    /// Whether the value may be null.
    #[serde(default)]
    pub optional: bool,
    /// The allowed strings.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The default; `None` if a value is required.
    #[serde(default, deserialize_with = "deserialize_some", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The inclusive lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The inclusive upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The exclusive lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The exclusive upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Whether the value may be infinite.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub infinite: bool,
}

impl Manifest {
    /// Returns whether the plug-in offers the interface of this id.
    pub(super) fn offers(&self, id: &str) -> bool {
        self.interfaces.iter().any(|offered| offered == id)
    }

    /// Refuses invalid names, and texts that a table or a terminal can't show.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if !is_name(&self.name) {
            return Err(invalid_name("is", &self.name));
        }
        at_most(self.components.len(), bounds::MAX_COMPONENTS, "components")?;
        let mut declared = HashSet::new();
        for component in &self.components {
            at_most(component.aliases.len(), bounds::MAX_ALIASES, "names for one component")?;
            for name in component.aliases.iter().chain([&component.name]) {
                if !is_name(name) {
                    return Err(invalid_name(&format!("declares a {}", component.kind), name));
                }
            }
            if !declared.insert((&component.kind, &component.name)) {
                return Err(Refusal::new(format!("declares the {} \"{}\" twice", component.kind, component.name))
                    .hint("rename one of them"));
            }
        }
        if let Some(text) = short_texts(self).find(|text| text.len() > bounds::MAX_NAME_LENGTH) {
            return Err(Refusal::new(format!(
                "has a text of {} bytes in its manifest: {:?}",
                grouped(text.len()),
                truncate(text, 64)
            ))
            .hint(format!("a text other than documentation has at most {} bytes", bounds::MAX_NAME_LENGTH)));
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

/// Returns the texts that are shown in one line of a table or of a message.
fn short_texts(manifest: &Manifest) -> impl Iterator<Item = &String> {
    let Manifest { name, version, compiler, target, api, panic, interfaces, .. } = manifest;
    let components = manifest.components.iter().flat_map(|component| {
        let fields = component.fields.iter().flat_map(|field| field.choices.iter().chain([&field.name, &field.type_]));
        let exceptions = component.trial.except.iter().flat_map(|law| [&law.test, &law.reason]);
        component.aliases.iter().chain([&component.kind, &component.name]).chain(fields).chain(exceptions)
    });
    interfaces.iter().chain([name, version, compiler, target, api, panic]).chain(components)
}

fn invalid_name(what: &str, name: &str) -> Refusal {
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
    fn texts_that_a_terminal_or_a_path_would_interpret_are_refused() {
        let refused = |json: &str| manifest(json).check().expect_err("it is refused").reason;
        assert_eq!(refused(r#"{"abi":1,"name":"../x"}"#), "is called \"../x\"");
        let named = |name: &str| format!(r#"{{"abi":1,"name":"x","components":[{{"kind":"loss","name":"{name}"}}]}}"#);
        assert_eq!(refused(&named("a/b")), "declares a loss called \"a/b\"");
        assert_eq!(refused(&named("a\\u001b[2J")), "declares a loss called \"a\\u{1b}[2J\"");
        let reason = refused(r#"{"abi":1,"name":"x","description":"\u001b]0;x\u0007"}"#);
        assert!(reason.contains("control characters") && !reason.contains('\u{1b}'), "{reason}");
    }

    #[test]
    fn texts_other_than_documentation_have_one_line() {
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
    fn the_numbers_of_components_and_names_and_the_lengths_of_texts_are_bounded() {
        let of = |count: usize, rest: &str| {
            let component = |i: usize| format!(r#"{{"kind":"loss","name":"L{i}"{rest}}}"#);
            let components: Vec<String> = (0..count).map(component).collect();
            let json = format!(r#"{{"abi":1,"name":"x","components":[{}]}}"#, components.join(","));
            manifest(&json).check().map_err(|refusal| refusal.reason)
        };
        let list = |count: usize| (0..count).map(|i| format!(r#""a{i}""#)).collect::<Vec<_>>().join(",");
        let aliases = |count| format!(r#","aliases":[{}]"#, list(count));
        of(bounds::MAX_COMPONENTS, "").expect("just as many");
        assert_eq!(of(bounds::MAX_COMPONENTS + 1, ""), Err("declares 1,025 components".into()));
        of(1, &aliases(bounds::MAX_ALIASES)).expect("just as many");
        assert_eq!(of(1, &aliases(bounds::MAX_ALIASES + 1)), Err("declares 17 names for one component".into()));
        let field = |field: &str| format!(r#","fields":[{{"name":"f",{field}}}]"#);
        of(1, &field(&format!(r#""doc":"{}""#, "a".repeat(9999)))).expect("documentation may be long");
        let long = "a".repeat(bounds::MAX_NAME_LENGTH + 1);
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
