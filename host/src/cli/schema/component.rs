//! The schemas of the identifiers of losses, metrics, optimizers and schedules.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::text::{self, Keys};
use crate::Host;
use crate::component::{base_keys, silent_keys};
use crate::identifier::KEYS;
use crate::plugin::{Component, Field, Kind};

/// A component that an identifier of a kind can name.
struct Named {
    /// The kind of the component. A loss can also be named as a metric: the mean of its values.
    kind: Kind,
    component: Component,
    /// The names by which the host finds the component.
    spellings: Vec<String>,
}

/// Returns the settings that have no default.
fn required(component: &Component) -> impl Iterator<Item = &str> {
    component.fields.iter().filter(|field| field.default.is_none()).map(|field| field.name.as_str())
}

impl Named {
    /// Returns the pattern of the component's names.
    fn pattern(&self) -> String {
        // As in Keras, names of optimizers are case-insensitive; names of plug-ins aren't.
        let (qualified, short): (Vec<&str>, Vec<&str>) =
            self.spellings.iter().map(String::as_str).partition(|spelling| spelling.contains('>'));
        let any_case = self.kind == Kind::Optimizer;
        let qualified = qualified.into_iter().filter_map(|spelling| spelling.split_once('>'));
        let mut of_plugin: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        qualified.for_each(|(plugin, name)| of_plugin.entry(plugin).or_default().push(name));
        if let (Some((plugin, names)), 1) = (of_plugin.iter().next(), of_plugin.len())
            && *names == short
        {
            return format!(
                "(?:{}>)?{}",
                text::alternatives([*plugin], false),
                text::alternatives(short.iter().copied(), any_case)
            );
        }
        let mut parts: Vec<String> = of_plugin
            .into_iter()
            .map(|(plugin, names)| {
                format!("{}>{}", text::alternatives([plugin], false), text::alternatives(names, any_case))
            })
            .collect();
        if !short.is_empty() {
            parts.push(text::alternatives(short, any_case));
        }
        format!("(?:{})", parts.join("|"))
    }
}

/// Returns every component that an identifier of this kind can name. The host resolves each spelling, so that a
/// spelling that two plug-ins share names neither of them.
fn named(host: &Host, kind: Kind) -> Vec<Named> {
    let mut all: BTreeMap<(String, String), Named> = BTreeMap::new();
    let spellings_of_kind = host.spellings(kind);
    let kinds: &[Kind] = if kind == Kind::Metric { &[Kind::Metric, Kind::Loss] } else { &[kind] };
    for &component_kind in kinds {
        let components = host.components(component_kind).into_iter();
        let components: HashMap<(String, String), Component> = components
            .map(|(plugin, component)| ((plugin.name().to_owned(), component.name.clone()), component))
            .collect();
        for (spelling, found) in host.spellings(component_kind) {
            // A metric takes precedence over a loss of the same name.
            if component_kind != kind && spellings_of_kind.contains_key(&spelling) {
                continue;
            }
            let Some(owner) = found else { continue };
            let Some(component) = components.get(&owner) else { continue };
            let key = (owner.0, format!("{component_kind} {}", owner.1));
            let new = || Named { kind: component_kind, component: component.clone(), spellings: Vec::new() };
            all.entry(key).or_insert_with(new).spellings.push(spelling);
        }
    }
    all.into_values().collect()
}

/// Returns the names whose meaning depends on the output.
fn auto(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Loss => &["crossentropy", "ce"],
        Kind::Metric => &["accuracy", "acc", "crossentropy", "ce"],
        Kind::Optimizer | Kind::Schedule => &[],
    }
}

/// Patterns of identifiers that are values of settings.
pub struct Nested {
    schedule: String,
    any: String,
}

impl Nested {
    pub fn of(host: &Host) -> Self {
        let values = Values { nested: None };
        let schedule: Vec<String> = named(host, Kind::Schedule).iter().map(|named| values.call(named)).collect();
        let names: Vec<String> =
            Kind::ALL.into_iter().flat_map(|kind| named(host, kind)).map(|named| named.pattern()).collect();
        let brackets = text::brackets();
        // A quoted text or an object, which only the host validates.
        let other = format!(r"(?=[\x22'{{]){}", text::value());
        Nested {
            schedule: format!("(?:{}|{other})", or_never(&schedule)),
            any: format!("(?:{}(?:{brackets})?|{other})", or_never(&names)),
        }
    }

    /// Returns the pattern of a schedule.
    pub fn schedule(&self) -> &str {
        &self.schedule
    }
}

/// Returns a pattern that matches any of these patterns, or nothing if there are none.
fn or_never(patterns: &[String]) -> String {
    if patterns.is_empty() { "(?!)".into() } else { format!("(?:{})", patterns.join("|")) }
}

