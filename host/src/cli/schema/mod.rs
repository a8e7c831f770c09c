//! `plugfit schema`: prints the JSON Schema of a run file.
//!
//! The schema is written by hand, because only three small tables are read by serde alone: a derive with the bounds of
//! each field would be longer.

mod callbacks;
mod component;
mod network;
mod text;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Common, absolute, plugins, print};
use crate::plugin::Kind;
use crate::train::RunFile;
use crate::{Host, Result};

#[derive(Args)]
pub struct Options {
    /// A run file, whose plug-ins are included
    #[arg(value_parser = absolute())]
    file: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.file.as_deref().map(RunFile::read).transpose()?;
    let host = plugins::host_of_manifests(common, file.as_ref())?;
    plugins::warn_of_refusals(&host, common);
    print(&format!("{:#}\n", schema(&host)));
    Ok(())
}

/// Builds the JSON Schema of a run file, with the components of this host.
fn schema(host: &Host) -> Value {
    let nested = component::Nested::of(host);
    let mut definitions: Map<String, Value> = network::definitions().into_iter().collect();
    for kind in Kind::ALL {
        definitions.insert(kind.to_string(), component::identifier(host, kind, &nested));
    }
    for kind in [Kind::Loss, Kind::Metric] {
        definitions.insert(kind.plural().into(), per_output(kind));
    }
    definitions.insert("callback".into(), callbacks::definition(nested.schedule()));
    definitions.insert("keras_value".into(), component::keras_value());
    let reference = |name: &str| json!({"$ref": format!("#/$defs/{name}")});
    let files = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let number = json!({"type": "number"});
    let missing = json!({
        "description": "Missing values are filled, with an indicator, or an error",
        "enum": ["fill", "error"],
    });
    let treatment = json!({"enum": ["standard", "minmax", "none", "one_hot", "embed", "cyclic", "drop"]});
    let column = json!({"anyOf": [
        treatment,
        {
            "type": "object", "additionalProperties": false,
            "properties": {"as": treatment, "embed": {"type": "integer", "minimum": 1}, "missing": missing},
        },
    ]});
    let data = json!({
        "file": files, "train": files,
        "validation": {
            "description": "The validation files, or how samples of the only files are split off",
            "anyOf": [files, {
                "type": "object", "required": ["fraction"], "additionalProperties": false,
                "properties": {
                    "fraction": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                    "how": {"enum": ["stratified", "shuffled", "grouped", "last"]},
                    "by": {"type": "string", "description": "The column of the groups"},
                    "seed": {"type": "integer", "minimum": 0},
                },
            }],
        },
        "target": {
            "description": "The column to predict, several of them, or a table from outputs to columns",
            "anyOf": [files, {"type": "object", "additionalProperties": files}],
        },
        "inputs": {
            "description": "The input columns, or a table: the network's under x, and inputs of losses and metrics by name",
            "anyOf": [files, {"type": "object", "additionalProperties": files}],
        },
        "sample_weight": {"type": "string"},
        "in_memory": {"type": "boolean"}, "scale": number,
        "numbers": {"description": "How numbers of a table are scaled", "enum": ["standard", "minmax", "none"]},
        "categories": {"description": "How words of a table are encoded", "enum": ["auto", "one_hot", "embed", "drop"]},
        "dates": {"description": "How dates of a table are encoded", "enum": ["cyclic", "drop"]},
        "missing": missing,
        "columns": {
            "description": "How single columns of a table are encoded",
            "type": "object", "additionalProperties": column,
        },
        "validation_split": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    });
    let positive = json!({"type": "number", "minimum": 0});
    let group = json!({
        "type": "object", "required": ["match"], "additionalProperties": false,
        "properties": {
            "match": {"type": "string", "description": "The parameters' paths, such as dense_1/*"},
            "learning_rate_factor": positive, "weight_decay": positive, "trainable": {"type": "boolean"},
        },
    });
    let compile = json!({
        "optimizer": reference("optimizer"), "loss": reference("losses"),
        "loss_weights": {
            "description": "The factor of each loss in the total",
            "anyOf": [
                {"type": ["number", "null"]},
                {"type": "array", "items": number},
                {"type": "object", "properties": {"class_name": {"const": "__tuple__"}, "items": {"type": "array"}}, "required": ["class_name", "items"]},
                {"type": "object", "additionalProperties": number},
            ],
        },
        "metrics": reference("metrics"), "weighted_metrics": reference("metrics"),
        "groups": {"type": ["array", "null"], "items": group},
        "keras": {"type": "string", "description": "A .keras archive, whose compile_config provides the keys that aren't given"},
        // Keras's settings of how it runs a model.
        "run_eagerly": {}, "steps_per_execution": {}, "jit_compile": {}, "auto_scale_loss": {},
    });
    let whole = json!({"type": "integer", "minimum": 1});
    let count = json!({"type": "integer", "minimum": 0});
    let fit = json!({
        "epochs": count, "initial_epoch": count, "steps_per_epoch": whole, "batch_size": whole, "seed": count,
        "shuffle": {"type": "boolean"}, "validation_freq": whole,
        "class_weight": {"anyOf": [{"const": "balanced"}, {"type": "object", "additionalProperties": positive}]},
        "callbacks": {"type": "array", "items": reference("callback")},
    });
    let table = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of plugfit",
        "type": "object",
        "properties": {
            "plugins": files,
            "require_signed": {"type": "boolean", "description": "Load no plug-in that isn't signed with a trusted key"},
            "data": table(data),
            "network": network::table(),
            "compile": table(compile),
            "fit": table(fit),
        },
        "additionalProperties": false,
        "required": ["data"],
        // Without both, they follow from the target.
        "dependentRequired": {"network": ["compile"], "compile": ["network"]},
        "$defs": definitions,
    })
}

/// Builds the schema of one component, null, a list, or a table by output name.
fn per_output(kind: Kind) -> Value {
    let own = json!({"$ref": format!("#/$defs/{}", kind.plural())});
    json!({"anyOf": [
        {"$ref": format!("#/$defs/{kind}")},
        {"type": "null"},
        {"type": "array", "items": own},
        {"type": "object", "not": {"required": ["class_name"]}, "additionalProperties": own},
        // A tuple as Keras serializes it.
        {
            "type": "object", "required": ["class_name", "items"],
            "properties": {"class_name": {"const": "__tuple__"}, "items": {"type": "array", "items": own}},
        },
    ]})
}
