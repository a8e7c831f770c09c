//! Network configurations, read from and written to JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::column_embedding::embedded_width;
use super::fields::Fields;
use super::{ColumnEmbedding, LayerConfig};
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
        count = count.checked_add(layer.kind.count_parameters(&shape)?)?;
        shape = layer.kind.output_shape(shape)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
