//! Reads the settings of each kind of layer.

use serde_json::Value;

use super::fields::{Fields, unknown_name};
use super::layer_kind::LayerKind;
use super::{Activation, Distribution, Initializer};
use crate::{Error, Result};

/// Reads the settings of a dense layer.
pub fn dense_from(fields: &mut Fields) -> Result<LayerKind> {
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

/// Reads the settings of dropout.
pub fn dropout_from(fields: &mut Fields) -> Result<LayerKind> {
    let rate = fields.number("rate")?.filter(|rate| (0.0..1.0).contains(rate));
    let rate = rate.ok_or_else(|| {
        Error::usage("Dropout needs \"rate\", a number from 0 up to but not including 1")
            .with("in", fields.path("rate"))
    })?;
    let seed = fields.whole("seed")?;
    fields.require_absent(&["noise_shape"])?;
    Ok(LayerKind::Dropout { rate, seed })
}

/// Reads the settings of `Flatten`.
pub fn flatten_from(fields: &mut Fields) -> Result<LayerKind> {
    if let Some(format) = fields.string("data_format")?.filter(|format| format != "channels_last") {
        let message = format!("Flatten's \"data_format\" must be \"channels_last\", not \"{format}\"");
        return Err(Error::usage(message).with("in", fields.path("data_format")));
    }
    Ok(LayerKind::Flatten)
}

/// Reads `activation`: a name, null, or a function as serialized by Keras.
pub fn activation_from(fields: &mut Fields) -> Result<Activation> {
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
pub fn only_float32(fields: &mut Fields) -> Result<()> {
    match fields.take("dtype") {
        None => Ok(()),
        Some(dtype) if dtype == "float32" || dtype["config"]["name"] == "float32" => Ok(()),
        Some(other) => {
            Err(fields.type_error("dtype", "\"float32\", all that the embedded network computes in", &other))
        }
    }
}

/// Reads the settings of an embedding.
pub fn embedding_from(fields: &mut Fields) -> Result<LayerKind> {
    let mut size = |key: &'static str| {
        let size = fields.whole(key)?.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
        size.ok_or_else(|| {
            Error::usage(format!("Embedding needs \"{key}\", a whole number above 0")).with("in", fields.path(key))
        })
    };
    let (input_dim, output_dim) = (size("input_dim")?, size("output_dim")?);
    if fields.flag("mask_zero", false)? {
        return Err(Error::usage("the embedded network has no masks: \"mask_zero\" must be false")
            .with("in", fields.path("mask_zero")));
    }
    let uniform = Distribution::RandomUniform { minval: -0.05, maxval: 0.05 };
    let embeddings_initializer = Initializer::from_field(fields, "embeddings_initializer", uniform)?;
    fields.require_absent(&["embeddings_regularizer", "activity_regularizer", "embeddings_constraint", "weights"])?;
    fields.require_absent(&["lora_rank", "lora_alpha", "quantization_config"])?;
    Ok(LayerKind::Embedding { input_dim, output_dim, embeddings_initializer })
}

/// Reads the settings of a batch normalisation.
pub fn batch_normalization_from(fields: &mut Fields) -> Result<LayerKind> {
    let (epsilon, beta_initializer, gamma_initializer) = normalization_from(fields, "BatchNormalization")?;
    let momentum = fields.number("momentum")?.unwrap_or(0.99);
    if !(0.0..=1.0).contains(&momentum) {
        return Err(Error::usage("BatchNormalization's \"momentum\" must be a number from 0 to 1")
            .with("in", fields.path("momentum"))
            .with("found", momentum.to_string()));
    }
    let kind = LayerKind::BatchNormalization {
        momentum,
        epsilon,
        beta_initializer,
        gamma_initializer,
        moving_mean_initializer: Initializer::from_field(fields, "moving_mean_initializer", Distribution::Zeros)?,
        moving_variance_initializer: Initializer::from_field(
            fields,
            "moving_variance_initializer",
            Distribution::Ones,
        )?,
    };
    // Keras writes these settings even if they aren't used.
    for key in ["renorm", "synchronized"] {
        if fields.flag(key, false)? {
            return Err(Error::usage(format!("the embedded network has no \"{key}\"")).with("in", fields.path(key)));
        }
    }
    fields.ignore(&["renorm_clipping", "renorm_momentum"]);
    Ok(kind)
}

/// Reads the settings of a layer normalisation.
pub fn layer_normalization_from(fields: &mut Fields) -> Result<LayerKind> {
    let (epsilon, beta_initializer, gamma_initializer) = normalization_from(fields, "LayerNormalization")?;
    if fields.flag("rms_scaling", false)? {
        return Err(Error::usage("the embedded network has no \"rms_scaling\"").with("in", fields.path("rms_scaling")));
    }
    Ok(LayerKind::LayerNormalization { epsilon, beta_initializer, gamma_initializer })
}

/// Reads the settings that both normalisations have: epsilon, and the initialisers of `beta` and `gamma`.
fn normalization_from(fields: &mut Fields, class: &str) -> Result<(f64, Option<Initializer>, Option<Initializer>)> {
    // Keras writes a single axis as a number or as a list.
    match fields.take("axis") {
        None => {}
        Some(axis) if axis == -1 || axis == Value::from(vec![-1]) => {}
        Some(other) => return Err(fields.type_error("axis", "-1, the last axis", &other)),
    }
    let epsilon = fields.number("epsilon")?.unwrap_or(1e-3);
    if !(0.0..=f64::MAX).contains(&epsilon) {
        return Err(Error::usage(format!("{class}'s \"epsilon\" must be a number of at least 0"))
            .with("in", fields.path("epsilon"))
            .with("found", epsilon.to_string()));
    }
    let (center, scale) = (fields.flag("center", true)?, fields.flag("scale", true)?);
    let beta = Initializer::from_field(fields, "beta_initializer", Distribution::Zeros)?;
    let gamma = Initializer::from_field(fields, "gamma_initializer", Distribution::Ones)?;
    fields.require_absent(&["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"])?;
    Ok((epsilon, center.then_some(beta), scale.then_some(gamma)))
}

/// Reads the settings of a change of scale.
pub fn rescaling_from(fields: &mut Fields) -> Result<LayerKind> {
    let scale = numbers_from(fields, "scale")?
        .ok_or_else(|| Error::usage("Rescaling needs \"scale\", a number").with("in", fields.path("scale")))?;
    Ok(LayerKind::Rescaling { scale, offset: numbers_from(fields, "offset")?.unwrap_or_else(|| vec![0.0]) })
}

/// Reads a finite number, or a list of them.
fn numbers_from(fields: &mut Fields, key: &'static str) -> Result<Option<Vec<f64>>> {
    let Some(value) = fields.take(key) else { return Ok(None) };
    let number = |value: &Value| value.as_f64().filter(|number| (*number as f32).is_finite());
    let numbers = match &value {
        Value::Array(values) if !values.is_empty() => values.iter().map(number).collect(),
        value => number(value).map(|number| vec![number]),
    };
    numbers.map(Some).ok_or_else(|| fields.type_error(key, "a number or a list of numbers", &value))
}

/// Reads the settings of `Add`.
pub fn add_from(fields: &mut Fields) -> Result<LayerKind> {
    let from = fields.string("from")?.ok_or_else(|| {
        Error::usage("Add needs \"from\", the name of an earlier layer").with("in", fields.path("from"))
    })?;
    Ok(LayerKind::Add { from })
}
