//! The manifest of a plug-in. It is written as JSON at compile time, so that a host reads it without running the
//! plug-in.

use crate::config::{ComponentSpec, FieldSpec, TrialSpec};
use serde_json::Value;

/// The description of a plug-in and its components.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// The crate's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The crate's description; may be empty.
    pub description: &'static str,
    /// `unwind` or `abort`.
    pub panic: &'static str,
    /// The components by kind: `loss`, `metric`, `optimizer`, `schedule`.
    pub components: &'static [(&'static str, &'static [ComponentSpec])],
}

const PREFIX: &str = "plugfit-";

/// Returns the name of a plug-in: that of its crate without a leading `plugfit-`.
pub const fn plugin_name(package: &'static str) -> &'static str {
    if package.len() <= PREFIX.len() {
        return package;
    }
    let (prefix, rest) = package.as_bytes().split_at(PREFIX.len());
    let mut i = 0;
    while i < prefix.len() {
        if prefix[i] != PREFIX.as_bytes()[i] {
            return package;
        }
        i += 1;
    }
    match std::str::from_utf8(rest) {
        Ok(rest) => rest,
        Err(_) => package,
    }
}

/// Returns `true` if `text` is a valid name of a plug-in or a component: at most 80 bytes of letters, digits, `_`, `-`
/// and `.`, with a letter or `_` first. Users write names in run files, on command lines and in paths.
pub fn is_name(text: &str) -> bool {
    let starts = text.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    let rest = text.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character));
    starts && rest && text.len() <= 80
}

/// Returns `true` if a terminal would interpret the character instead of printing it: a control character, a line
/// break, or a character that changes the text direction.
pub fn is_control_or_bidi(character: char) -> bool {
    let changes_direction = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
    // From U+2028: line and paragraph separators, then directional embeddings and overrides.
    character.is_control() || changes_direction || matches!(character, '\u{2028}'..='\u{202e}')
}

/// Returns the first text in `value` that contains a character which a terminal would interpret
/// ([`is_control_or_bidi`]). Documentation may contain line breaks and tabs.
pub fn not_shown(value: &Value, is_documentation: bool) -> Option<&str> {
    let wrong = |character: char| is_control_or_bidi(character) && !(is_documentation && "\n\t".contains(character));
    let is_text = |key: &str| matches!(key, "doc" | "description" | "examples");
    match value {
        Value::String(text) => text.contains(wrong).then_some(text),
        Value::Array(list) => list.iter().find_map(|value| not_shown(value, is_documentation)),
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let key_is_wrong = key.contains(is_control_or_bidi).then_some(key.as_str());
            key_is_wrong.or_else(|| not_shown(value, is_documentation || is_text(key)))
        }),
        _ => None,
    }
}

/// Returns the length in bytes of the manifest's JSON.
pub const fn length(manifest: &Manifest) -> usize {
    let mut out = Writer { bytes: &mut [], length: 0 };
    out.manifest(manifest);
    out.length
}

/// Returns the manifest's JSON. `N` is its [`length`].
pub const fn json<const N: usize>(manifest: &Manifest) -> [u8; N] {
    let mut bytes = [0; N];
    let mut out = Writer { bytes: &mut bytes, length: 0 };
    out.manifest(manifest);
    assert!(out.length == N);
    bytes
}

