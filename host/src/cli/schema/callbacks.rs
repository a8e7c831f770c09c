//! The schema of `fit.callbacks`.

use serde_json::{Map, Value, json};

use super::component::serialized;
use super::text::{self, Keys};
use crate::train::callbacks;

/// Builds the schema of a callback. Settings have the types of their defaults.
pub fn definition(schedule: &str) -> Value {
    let classes = callbacks::defaults();
    let mut texts = Vec::new();
    let mut settings = Vec::new();
    for (class, defaults) in &classes {
        let pattern = |(key, default): (&String, &Value)| Keys {
            names: vec![key.clone()],
            value: pattern(key, default, schedule),
        };
        let keys: Vec<Keys> = defaults.iter().map(pattern).collect();
        texts.push(json!({"type": "string", "pattern": text::whole(&text::call(class, &[], &keys))}));
        let properties: Map<String, Value> =
            defaults.iter().map(|(key, default)| (key.clone(), setting(key, default))).collect();
        settings.push(json!({
            "if": {"properties": {"class_name": {"const": class}}, "required": ["class_name"]},
            "then": {"properties": {"config": {"type": ["object", "null"], "properties": properties, "additionalProperties": false}}},
        }));
    }
    let names: Vec<&str> = classes.iter().map(|(class, _)| *class).collect();
    json!({"anyOf": [
        {"enum": names},
        {"anyOf": texts},
        {
            "type": "object", "properties": serialized(json!({"enum": names})), "required": ["class_name"],
            "additionalProperties": false, "allOf": settings,
        },
    ]})
}

const MODES: [&str; 3] = ["auto", "min", "max"];

fn pattern(key: &str, default: &Value, schedule: &str) -> String {
    match default {
        _ if key == "mode" => text::words(MODES, false),
        _ if key == "schedule" => schedule.to_owned(),
        Value::Number(_) => text::FINITE.into(),
        Value::Bool(_) => text::BOOLEAN.into(),
        Value::Null => format!("(?:{}|{})", text::FINITE, text::NOTHING),
        _ => text::value(),
    }
}

fn setting(key: &str, default: &Value) -> Value {
    let mut schema = match default {
        _ if key == "mode" => json!({"enum": MODES}),
        _ if key == "schedule" => return json!({"$ref": "#/$defs/schedule"}),
        Value::Number(number) if number.is_u64() => json!({"type": "integer", "minimum": 0}),
        Value::Number(_) => json!({"type": "number"}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Null => json!({"type": ["number", "null"]}),
        _ => json!({"type": "string"}),
    };
    schema["default"] = default.clone();
    schema
}
