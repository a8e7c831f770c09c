//! Keys that have the same meaning for an optimizer and for a nested optimizer.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::rate::Rate;
use crate::plugin::{self, Clip, Kind, Nested, Resolve};
use crate::{Error, Result};

/// Reads the gradient clipping, of which at most one of three keys may be set.
pub(super) fn clip(keys: &mut Keys<'_>) -> Result<Clip> {
    let mut clips = [None; 3];
    for (clip, key) in clips.iter_mut().zip(["clipnorm", "clipvalue", "global_clipnorm"]) {
        *clip = keys.number(key, "a number of more than 0, or null", |number| number > 0.0)?;
    }
    match clips {
        [None, None, None] => Ok(Clip::None),
        [Some(norm), None, None] => Ok(Clip::Norm(norm)),
        [None, Some(value), None] => Ok(Clip::Value(value)),
        [None, None, Some(norm)] => Ok(Clip::GlobalNorm(norm)),
        _ => Err(Error::usage("at most one of clipnorm, clipvalue and global_clipnorm can be given")
            .with("in", "clipnorm")
            .hint("leave the others out")),
    }
}

/// Reads the weight decay: the fraction of each weight that a step with learning rate 1 subtracts.
pub(super) fn weight_decay(keys: &mut Keys<'_>) -> Result<Option<f64>> {
    keys.number("weight_decay", "a number of at least 0, or null", |number| number >= 0.0)
}

/// Creates an optimizer to be nested in another one, with its own decay and clipping. It has its own learning rate if
/// `sets_rate`.
///
/// # Errors
/// Returns an error if a key has an invalid value, or if only the outer optimizer may have the key.
pub fn nested(
    optimizer: plugin::Optimizer,
    mut base: Map<String, Value>,
    sets_rate: bool,
    resolve: &dyn Resolve,
) -> Result<Nested> {
    let mut config = optimizer.config()?;
    if !sets_rate {
        base.remove("learning_rate");
    }
    let mut keys = Keys::new(Kind::Optimizer, optimizer.name(), base.clone())?;
    let rate = if sets_rate { Some(Rate::read(&mut keys, resolve)?) } else { None };
    let (clip, weight_decay) = (clip(&mut keys)?, weight_decay(&mut keys)?.unwrap_or(0.0));
    let averages = keys.boolean("use_ema")?;
    if averages || keys.count("gradient_accumulation_steps", 2)?.is_some() {
        return Err(Error::usage(format!(
            "{} inside another optimizer keeps no averages and no sums",
            optimizer.name()
        ))
        .hint("set use_ema and gradient_accumulation_steps on the optimizer around it"));
    }
    config.extend(base);
    if let Some(rate) = &rate {
        rate.write(&mut config)?;
    }
    let rate: Option<Box<dyn Fn(u64) -> Result<f64> + Send + Sync>> =
        rate.map(|rate| Box::new(move |step| rate.at(step)) as Box<dyn Fn(u64) -> Result<f64> + Send + Sync>);
    Ok(Nested { optimizer, rate, weight_decay, clip, config })
}
