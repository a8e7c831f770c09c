//! Keys of an optimizer's configuration that mean the same whether it stands alone or inside another.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::rate::Rate;
use crate::plugin::{self, Clip, Kind, Nested, Resolve};
use crate::{Error, Result};

/// How gradients are clipped: at most one of three keys says so.
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

/// What a step of learning rate 1 takes away of each weight.
pub(super) fn weight_decay(keys: &mut Keys<'_>) -> Result<Option<f64>> {
    keys.number("weight_decay", "a number of at least 0, or null", |number| number >= 0.0)
}

/// An optimizer for another one to use, with its own decay and clipping, and its own learning rate where one was `given`.
///
/// # Errors
/// A key has a value that can't be, or is one that only the optimizer around it can have.
pub fn nested(
    optimizer: plugin::Optimizer,
    mut base: Map<String, Value>,
    given: bool,
    resolve: &dyn Resolve,
) -> Result<Nested> {
    let mut config = optimizer.config()?;
    if !given {
        base.remove("learning_rate");
    }
    let mut keys = Keys::new(Kind::Optimizer, optimizer.name(), base.clone())?;
    let rate = if given { Some(Rate::read(&mut keys, resolve)?) } else { None };
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
