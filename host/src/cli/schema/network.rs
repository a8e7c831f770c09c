//! The schema of `[network]`.

use serde_json::{Map, Value, json};

use super::text::{self, Keys};
use crate::network::{Activation, Distribution};

/// A layer: its class, the keys of its positional values, and all keys with the types of their values.
struct Layer {
    class: &'static str,
    positional: &'static [&'static str],
    keys: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy)]
enum Type {
    /// An integer of at least this.
    Whole(u64),
    /// A number in [0, 1).
    Share,
    /// A number in [0, 1].
    Momentum,
    /// A number of at least 0.
    Least0,
    /// A number, or one for each column.
    Numbers,
    /// The last axis: -1.
    LastAxis,
    /// Keras writes it, and only this value is supported.
    False,
    Flag,
    Activation,
    Initializer,
    Text(&'static [&'static str]),
    Any,
    /// A key of Keras that isn't supported: its value must be null.
    Nothing,
}

const LAYERS: [Layer; 9] = [
    Layer {
        class: "Dense",
        positional: &["units", "activation"],
        keys: &[
            ("units", Type::Whole(1)),
            ("activation", Type::Activation),
            ("use_bias", Type::Flag),
            ("kernel_initializer", Type::Initializer),
            ("bias_initializer", Type::Initializer),
            ("kernel_regularizer", Type::Nothing),
            ("bias_regularizer", Type::Nothing),
            ("activity_regularizer", Type::Nothing),
            ("kernel_constraint", Type::Nothing),
            ("bias_constraint", Type::Nothing),
            ("lora_rank", Type::Nothing),
            ("lora_alpha", Type::Nothing),
            ("quantization_config", Type::Nothing),
        ],
    },
    Layer { class: "Activation", positional: &["activation"], keys: &[("activation", Type::Activation)] },
    Layer {
        class: "Dropout",
        positional: &["rate"],
        keys: &[("rate", Type::Share), ("seed", Type::Whole(0)), ("noise_shape", Type::Nothing)],
    },
    Layer { class: "Flatten", positional: &[], keys: &[("data_format", Type::Text(&["channels_last"]))] },
    Layer {
        class: "Embedding",
        positional: &["input_dim", "output_dim", "embeddings_initializer"],
        keys: &[
            ("input_dim", Type::Whole(1)),
            ("output_dim", Type::Whole(1)),
            ("embeddings_initializer", Type::Initializer),
            ("mask_zero", Type::False),
            ("embeddings_regularizer", Type::Nothing),
            ("activity_regularizer", Type::Nothing),
            ("embeddings_constraint", Type::Nothing),
            ("weights", Type::Nothing),
            ("lora_rank", Type::Nothing),
            ("lora_alpha", Type::Nothing),
            ("quantization_config", Type::Nothing),
        ],
    },
    Layer {
        class: "BatchNormalization",
        positional: &["axis", "momentum", "epsilon", "center", "scale"],
        keys: &[
            ("axis", Type::LastAxis),
            ("momentum", Type::Momentum),
            ("epsilon", Type::Least0),
            ("center", Type::Flag),
            ("scale", Type::Flag),
            ("beta_initializer", Type::Initializer),
            ("gamma_initializer", Type::Initializer),
            ("moving_mean_initializer", Type::Initializer),
            ("moving_variance_initializer", Type::Initializer),
            ("beta_regularizer", Type::Nothing),
            ("gamma_regularizer", Type::Nothing),
            ("beta_constraint", Type::Nothing),
            ("gamma_constraint", Type::Nothing),
            ("renorm", Type::False),
            ("synchronized", Type::False),
            ("renorm_clipping", Type::Any),
            ("renorm_momentum", Type::Any),
        ],
    },
    Layer {
        class: "LayerNormalization",
        positional: &["axis", "epsilon", "center", "scale"],
        keys: &[
            ("axis", Type::LastAxis),
            ("epsilon", Type::Least0),
            ("center", Type::Flag),
            ("scale", Type::Flag),
            ("beta_initializer", Type::Initializer),
            ("gamma_initializer", Type::Initializer),
            ("beta_regularizer", Type::Nothing),
            ("gamma_regularizer", Type::Nothing),
            ("beta_constraint", Type::Nothing),
            ("gamma_constraint", Type::Nothing),
            ("rms_scaling", Type::False),
        ],
    },
    Layer {
        class: "Rescaling",
        positional: &["scale", "offset"],
        keys: &[("scale", Type::Numbers), ("offset", Type::Numbers)],
    },
    Layer { class: "Add", positional: &["from"], keys: &[("from", Type::Text(&[]))] },
];

