//! `plugfit schema`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Common, plugins, print};
use crate::component::base_keys;
use crate::plugin::{Component, Field, Kind};
use crate::train::RunFile;
use crate::{Host, Result};

#[derive(Args)]
pub struct Options {
    /// A run's file, whose plug-ins are loaded for it
    file: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.file.as_deref().map(RunFile::read).transpose()?;
    let host = plugins::shown_host(common, file.as_ref())?;
    plugins::warn_of_refusals(&host, common);
    print(&format!("{:#}\n", schema(&host)));
    Ok(())
}

/// The JSON Schema of a run's file, with the components that this host has.
fn schema(host: &Host) -> Value {
    let mut definitions = Map::new();
    for kind in Kind::ALL {
        let components: Vec<Component> = host.components(kind).into_iter().map(|(_, component)| component).collect();
        // A loss's name among the metrics is the mean of its values.
        let losses = if kind == Kind::Metric { host.components(Kind::Loss) } else { Vec::new() };
        let losses: Vec<Component> = losses.into_iter().map(|(_, component)| component).collect();
        definitions.insert(kind.to_string(), identifier(kind, &components, &losses));
    }
    let reference = |name: &str| json!({"$ref": format!("#/$defs/{name}")});
    let nothing = json!({"type": "null"});
    // A single one, a list, or a table by output name.
    let per_output = |kind: &str| {
        let one = json!({"anyOf": [reference(kind), nothing]});
        let many = json!({"type": "array", "items": one});
        let each = json!({"anyOf": [one, many]});
        json!({"anyOf": [one, {"type": "array", "items": each}, {"type": "object", "additionalProperties": each}]})
    };
    let files = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let number = json!({"type": "number"});
    let data = json!({
        "file": files, "train": files, "validation": files,
        "target": {"description": "The column to predict, several of them, or a table from outputs to columns"},
        "inputs": files, "sample_weight": {"type": "string"},
        "in_memory": {"type": "boolean"}, "scale": number, "validation_split": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    });
    let metrics = per_output("metric");
    let positive = json!({"type": "number", "minimum": 0});
    let group = json!({
        "type": "object", "required": ["match"], "additionalProperties": false,
        "properties": {
            "match": {"type": "string", "description": "The parameters' paths, such as dense_1/*"},
            "learning_rate_factor": positive, "weight_decay": positive, "trainable": {"type": "boolean"},
        },
    });
    let compile = json!({
        "optimizer": reference("optimizer"), "loss": per_output("loss"),
        "loss_weights": {"description": "By what each loss is multiplied in the total"},
        "metrics": metrics, "weighted_metrics": metrics, "groups": {"type": "array", "items": group},
        "keras": {"type": "string", "description": "A .keras archive, whose compile_config stands for what isn't said"},
    });
    let whole = json!({"type": "integer", "minimum": 1});
    let fit = json!({
        "epochs": whole, "initial_epoch": {"type": "integer", "minimum": 0}, "steps_per_epoch": whole, "batch_size": whole, "seed": {"type": "integer", "minimum": 0}, "shuffle": {"type": "boolean"},
        "validation_freq": whole, "class_weight": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
        "callbacks": {"type": "array", "items": {"type": ["string", "object"]}},
    });
    let layers = json!({"type": "array", "items": {"type": ["string", "object"]}});
    let table = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of plugfit",
        "type": "object",
        "properties": {
            "plugins": files,
            "require_signed": {"type": "boolean", "description": "Load no plug-in that isn't signed with a trusted key"},
            "data": table(data),
            "network": {"type": "object", "properties": {"layers": layers}},
            "compile": table(compile),
            "fit": table(fit),
        },
        "additionalProperties": false,
        "required": ["data", "network", "compile"],
        "$defs": definitions,
    })
}

/// A name, a call, a function of a library, or an object with a class name and its settings.
fn identifier(kind: Kind, components: &[Component], others: &[Component]) -> Value {
    let mut names: Vec<&str> = Vec::new();
    for component in components.iter().chain(others) {
        names.push(&component.name);
        names.extend(component.aliases.iter().map(String::as_str));
    }
    if kind == Kind::Metric {
        names.extend(["accuracy", "acc", "crossentropy", "ce"]);
    }
    names.sort_unstable();
    names.dedup();
    let settings = components.iter().map(|component| {
        json!({
            "if": {"properties": {"class_name": {"const": component.name}}},
            "then": {"properties": {"config": config(kind, component)}},
        })
    });
    let classes: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    json!({"anyOf": [
        {"enum": names},
        {"type": "string", "pattern": "[(>#_]", "description": "Name(key=value), plug-in>Name, or library#function"},
        {
            "type": "object",
            "properties": {"class_name": {"examples": classes}, "config": {"type": "object"}},
            "required": ["class_name"],
            "allOf": settings.collect::<Vec<Value>>(),
        },
    ]})
}

fn config(kind: Kind, component: &Component) -> Value {
    let mut properties: Map<String, Value> =
        component.fields.iter().map(|field| (field.name.clone(), setting(field))).collect();
    for (name, _, _, doc) in base_keys(kind) {
        properties.entry(*name).or_insert_with(|| json!({"description": doc}));
    }
    json!({"type": "object", "description": component.doc, "properties": properties})
}

fn setting(field: &Field) -> Value {
    let mut schema = Map::from_iter([("description".to_owned(), json!(field.doc))]);
    if !field.choices.is_empty() {
        let mut choices: Vec<Value> = field.choices.iter().map(|choice| json!(choice)).collect();
        choices.extend(field.optional.then_some(Value::Null));
        schema.insert("enum".into(), choices.into());
    } else if !matches!(field.type_.as_str(), "any" | "identifier") {
        let types: Vec<&str> = [field.type_.as_str()].into_iter().chain(field.optional.then_some("null")).collect();
        schema.insert("type".into(), json!(types));
    }
    let bounds = [
        ("minimum", field.minimum),
        ("maximum", field.maximum),
        ("exclusiveMinimum", field.above),
        ("exclusiveMaximum", field.below),
    ];
    schema.extend(bounds.into_iter().filter_map(|(key, bound)| Some((key.to_owned(), json!(bound?)))));
    schema.extend(field.default.as_ref().map(|default| ("default".to_owned(), default.clone())));
    schema.into()
}
