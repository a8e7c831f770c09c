//! The configuration of a layer, read from and written to JSON.

use serde_json::{Map, Value, json};

use super::fields::{Fields, unknown_name};
use super::layer_fields::{
    activation_from, add_from, batch_normalization_from, dense_from, dropout_from, embedding_from, flatten_from,
    layer_normalization_from, only_float32, rescaling_from,
};
use super::layer_kind::{CLASS_NAMES, LayerKind};
use super::{Activation, Distribution, Initializer};
use crate::identifier::Call;
use crate::{Error, Result};

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
            "Embedding" => &["input_dim", "output_dim", "embeddings_initializer"],
            "BatchNormalization" => &["axis", "momentum", "epsilon", "center", "scale"],
            "LayerNormalization" => &["axis", "epsilon", "center", "scale"],
            "Rescaling" => &["scale", "offset"],
            "Add" => &["from"],
            _ => &[],
        };
        fields.place_positional(args, positional)?;
        let kind = match class_name.as_str() {
            "Dense" => dense_from(&mut fields)?,
            "Activation" => LayerKind::Activation(activation_from(&mut fields)?),
            "Dropout" => dropout_from(&mut fields)?,
            "Flatten" => flatten_from(&mut fields)?,
            "Embedding" => embedding_from(&mut fields)?,
            "BatchNormalization" => batch_normalization_from(&mut fields)?,
            "LayerNormalization" => layer_normalization_from(&mut fields)?,
            "Rescaling" => rescaling_from(&mut fields)?,
            "Add" => add_from(&mut fields)?,
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
        let mut config = match &self.kind {
            LayerKind::Dense { units, activation, use_bias, kernel_initializer, bias_initializer } => {
                json!({
                    "units": units,
                    "activation": activation.name(),
                    "use_bias": use_bias,
                    "kernel_initializer": kernel_initializer.to_json(),
                    "bias_initializer": bias_initializer.to_json(),
                })
            }
            LayerKind::Activation(activation) => json!({ "activation": activation.name() }),
            LayerKind::Dropout { rate, seed } => json!({ "rate": rate, "seed": seed }),
            LayerKind::Flatten => json!({}),
            LayerKind::Embedding { input_dim, output_dim, embeddings_initializer } => json!({
                "input_dim": input_dim,
                "output_dim": output_dim,
                "embeddings_initializer": embeddings_initializer.to_json(),
            }),
            LayerKind::BatchNormalization {
                momentum,
                epsilon,
                beta_initializer,
                gamma_initializer,
                moving_mean_initializer,
                moving_variance_initializer,
            } => {
                let mut config = affine_to_json(*epsilon, beta_initializer, gamma_initializer);
                config["momentum"] = json!(momentum);
                config["moving_mean_initializer"] = moving_mean_initializer.to_json();
                config["moving_variance_initializer"] = moving_variance_initializer.to_json();
                config
            }
            LayerKind::LayerNormalization { epsilon, beta_initializer, gamma_initializer } => {
                affine_to_json(*epsilon, beta_initializer, gamma_initializer)
            }
            LayerKind::Rescaling { scale, offset } => {
                let numbers = |numbers: &[f64]| if let [number] = numbers { json!(number) } else { json!(numbers) };
                json!({ "scale": numbers(scale), "offset": numbers(offset) })
            }
            LayerKind::Add { from } => json!({ "from": from }),
        };
        if let Some(name) = &self.name {
            config["name"] = json!(name);
        }
        if !self.trainable {
            config["trainable"] = json!(false);
        }
        json!({ "class_name": self.kind.class_name(), "config": config })
    }
}

/// Writes the settings of a normalisation.
fn affine_to_json(epsilon: f64, beta: &Option<Initializer>, gamma: &Option<Initializer>) -> Value {
    let mut config = json!({ "epsilon": epsilon, "center": beta.is_some(), "scale": gamma.is_some() });
    for (key, initializer) in [("beta_initializer", beta), ("gamma_initializer", gamma)] {
        if let Some(initializer) = initializer {
            config[key] = initializer.to_json();
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkConfig;

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