/// A JSON writer. It counts all bytes, and writes those that fit in `bytes`.
struct Writer<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Writer<'_> {
    const fn byte(&mut self, byte: u8) {
        if self.length < self.bytes.len() {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }

    const fn raw(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self.byte(bytes[i]);
            i += 1;
        }
    }

    const fn string(&mut self, text: &str) {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        self.byte(b'"');
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            match bytes[i] {
                quoted @ (b'"' | b'\\') => {
                    self.byte(b'\\');
                    self.byte(quoted);
                }
                b'\n' => self.raw("\\n"),
                control @ 0..0x20 => {
                    self.raw("\\u00");
                    self.byte(HEX[(control >> 4) as usize]);
                    self.byte(HEX[(control & 15) as usize]);
                }
                other => self.byte(other),
            }
            i += 1;
        }
        self.byte(b'"');
    }

    /// Writes `,"key":"text"`.
    const fn entry(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    const fn key(&mut self, key: &str) {
        self.byte(b',');
        self.string(key);
        self.byte(b':');
    }

    const fn strings(&mut self, key: &str, texts: &[&str]) {
        self.key(key);
        self.byte(b'[');
        let mut i = 0;
        while i < texts.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(texts[i]);
            i += 1;
        }
        self.byte(b']');
    }

    const fn optional(&mut self, key: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.key(key);
            self.raw(json);
        }
    }

    const fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    const fn manifest(&mut self, manifest: &Manifest) {
        self.raw("{\"abi\":");
        self.number(plugfit_abi::ABI_VERSION);
        self.entry("name", manifest.name);
        self.entry("version", manifest.version);
        self.entry("description", manifest.description);
        self.entry("compiler", env!("PLUGFIT_COMPILER"));
        self.entry("target", env!("PLUGFIT_TARGET"));
        self.entry("api", env!("CARGO_PKG_VERSION"));
        self.entry("panic", manifest.panic);
        self.strings(
            "interfaces",
            &[
                plugfit_abi::LOSS_V1,
                plugfit_abi::METRIC_V1,
                plugfit_abi::OPTIMIZER_V1,
                plugfit_abi::SCHEDULE_V1,
                plugfit_abi::LOSS_V2,
                plugfit_abi::FORMULA_V1,
            ],
        );
        self.key("components");
        self.byte(b'[');
        let mut first = true;
        let mut kind = 0;
        while kind < manifest.components.len() {
            let (name, specs) = manifest.components[kind];
            let mut i = 0;
            while i < specs.len() {
                if !first {
                    self.byte(b',');
                }
                first = false;
                self.component(name, &specs[i]);
                i += 1;
            }
            kind += 1;
        }
        self.raw("]}");
    }

    const fn component(&mut self, kind: &str, spec: &ComponentSpec) {
        self.raw("{\"kind\":");
        self.string(kind);
        self.entry("name", spec.name);
        self.strings("aliases", spec.aliases);
        self.entry("doc", spec.doc);
        self.key("config_version");
        self.number(spec.version);
        self.key("base");
        self.byte(b'{');
        let mut i = 0;
        while i < spec.base.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(spec.base[i].0);
            self.byte(b':');
            self.raw(spec.base[i].1);
            i += 1;
        }
        self.byte(b'}');
        self.key("fields");
        self.byte(b'[');
        let mut i = 0;
        while i < spec.fields.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.field(&spec.fields[i]);
            i += 1;
        }
        self.byte(b']');
        if !spec.examples.is_empty() {
            self.strings("examples", spec.examples);
        }
        self.trial(&spec.trial);
        self.byte(b'}');
    }

    /// Writes the declarations for tests, if there are any.
    const fn trial(&mut self, trial: &TrialSpec) {
        if trial.columns.is_none() && trial.classes.is_none() && trial.except.is_empty() {
            return;
        }
        self.key("trial");
        self.raw("{\"except\":[");
        let mut i = 0;
        while i < trial.except.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.raw("{\"test\":");
            self.string(trial.except[i].0);
            self.entry("reason", trial.except[i].1);
            self.byte(b'}');
            i += 1;
        }
        self.byte(b']');
        if let Some(columns) = trial.columns {
            self.key("columns");
            self.number(columns);
        }
        if let Some(classes) = trial.classes {
            self.key("classes");
            self.number(classes);
        }
        self.byte(b'}');
    }

    const fn field(&mut self, field: &FieldSpec) {
        self.raw("{\"name\":");
        self.string(field.name);
        self.entry("doc", field.doc);
        self.entry("type", field.value.name);
        if field.value.optional {
            self.key("optional");
            self.raw("true");
        }
        if !field.value.choices.is_empty() {
            self.strings("choices", field.value.choices);
        }
        self.optional("default", field.default);
        self.optional("minimum", field.minimum);
        self.optional("maximum", field.maximum);
        self.optional("above", field.above);
        self.optional("below", field.below);
        if field.infinite {
            self.key("infinite");
            self.raw("true");
        }
        self.byte(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ValueSpec;

    const COMPONENT: ComponentSpec = ComponentSpec {
        name: "Tukey",
        aliases: &["tukey"],
        doc: "Says \"no\"\nto outliers\u{1}\\",
        version: 12,
        base: &[("learning_rate", "0.01")],
        fields: &[FieldSpec {
            name: "c",
            doc: "où",
            value: ValueSpec { name: "number", optional: true, choices: &["a", "b"] },
            default: Some("4.685"),
            minimum: Some("0.0"),
            maximum: None,
            above: None,
            below: None,
            infinite: true,
        }],
        examples: &["{\"gives\": [1]}"],
        trial: TrialSpec { columns: Some(17), classes: None, except: &[("truth", "it is \"bold\"")] },
    };
    const MANIFEST: Manifest = Manifest {
        name: "robust",
        version: "0.2.0",
        description: "",
        panic: "unwind",
        components: &[("loss", &[COMPONENT])],
    };

    #[test]
    fn the_manifest_written_at_compile_time_is_valid_json() {
        static JSON: [u8; length(&MANIFEST)] = json(&MANIFEST);
        let value: serde_json::Value = serde_json::from_slice(&JSON).unwrap();
        assert_eq!(value["name"], "robust");
        let component = &value["components"][0];
        assert_eq!(component["doc"], "Says \"no\"\nto outliers\u{1}\\");
        assert_eq!(component["config_version"], 12);
        assert_eq!(component["base"]["learning_rate"], 0.01);
        assert_eq!(component["fields"][0]["doc"], "où");
        assert_eq!(component["fields"][0]["default"], 4.685);
        assert_eq!(component["fields"][0]["optional"], true);
        assert_eq!(component["fields"][0]["infinite"], true);
        assert!(component["fields"][0].get("maximum").is_none());
        assert_eq!(component["examples"][0], "{\"gives\": [1]}");
        let except = serde_json::json!([{"test": "truth", "reason": "it is \"bold\""}]);
        assert_eq!(component["trial"], serde_json::json!({"columns": 17, "except": except}));
    }
}
