//! Network configurations, read from and written to JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::column_embedding::embedded_width;
use super::fields::{Fields, unknown_name};
use super::{Activation, ColumnEmbedding, Distribution, Initializer};
use crate::identifier::Call;
use crate::{Error, Result};

/// The layers of a network: a trunk, and named outputs ("heads") that start at the end of the trunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkConfig {
    /// The columns of the inputs `[N, F]` that are replaced by trained vectors, before the trunk.
    pub embeddings: Vec<ColumnEmbedding>,
    /// The trunk. Without heads, its end is the only output.
    pub layers: Vec<LayerConfig>,
    /// The heads in order: the name of the output and its layers.
    pub outputs: Vec<(String, Vec<LayerConfig>)>,
}

/// The configuration of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// The name; `None` derives it from the kind, as in Keras ("dense", "dense_1").
    pub name: Option<String>,
    /// Whether the weights are trained.
    pub trainable: bool,
    /// The kind, with its settings.
    pub kind: LayerKind,
}

/// The kinds of layers of the embedded network, with the settings of Keras.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// `activation(x · kernel + bias)` along the last axis.
    Dense {
        /// The width of the output.
        units: usize,
        /// The activation of the output.
        activation: Activation,
        /// Whether a bias is added.
        use_bias: bool,
        /// The initialiser of the kernel `[inputs, units]`.
        kernel_initializer: Initializer,
        /// The initialiser of the bias `[units]`.
        bias_initializer: Initializer,
    },
    /// An activation as a layer.
    Activation(Activation),
    /// In training, sets a fraction `rate` of the values to 0 and scales the rest by 1 / (1 - rate).
    Dropout {
        /// The fraction, in 0..1.
        rate: f64,
        /// The seed; `None` derives it from the seed of the run.
        seed: Option<u64>,
    },
    /// Flattens all axes but the first into one.
    Flatten,
}

const CLASS_NAMES: [&str; 4] = ["Dense", "Activation", "Dropout", "Flatten"];

impl NetworkConfig {
    /// Reads `{"layers": [...], "outputs": {"name": [...]}}`. `outputs` may also be a list of `{"name": ..., "layers":
    /// [...]}`, whose order is independent of the JSON reader. `embeddings` is a list of `{"name": ..., "column": ...,
    /// "categories": ..., "dim": ...}`, and may be left out.
    ///
    /// # Errors
    /// Returns a usage error with the path of the invalid value (`outputs.digit[1].config.units`).
    pub fn from_json(value: &Value) -> Result<Self> {
        let mut fields = Fields::new(value, "")?;
        let embeddings = match fields.take("embeddings") {
            None => Vec::new(),
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .map(|(i, embedding)| ColumnEmbedding::from_json(embedding, format!("embeddings[{i}]")))
                .collect::<Result<_>>()?,
            Some(other) => return Err(fields.type_error("embeddings", "a list of columns", &other)),
        };
        let layers = match fields.take("layers") {
            None => Vec::new(),
            Some(layers) => layers_from_json(&layers, "layers")?,
        };
        let mut outputs: Vec<(String, Vec<LayerConfig>)> = Vec::new();
        match fields.take("outputs") {
            None => {}
            Some(Value::Object(map)) => {
                for (name, layers) in map {
                    let layers = layers_from_json(&layers, &format!("outputs.{name}"))?;
                    outputs.push((name, layers));
                }
            }
            Some(Value::Array(list)) => {
                for (i, head) in list.iter().enumerate() {
                    let mut head = Fields::new(head, format!("outputs[{i}]"))?;
                    let name = head.string("name")?;
                    let name =
                        name.ok_or_else(|| Error::usage("an output has no name").with("in", head.path("name")))?;
                    let layers = layers_from_json(&head.take("layers").unwrap_or(Value::Null), &head.path("layers"))?;
                    head.finish("an output")?;
                    outputs.push((name, layers));
                }
            }
            Some(other) => return Err(fields.type_error("outputs", "an object of output name and layers", &other)),
        }
        fields.finish("a network")?;
        Ok(NetworkConfig { embeddings, layers, outputs })
    }

    /// Returns how many numbers the parameters of the network have for samples of this shape, without creating it.
    /// `None` if that isn't a `usize`, or the samples have no columns for the embeddings.
    pub fn count_parameters(&self, input_shape: &[usize]) -> Option<usize> {
        let mut input_shape = input_shape.to_vec();
        let mut count = 0_usize;
        if !self.embeddings.is_empty() {
            for embedding in &self.embeddings {
                count = count.checked_add(embedding.categories.checked_mul(embedding.dim)?)?;
            }
            let [columns] = &mut input_shape[..] else { return None };
            *columns = embedded_width(&self.embeddings, *columns)?;
        }
        let (trunk, shape) = count_of(&self.layers, input_shape)?;
        count = count.checked_add(trunk)?;
        for (_, layers) in &self.outputs {
            count = count.checked_add(count_of(layers, shape.clone())?.0)?;
        }
        Some(count)
    }