/// Patterns of the values of settings.
struct Values<'n> {
    /// The patterns of nested identifiers; `None` accepts any value.
    nested: Option<&'n Nested>,
}

impl Values<'_> {
    fn call(&self, named: &Named) -> String {
        let Named { kind, component, .. } = named;
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for field in &component.fields {
            keys.entry(self.field(field)).or_default().push(field.name.clone());
        }
        let base = base_keys(*kind).iter().map(|(name, type_, ..)| (*name, *type_));
        for (name, type_) in base.chain(silent_keys(*kind).iter().copied()) {
            if component.fields.iter().all(|field| field.name != name) {
                keys.entry(self.base(type_)).or_default().push(name.into());
            }
        }
        let keys: Vec<Keys> = keys.into_iter().map(|(value, names)| Keys { names, value }).collect();
        let needed: String = required(component).map(|key| format!(r"(?=.*\b{key}\s*=)")).collect();
        format!("{needed}{}", text::call(&named.pattern(), &[], &keys))
    }

    fn field(&self, field: &Field) -> String {
        let value = match (&field.choices[..], field.type_.as_str()) {
            ([], "number") if field.infinite => text::number(),
            ([], "number" | "integer") => text::FINITE.into(),
            ([], "boolean") => text::BOOLEAN.into(),
            ([], "identifier") => self.nested.map_or_else(text::value, |nested| nested.any.clone()),
            ([], _) => return text::value(),
            (choices, _) => text::words(choices.iter().map(String::as_str), true),
        };
        if field.optional { format!("(?:{value}|{})", text::NOTHING) } else { value }
    }

    fn base(&self, type_: &str) -> String {
        let part = |part| match part {
            "number" => text::FINITE.into(),
            "integer" => format!("(?:{}|[Ff]alse)", text::FINITE),
            "boolean" => text::BOOLEAN.into(),
            "schedule" => self.nested.map_or_else(text::value, |nested| nested.schedule.clone()),
            _ => text::value(),
        };
        let parts = type_.split(" or ").filter(|part| *part != "null").map(part).collect::<Vec<_>>();
        format!("(?:{}|{})", parts.join("|"), text::NOTHING)
    }
}

/// Builds the schema of an identifier of this kind: a name, a call, a C function, or an object with a class name and
/// settings.
pub fn identifier(host: &Host, kind: Kind, nested: &Nested) -> Value {
    let named = named(host, kind);
    let values = Values { nested: Some(nested) };
    let mut names: Vec<&str> = auto(kind).to_vec();
    let alone = named.iter().filter(|named| required(&named.component).next().is_none());
    names.extend(alone.flat_map(|named| &named.spellings).map(String::as_str).filter(|name| !name.contains('>')));
    names.sort_unstable();
    names.dedup();

    let mut texts: Vec<Value> = named
        .iter()
        .map(|named| json!({"type": "string", "pattern": text::whole(&values.call(named)), "description": first_line(&named.component.doc)}))
        .collect();
    let mut classes: Vec<String> = named.iter().map(Named::pattern).collect();
    let mut settings: Vec<Value> = named
        .iter()
        .map(|named| {
            let config = config(named.kind, &named.component);
            let needs: &[&str] = if config.get("required").is_some() { &["config"] } else { &[] };
            json!({
                "if": {"properties": {"class_name": {"pattern": exactly(&named.pattern())}}, "required": ["class_name"]},
                "then": {"properties": {"config": config}, "required": needs},
            })
        })
        .collect();
    if !auto(kind).is_empty() {
        texts.push(
            json!({"type": "string", "pattern": text::whole(&text::alternatives(auto(kind).iter().copied(), true))}),
        );
    }
    if matches!(kind, Kind::Loss | Kind::Metric) {
        let keys = Keys { names: ["name", "reduction", "dtype"].map(str::to_owned).to_vec(), value: text::value() };
        let function = text::call(SYMBOL, &[], &[keys]);
        texts.push(json!({"type": "string", "pattern": text::whole(&function), "description": "A C function: library.so#function"}));
        classes.push(SYMBOL.into());
        settings.push(json!({
            "if": {"properties": {"class_name": {"pattern": "#"}}, "required": ["class_name"]},
            "then": {"properties": {"config": {"properties": {"name": {}, "reduction": {}, "dtype": {}}, "additionalProperties": false}}},
        }));
        // Functions as Keras serializes them, alone or in a wrapper.
        classes.push(text::alternatives(["function", "MeanMetricWrapper", "LossFunctionWrapper"], false));
        settings.push(json!({
            "if": {"properties": {"class_name": {"const": "function"}}, "required": ["class_name"]},
            "then": {"properties": {"config": {"enum": names}}, "required": ["config"]},
        }));
        settings.push(json!({
            "if": {"properties": {"class_name": {"enum": ["MeanMetricWrapper", "LossFunctionWrapper"]}}, "required": ["class_name"]},
            "then": {"properties": {"config": {"type": "object", "required": ["fn"], "properties": {"fn": {"$ref": format!("#/$defs/{kind}")}}}}, "required": ["config"]},
        }));
    }
    let examples: Vec<&str> = named.iter().map(|named| named.component.name.as_str()).collect();
    json!({"anyOf": [
        {"enum": names},
        {"anyOf": texts},
        {
            "type": "object",
            "properties": serialized(json!({"type": "string", "pattern": exactly(&or_never(&classes)), "examples": examples})),
            "required": ["class_name"],
            "additionalProperties": false,
            "allOf": settings,
        },
    ]})
}