/// The keys that every layer has.
const COMMON: [(&str, Type); 3] = [("name", Type::Text(&[])), ("trainable", Type::Flag), ("dtype", Type::Any)];

impl Layer {
    fn keys(&self) -> impl Iterator<Item = (&'static str, Type)> {
        self.keys.iter().copied().chain(COMMON)
    }

    fn pattern(&self) -> String {
        let pattern_of = |key: &str| {
            self.keys().find(|(name, _)| *name == key).map_or_else(text::value, |(_, type_)| type_.pattern())
        };
        let positional: Vec<String> = self.positional.iter().map(|key| or_null(&pattern_of(key))).collect();
        let keys = self.keys().map(|(name, type_)| Keys { names: vec![name.into()], value: or_null(&type_.pattern()) });
        text::whole(&text::call(self.class, &positional, &keys.collect::<Vec<_>>()))
    }

    fn config(&self) -> Value {
        let mut properties: Map<String, Value> = self
            .keys()
            .map(|(name, type_)| (name.to_owned(), json!({"anyOf": [type_.schema(), {"type": "null"}]})))
            .collect();
        properties.insert("args".into(), json!({"type": "array", "maxItems": self.positional.len()}));
        json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
    }
}

fn or_null(pattern: &str) -> String {
    format!("(?:{pattern}|{})", text::NOTHING)
}

impl Type {
    fn pattern(self) -> String {
        match self {
            Type::Whole(_) | Type::Share | Type::Momentum | Type::Least0 | Type::LastAxis => text::FINITE.into(),
            Type::False => text::BOOLEAN.into(),
            Type::Flag => text::BOOLEAN.into(),
            Type::Activation => text::words(Activation::names(), false),
            Type::Initializer => {
                let names = text::words(initializers().iter().map(String::as_str), false);
                let keys = ["seed", "mean", "stddev", "minval", "maxval", "input_axes", "output_axes"];
                let keys = Keys { names: keys.map(str::to_owned).to_vec(), value: or_null(text::FINITE) };
                text::call(&names, &[], &[keys])
            }
            Type::Text([]) | Type::Any | Type::Numbers => text::value(),
            Type::Text(names) => text::words(names.iter().copied(), false),
            Type::Nothing => text::NOTHING.into(),
        }
    }

    fn schema(self) -> Value {
        match self {
            Type::Whole(least) => json!({"type": "integer", "minimum": least}),
            Type::Share => json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
            Type::Momentum => json!({"type": "number", "minimum": 0, "maximum": 1}),
            Type::Least0 => json!({"type": "number", "minimum": 0}),
            Type::Numbers => {
                json!({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]})
            }
            Type::LastAxis => json!({"enum": [-1, [-1]]}),
            Type::False => json!({"const": false}),
            Type::Flag => json!({"type": "boolean"}),
            Type::Activation => json!({"$ref": "#/$defs/activation"}),
            Type::Initializer => json!({"$ref": "#/$defs/initializer"}),
            Type::Text([]) => json!({"type": "string"}),
            Type::Text(names) => json!({"enum": names}),
            Type::Any => json!({}),
            Type::Nothing => json!({"type": "null"}),
        }
    }
}

/// Returns the names and class names of initialisers.
fn initializers() -> Vec<String> {
    let names = Distribution::names().filter_map(|name| Some([name, Distribution::from_name(name)?.class_name()]));
    names.flatten().map(str::to_owned).collect()
}