    /// Writes JSON for [`NetworkConfig::from_json`], with the outputs as a list.
    pub fn to_json(&self) -> Value {
        let list = |layers: &[LayerConfig]| layers.iter().map(LayerConfig::to_json).collect::<Vec<_>>();
        let mut value = json!({ "layers": list(&self.layers) });
        if !self.embeddings.is_empty() {
            value["embeddings"] = self.embeddings.iter().map(ColumnEmbedding::to_json).collect();
        }
        if !self.outputs.is_empty() {
            value["outputs"] =
                self.outputs.iter().map(|(name, layers)| json!({ "name": name, "layers": list(layers) })).collect();
        }
        value
    }
}

/// Returns how many numbers the parameters of layers have, and the shape of the last layer's output.
fn count_of(layers: &[LayerConfig], mut shape: Vec<usize>) -> Option<(usize, Vec<usize>)> {
    let mut count = 0_usize;
    for layer in layers {
        match layer.kind {
            LayerKind::Dense { units, use_bias, .. } => {
                let inputs = shape.last().copied().unwrap_or(1);
                count = count.checked_add(inputs.checked_add(usize::from(use_bias))?.checked_mul(units)?)?;
                if let Some(last) = shape.last_mut() {
                    *last = units;
                }
            }
            LayerKind::Flatten => {
                let product = shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis));
                shape = vec![product?];
            }
            LayerKind::Activation(_) | LayerKind::Dropout { .. } => {}
        }
    }
    Some((count, shape))
}

impl Serialize for NetworkConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NetworkConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NetworkConfig::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn layers_from_json(value: &Value, path: &str) -> Result<Vec<LayerConfig>> {
    let Value::Array(layers) = value else {
        return Err(Error::usage("layers must be a list").with("in", path).with("found", value.to_string()));
    };
    layers.iter().enumerate().map(|(i, layer)| LayerConfig::from_json(layer, &format!("{path}[{i}]"))).collect()
}

impl LayerConfig {
    /// Creates a trained layer of this kind without a name.
    pub fn new(kind: LayerKind) -> Self {
        LayerConfig { name: None, trainable: true, kind }
    }

    /// Creates a dense layer with the defaults of Keras.
    pub fn dense(units: usize, activation: Activation) -> Self {
        Self::new(LayerKind::Dense {
            units,
            activation,
            use_bias: true,
            kernel_initializer: Distribution::GlorotUniform.into(),
            bias_initializer: Distribution::Zeros.into(),
        })
    }

    /// Reads `{"class_name": ..., "config": {...}}`, as serialized by Keras, or a class name. Positional arguments may
    /// be in "args", next to or inside `config`. `path` locates the layer in errors.
    ///
    /// # Errors
    /// Returns a usage error with the path for an unknown class, an unknown setting or a setting out of range.
    pub fn from_json(value: &Value, path: &str) -> Result<Self> {
        let mut outer = match value {
            Value::String(text) => {
                let call = Call::parse(text).map_err(|error| error.with("in", path))?;
                Fields::new(&call.into_value(), path)?
            }
            _ => Fields::new(value, path)?,
        };
        let class_name = outer.string("class_name")?;
        let class_name = class_name.ok_or_else(|| {
            Error::usage("a layer has no \"class_name\"").with("in", path).with("has", CLASS_NAMES.join(", "))
        })?;
        let config = outer.take("config").unwrap_or_else(|| Value::Object(Map::new()));
        let args = outer.take("args");
        outer.check_keras_package("layer", &class_name)?;
        outer.ignore(&["build_config"]);
        let config_path = outer.path("config");
        outer.finish("a layer")?;

        let mut fields = Fields::new(&config, config_path)?;
        let args = args.or(fields.take("args"));
        let positional: &[&'static str] = match class_name.as_str() {
            "Dense" => &["units", "activation"],
            "Activation" => &["activation"],
            "Dropout" => &["rate"],
            _ => &[],
        };
        fields.place_positional(args, positional)?;
        let kind = match class_name.as_str() {
            "Dense" => dense_from(&mut fields)?,
            "Activation" => LayerKind::Activation(activation_from(&mut fields)?),
            "Dropout" => dropout_from(&mut fields)?,
            "Flatten" => flatten_from(&mut fields)?,
            other => return Err(unknown_name("layer", other, path.to_owned(), CLASS_NAMES.into_iter())),
        };
        let name = fields.string("name")?;
        if name.as_ref().is_some_and(|name| name.is_empty() || name.contains('/')) {
            return Err(
                Error::usage("a layer's name must not be empty or have a \"/\"").with("in", fields.path("name"))
            );
        }
        let trainable = fields.flag("trainable", true)?;
        only_float32(&mut fields)?;
        fields.finish(&class_name)?;
        Ok(LayerConfig { name, trainable, kind })
    }