/// Returns the keys of a serialized object with this class name.
pub fn serialized(class_name: Value) -> Map<String, Value> {
    let any = KEYS.iter().filter(|key| **key != "args").map(|key| ((*key).to_owned(), json!({})));
    let mut keys: Map<String, Value> = any.collect();
    keys.insert("class_name".into(), class_name);
    keys.insert("config".into(), json!({"type": ["object", "string", "null"]}));
    keys
}

/// The pattern of a C function: a library, `#` and the function's name.
const SYMBOL: &str = r"[^(]*[^(\s#]#[A-Za-z_][A-Za-z0-9_]*";

fn exactly(pattern: &str) -> String {
    format!("^{pattern}$")
}

fn first_line(doc: &str) -> &str {
    doc.trim().lines().next().unwrap_or_default()
}

fn config(kind: Kind, component: &Component) -> Value {
    let mut properties: Map<String, Value> =
        component.fields.iter().map(|field| (field.name.clone(), setting(field))).collect();
    for (name, type_, _, doc) in base_keys(kind) {
        properties.entry(*name).or_insert_with(|| {
            let mut schema = base(type_);
            schema["description"] = json!(doc);
            schema
        });
    }
    for (name, type_) in silent_keys(kind) {
        properties.entry(*name).or_insert_with(|| base(type_));
    }
    let required: Vec<&str> = required(component).collect();
    let mut schema = json!({
        "type": ["object", "null"], "description": component.doc, "properties": properties, "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["type"] = json!("object");
        schema["required"] = json!(required);
    }
    schema
}

/// Builds the schema of a setting of the host. As in Keras, null stands for the default, and false for no number.
fn base(type_: &str) -> Value {
    let part = |part| match part {
        "schedule" => json!({"$ref": "#/$defs/schedule"}),
        "any" => json!({}),
        "integer" => json!({"anyOf": [{"type": "integer"}, {"const": false}]}),
        other => json!({"type": other}),
    };
    json!({"anyOf": type_.split(" or ").chain(["null"]).map(part).collect::<Vec<_>>()})
}

/// Returns the schema of infinite numbers, which are strings because JSON doesn't have them.
fn infinite() -> Value {
    json!({"enum": ["inf", "-inf", "Infinity", "-Infinity"]})
}

/// Builds the schema of a setting of a plug-in.
fn setting(field: &Field) -> Value {
    let mut schema = Map::new();
    let bounds = [
        ("minimum", field.minimum),
        ("maximum", field.maximum),
        ("exclusiveMinimum", field.above),
        ("exclusiveMaximum", field.below),
    ];
    schema.extend(bounds.into_iter().filter_map(|(key, bound)| Some((key.to_owned(), json!(bound?)))));
    let plain = match (&field.choices[..], field.type_.as_str()) {
        ([], "any") => None,
        ([], "identifier") => {
            Some(Kind::ALL.into_iter().map(|kind| json!({"$ref": format!("#/$defs/{kind}")})).collect())
        }
        ([], "number") if field.infinite => Some(vec![json!({"type": "number"}), infinite()]),
        ([], type_) => Some(vec![json!({"type": type_})]),
        (choices, _) => {
            let pattern = exactly(&text::alternatives(choices.iter().map(String::as_str), true));
            Some(vec![json!({"enum": choices}), json!({"type": "string", "pattern": pattern})])
        }
    };
    if let Some(mut any_of) = plain {
        if field.optional {
            any_of.push(json!({"type": "null"}));
        }
        any_of.push(json!({"$ref": "#/$defs/keras_value"}));
        schema.insert("anyOf".into(), any_of.into());
    }
    schema.insert("description".into(), json!(field.doc));
    schema.extend(field.default.as_ref().map(|default| ("default".to_owned(), default.clone())));
    schema.into()
}

/// Builds the schema of a value that Keras serializes as an object: an array, a tuple, a function or a dtype policy.
pub fn keras_value() -> Value {
    json!({
        "type": "object",
        "properties": {"class_name": {"enum": ["__tensor__", "__numpy__", "__tuple__", "DTypePolicy", "function"]}},
        "required": ["class_name"],
    })
}