/// Builds the definitions that [`table`] refers to.
pub fn definitions() -> Vec<(String, Value)> {
    let texts = LAYERS.iter().map(|layer| json!({"type": "string", "pattern": layer.pattern()}));
    let settings: Vec<Value> = LAYERS
        .iter()
        .map(|layer| {
            json!({
                "if": {"properties": {"class_name": {"const": layer.class}}, "required": ["class_name"]},
                "then": {"properties": {"config": layer.config(), "args": {"type": "array", "maxItems": layer.positional.len()}}},
            })
        })
        .collect();
    let classes: Vec<&str> = LAYERS.iter().map(|layer| layer.class).collect();
    let layer = json!({"anyOf": [
        {"anyOf": texts.collect::<Vec<_>>()},
        {
            "type": "object",
            "properties": {
                "class_name": {"enum": classes}, "config": {}, "args": {},
                "module": {}, "registered_name": {}, "build_config": {},
            },
            "required": ["class_name"],
            "additionalProperties": false,
            "allOf": settings,
        },
    ]});
    let activations: Vec<&str> = Activation::names().collect();
    let activation = json!({"anyOf": [
        {"enum": activations},
        {"type": "object", "properties": {"config": {"enum": activations}}, "required": ["config"]},
    ]});
    let number = json!({"type": ["number", "null"]});
    let initializer = json!({"anyOf": [
        {"enum": initializers()},
        {
            "type": "object",
            "properties": {
                "class_name": {"enum": initializers()},
                "config": {
                    "type": ["object", "null"],
                    "properties": {
                        "seed": {"type": ["integer", "null"]}, "mean": number, "stddev": number, "minval": number, "maxval": number,
                        "input_axes": {"type": "null"}, "output_axes": {"type": "null"},
                    },
                    "additionalProperties": false,
                },
                "module": {}, "registered_name": {},
            },
            "required": ["class_name"],
            "additionalProperties": false,
        },
    ]});
    let named = [("layer", layer), ("activation", activation), ("initializer", initializer)];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Builds the schema of the table `[network]`.
pub fn table() -> Value {
    let layers = json!({"type": "array", "items": {"$ref": "#/$defs/layer"}});
    let head = json!({
        "type": "object", "required": ["name", "layers"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "layers": layers},
    });
    let whole = |least: u64| json!({"type": "integer", "minimum": least});
    let embedding = json!({
        "type": "object", "required": ["name", "column", "categories", "dim"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "column": whole(0), "categories": whole(1), "dim": whole(1)},
    });
    json!({
        "type": "object",
        "properties": {
            "embeddings": {"type": "array", "items": embedding},
            "layers": layers,
            "outputs": {"anyOf": [
                {"type": "object", "additionalProperties": layers},
                {"type": "array", "items": head},
            ]},
        },
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::LayerConfig;

    /// The settings that layers need.
    fn required(class: &str) -> Value {
        let scale = if class == "Rescaling" { json!(2) } else { json!(true) };
        json!({
            "units": 3, "rate": 0.5, "activation": "relu", "input_dim": 4, "output_dim": 2, "from": "dense", "scale": scale,
        })
    }

    #[test]
    fn the_schema_has_the_keys_that_layers_read() {
        for layer in LAYERS {
            for (key, type_) in layer.keys() {
                let value = match type_ {
                    Type::Whole(_) => json!(3),
                    Type::Share | Type::Momentum | Type::Least0 => json!(0.5),
                    Type::Numbers => json!([0.5]),
                    Type::LastAxis => json!(-1),
                    Type::False => json!(false),
                    Type::Flag => json!(true),
                    Type::Activation => json!("relu"),
                    Type::Initializer => json!("HeNormal"),
                    Type::Text(names) => json!(names.first().unwrap_or(&"x")),
                    Type::Any | Type::Nothing => Value::Null,
                };
                let mut config = required(layer.class);
                config.as_object_mut().expect("an object").retain(|key, _| layer.keys().any(|(name, _)| name == key));
                config[key] = value;
                LayerConfig::from_json(&json!({"class_name": layer.class, "config": config}), "layer")
                    .unwrap_or_else(|error| panic!("{error}"));
            }
            let mut config = required(layer.class);
            config["no"] = json!(1);
            let error = LayerConfig::from_json(&json!({"class_name": layer.class, "config": config}), "l");
            let error = error.expect_err("no such key").to_string();
            let has = error.lines().find_map(|line| line.trim().strip_prefix("has")).expect("it says what there is");
            for key in has.split(',').map(str::trim).filter(|key| *key != "args") {
                assert!(layer.keys().any(|(name, _)| name == key), "{} has {key}", layer.class);
            }
        }
    }
}