    /// Writes JSON for [`LayerConfig::from_json`].
    pub fn to_json(&self) -> Value {
        let (class_name, mut config) = match &self.kind {
            LayerKind::Dense { units, activation, use_bias, kernel_initializer, bias_initializer } => (
                "Dense",
                json!({
                    "units": units,
                    "activation": activation.name(),
                    "use_bias": use_bias,
                    "kernel_initializer": kernel_initializer.to_json(),
                    "bias_initializer": bias_initializer.to_json(),
                }),
            ),
            LayerKind::Activation(activation) => ("Activation", json!({ "activation": activation.name() })),
            LayerKind::Dropout { rate, seed } => ("Dropout", json!({ "rate": rate, "seed": seed })),
            LayerKind::Flatten => ("Flatten", json!({})),
        };
        if let Some(name) = &self.name {
            config["name"] = json!(name);
        }
        if !self.trainable {
            config["trainable"] = json!(false);
        }
        json!({ "class_name": class_name, "config": config })
    }
}

fn dense_from(fields: &mut Fields) -> Result<LayerKind> {
    let units = fields.whole("units")?.and_then(|units| usize::try_from(units).ok()).filter(|units| *units > 0);
    let units = units.ok_or_else(|| {
        Error::usage("Dense needs \"units\", a whole number above 0").with("in", fields.path("units"))
    })?;
    let kind = LayerKind::Dense {
        units,
        activation: activation_from(fields)?,
        use_bias: fields.flag("use_bias", true)?,
        kernel_initializer: Initializer::from_field(fields, "kernel_initializer", Distribution::GlorotUniform)?,
        bias_initializer: Initializer::from_field(fields, "bias_initializer", Distribution::Zeros)?,
    };
    fields.require_absent(&["kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint"])?;
    fields.require_absent(&["bias_constraint", "lora_rank", "lora_alpha", "quantization_config"])?;
    Ok(kind)
}

fn dropout_from(fields: &mut Fields) -> Result<LayerKind> {
    let rate = fields.number("rate")?.filter(|rate| (0.0..1.0).contains(rate));
    let rate = rate.ok_or_else(|| {
        Error::usage("Dropout needs \"rate\", a number from 0 up to but not including 1")
            .with("in", fields.path("rate"))
    })?;
    let seed = fields.whole("seed")?;
    fields.require_absent(&["noise_shape"])?;
    Ok(LayerKind::Dropout { rate, seed })
}

fn flatten_from(fields: &mut Fields) -> Result<LayerKind> {
    if let Some(format) = fields.string("data_format")?.filter(|format| format != "channels_last") {
        let message = format!("Flatten's \"data_format\" must be \"channels_last\", not \"{format}\"");
        return Err(Error::usage(message).with("in", fields.path("data_format")));
    }
    Ok(LayerKind::Flatten)
}

/// Reads `activation`: a name, null, or a function as serialized by Keras.
fn activation_from(fields: &mut Fields) -> Result<Activation> {
    let name = match fields.take("activation") {
        None => return Ok(Activation::Linear),
        Some(Value::String(name)) => name,
        Some(Value::Object(map)) if map.get("config").is_some_and(Value::is_string) => {
            let name = map["config"].as_str().unwrap_or_default().to_owned();
            Fields::new(&Value::Object(map), fields.path("activation"))?.check_keras_package("activation", &name)?;
            name
        }
        Some(other) => return Err(fields.type_error("activation", "an activation's name", &other)),
    };
    Activation::from_name(&name)
        .ok_or_else(|| unknown_name("activation", &name, fields.path("activation"), Activation::names()))
}

/// Reads `dtype`, which must be float32 in one of the two forms of Keras.
fn only_float32(fields: &mut Fields) -> Result<()> {
    match fields.take("dtype") {
        None => Ok(()),
        Some(dtype) if dtype == "float32" || dtype["config"]["name"] == "float32" => Ok(()),
        Some(other) => {
            Err(fields.type_error("dtype", "\"float32\", all that the embedded network computes in", &other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Keras 3 writes for `Dense(10, activation="softmax")`.
    fn keras_dense() -> Value {
        json!({
            "module": "keras.layers",
            "class_name": "Dense",
            "config": {
                "name": "dense",
                "trainable": true,
                "dtype": {
                    "module": "keras",
                    "class_name": "DTypePolicy",
                    "config": {"name": "float32"},
                    "registered_name": null,
                },
                "units": 10,
                "activation": "softmax",
                "use_bias": true,
                "kernel_initializer": {
                    "module": "keras.initializers",
                    "class_name": "GlorotUniform",
                    "config": {"seed": null},
                    "registered_name": null,
                },
                "bias_initializer": {
                    "module": "keras.initializers",
                    "class_name": "Zeros",
                    "config": {},
                    "registered_name": null,
                },
                "kernel_regularizer": null,
                "bias_regularizer": null,
                "kernel_constraint": null,
                "bias_constraint": null,
                "quantization_config": null,
            },
            "registered_name": null,
            "build_config": {"input_shape": [null, 64]},
        })
    }

    #[test]
    fn a_layer_as_keras_serializes_it_is_read() {
        let layer = LayerConfig::from_json(&keras_dense(), "layers[0]").expect("a layer");
        let want = LayerConfig { name: Some("dense".into()), ..LayerConfig::dense(10, Activation::Softmax) };
        assert_eq!(layer, want);
    }

    #[test]
    fn positional_arguments_are_assigned_in_order() {
        for value in [
            json!({"class_name": "Dense", "args": [10, "softmax"]}),
            json!({"class_name": "Dense", "config": {"args": [10], "activation": "softmax"}}),
        ] {
            let layer = LayerConfig::from_json(&value, "").expect("a layer");
            assert_eq!(layer, LayerConfig::dense(10, Activation::Softmax));
        }
    }

    #[test]
    fn configurations_round_trip() {
        let config = json!({
            "layers": [
                {"class_name": "Dense", "config": {
                    "units": 3, "activation": "swish", "use_bias": false, "trainable": false, "name": "first",
                    "kernel_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.2, "seed": 5}},
                    "bias_initializer": "ones",
                }},
                {"class_name": "Dropout", "config": {"rate": 0.25, "seed": 4}},
                "Flatten",
            ],
            "outputs": [
                {"name": "z", "layers": [{"class_name": "Activation", "config": {"activation": "relu"}}]},
                {"name": "a", "layers": [{"class_name": "Dense", "config": {"units": 1}}]},
            ],
        });
        let config = NetworkConfig::from_json(&config).expect("a network");
        assert_eq!(config.outputs[0].0, "z");
        let text = serde_json::to_string(&config).expect("JSON");
        assert_eq!(serde_json::from_str::<NetworkConfig>(&text).expect("a network"), config);
    }

    #[test]
    fn errors_report_the_path_and_similar_names() {
        for (layer, says) in [
            (
                json!({"class_name": "Dens", "config": {}}),
                "no layer is called \"Dens\"\n  in      layers[0]\n  near    Dense",
            ),
            (
                json!({"class_name": "Dense", "config": {"unit": 3, "units": 2}}),
                "Dense has no setting \"unit\"\n  in      layers[0].config.unit\n  near    units",
            ),
            (json!({"class_name": "Dense", "config": {"units": 0}}), "Dense needs \"units\""),
            (json!({"class_name": "Dense", "config": {"units": 2, "activation": "rellu"}}), "near    relu"),
            (json!({"class_name": "Dense", "config": {"units": 2, "kernel_initializer": "glorot"}}), "glorot_normal"),
            (
                json!({"class_name": "Dense", "config": {"units": 2, "kernel_regularizer": "l2"}}),
                "no \"kernel_regularizer\"",
            ),
            (json!({"class_name": "Dense", "config": {"units": 2, "dtype": "float16"}}), "must be \"float32\""),
            (json!({"class_name": "Dense", "args": [2, "relu", 3]}), "at most 2"),
            (json!({"class_name": "Dense", "args": [2], "config": {"units": 2}}), "given twice"),
            (json!({"class_name": "Dropout", "config": {"rate": 1.0}}), "Dropout needs \"rate\""),
            (json!({"config": {}}), "no \"class_name\""),
            (json!(3), "expected an object, found a number"),
        ] {
            let error = NetworkConfig::from_json(&json!({"layers": [layer]})).expect_err("a mistake").to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(
            NetworkConfig::from_json(&json!({"layer": []}))
                .expect_err("a mistake")
                .to_string()
                .contains("near    layers")
        );
    }
}
