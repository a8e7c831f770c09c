//! An optimizer with its slots, its learning rate, and the features of Keras's base class.

use plugfit_api::Tensor;
use plugfit_api::optimizer::{Parameter, Start, Step};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::groups::Group;
use super::keys::Keys;
use super::optimizer_keys::{clip, weight_decay};
use super::rate::Rate;
use crate::formula::Formula;
use crate::plugin::{self, Clip, Entry, Kind, Resolve, Slot, SlotValues, Slots};
use crate::{Error, Result};

/// An optimizer.
///
/// As in Keras, a step consists of: dividing gradients by the loss scale; accumulating them, if configured; clipping;
/// weight decay; the plug-in's update; the moving average of the weights. One call to the plug-in updates all
/// parameters.
#[derive(Debug)]
pub struct Optimizer {
    pub(super) optimizer: plugin::Optimizer,
    base: Map<String, Value>,
    name: String,
    pub(super) rate: Rate,
    /// The rate that replaced the configured one.
    pub(super) set_rate: Option<f64>,
    pub(super) weight_decay: Option<f64>,
    pub(super) clip: Clip,
    pub(super) ema_momentum: Option<f64>,
    ema_overwrite_frequency: Option<u64>,
    pub(super) loss_scale: Option<f64>,
    pub(super) accumulation: Option<u64>,
    pub(super) excluded: Vec<Regex>,
    pub(super) excluded_paths: Vec<String>,
    groups: Vec<Group>,
    /// The number of batches seen.
    pub(super) steps: u64,
    seed: u64,
    pub(super) built: Option<Built>,
}

/// The state for the parameters.
#[derive(Debug)]
pub(super) struct Built {
    pub parameters: Vec<ParameterState>,
    /// The slots that belong to no parameter.
    pub slots: Vec<Slot>,
}

/// The state for one parameter.
#[derive(Debug)]
pub(super) struct ParameterState {
    name: String,
    pub path: String,
    shape: Vec<i64>,
    trainable: bool,
    decays: bool,
    /// Whether its group replaces the optimizer's weight decay.
    has_own_decay: bool,
    /// The index of the first group that matches it.
    group: Option<usize>,
    pub slots: Vec<Slot>,
    pub ema: Option<Vec<f32>>,
    pub accumulated: Option<Vec<f32>>,
}

impl ParameterState {
    fn parameter(&self) -> Parameter<'_> {
        Parameter {
            name: &self.name,
            path: &self.path,
            shape: &self.shape,
            embedding: false,
            trainable: self.trainable,
            decays: self.decays && !self.has_own_decay,
        }
    }

    /// Updates the moving average for parameters that the step doesn't update, as Keras does in every step.
    fn average(&mut self, value: &[f32], momentum: f64) {
        if let (Some(ema), true) = (&mut self.ema, self.trainable) {
            let momentum = momentum as f32;
            ema.iter_mut().zip(value).for_each(|(ema, value)| *ema = momentum * *ema + (1.0 - momentum) * value);
        }
    }

    fn overwrite(&self, value: &mut [f32]) {
        if let Some(ema) = &self.ema {
            value.copy_from_slice(ema);
        }
    }
}

impl Optimizer {
    /// Creates an optimizer with the host's keys of its configuration.
    ///
    /// # Errors
    /// Returns an error if a key is unknown or has an invalid value.
    pub fn new(optimizer: plugin::Optimizer, base: Map<String, Value>, resolve: &dyn Resolve) -> Result<Self> {
        let mut keys = Keys::new(Kind::Optimizer, optimizer.name(), base.clone())?;
        let clip = clip(&mut keys)?;
        let is_fraction = |number: f64| (0.0..=1.0).contains(&number);
        let ema_momentum = keys.number("ema_momentum", "a number from 0 to 1", is_fraction)?.unwrap_or(0.99);
        Ok(Optimizer {
            name: keys.name()?,
            rate: Rate::read(&mut keys, resolve)?,
            set_rate: None,
            weight_decay: weight_decay(&mut keys)?,
            clip,
            ema_momentum: keys.boolean("use_ema")?.then_some(ema_momentum),
            ema_overwrite_frequency: keys.count("ema_overwrite_frequency", 1)?,
            loss_scale: keys.number("loss_scale_factor", "a number from 1e-30 to 1e30, or null", |scale| {
                (1e-30..=1e30).contains(&scale)
            })?,
            accumulation: keys.count("gradient_accumulation_steps", 2)?,
            excluded: Vec::new(),
            excluded_paths: Vec::new(),
            groups: Vec::new(),
            steps: 0,
            seed: 0,
            built: None,
            optimizer,
            base,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the class name with its package, `package>Name`; without the package for the standard set.
    pub fn full_name(&self) -> String {
        self.optimizer.full_name()
    }

    /// Returns the factor of the loss, applied before its gradient is computed; 1 by default. An optimizer with a
    /// dynamic loss scale stores it in a slot "loss_scale" and reports the initial value.
    pub fn loss_scale(&self) -> f64 {
        let slot_scale = || match &self.built.as_ref()?.slots.iter().find(|slot| slot.spec.name == "loss_scale")?.values
        {
            SlotValues::Single(values) => values.first().map(|&scale| f64::from(scale)),
            SlotValues::Double(values) => values.first().copied(),
        };
        let initial = || self.optimizer.info().get("loss_scale").and_then(Value::as_f64);
        self.loss_scale.unwrap_or(1.0) * slot_scale().or_else(initial).unwrap_or(1.0)
    }

    /// Returns the number of updates.
    pub fn iterations(&self) -> u64 {
        self.steps / self.accumulation.unwrap_or(1)
    }

    /// Returns the learning rate of the next step; NaN if its schedule fails, in which case the step returns the error.
    pub fn learning_rate(&self) -> f64 {
        self.rate.at(self.steps).unwrap_or(f64::NAN)
    }

    /// Sets the learning rate. Replaces a schedule, if any.
    ///
    /// # Errors
    /// Returns an error if the rate is negative or not finite.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(rate)?;
        self.rate = Rate::Constant(rate);
        self.set_rate = Some(rate);
        Ok(())
    }

    /// Returns whether it was built for parameters.
    pub fn is_built(&self) -> bool {
        self.built.is_some()
    }

    /// Sets the seed of random numbers.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Excludes parameters from weight decay if one of these regular expressions matches a part of their name, as in
    /// Keras: `bias` matches "bias_1", `^bias$` doesn't. The name is the last part of the path.
    ///
    /// # Errors
    /// Returns an error if the optimizer is already built, if an expression is invalid, or if its compiled size exceeds
    /// a mebibyte. Nothing changes then.
    pub fn exclude_from_weight_decay(&mut self, words: impl IntoIterator<Item = String>) -> Result<()> {
        if self.built.is_some() {
            return Err(Error::usage("exclude_from_weight_decay comes before build"));
        }
        let words: Vec<Regex> = words.into_iter().map(|word| expression(&word)).collect::<Result<_>>()?;
        self.excluded.extend(words);
        Ok(())
    }

    /// Excludes the parameters with these paths from weight decay.
    ///
    /// # Errors
    /// Returns an error if the optimizer is already built.
    pub fn exclude_paths_from_weight_decay(&mut self, paths: impl IntoIterator<Item = String>) -> Result<()> {
        if self.built.is_some() {
            return Err(Error::usage("exclude_paths_from_weight_decay comes before build"));
        }
        self.excluded_paths.extend(paths);
        Ok(())
    }

    /// Sets the groups of parameters with different training settings.
    ///
    /// # Errors
    /// Returns an error if the optimizer is already built, or if a group has an invalid setting.
    pub fn set_groups(&mut self, groups: Vec<Group>) -> Result<()> {
        if self.built.is_some() {
            return Err(Error::usage("groups come before build"));
        }
        groups.iter().try_for_each(Group::check)?;
        self.groups = groups;
        Ok(())
    }

    /// Returns the formula, or the reason why there is none. What the host does isn't part of it: clipping, weight
    /// decay and averages.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its formula is invalid.
    pub fn formula(&self) -> Result<std::result::Result<Formula, String>> {
        self.optimizer.formula()
    }

    /// Returns the configuration with all keys.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = self.optimizer.config()?;
        for (key, _, default, _) in super::base_keys(Kind::Optimizer) {
            if config.contains_key(*key) {
                continue; // The plug-in handles this key.
            }
            let value = self.base.get(*key).cloned();
            config.insert((*key).into(), value.or_else(|| serde_json::from_str(default).ok()).unwrap_or_default());
        }
        config.insert("name".into(), json!(self.name));
        self.rate.write(&mut config)?;
        Ok(config)
    }

    /// Returns an identifier with all keys, from which a host can create the optimizer again.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn serialize(&self) -> Result<Value> {
        Ok(json!({"class_name": self.optimizer.full_name(), "config": self.get_config()?}))
    }

    /// Creates the slots for these parameters with these values. Further calls do nothing.
    ///
    /// # Errors
    /// Returns an error if the optimizer doesn't accept the parameters, or if it was built for other parameters.
    pub fn build(&mut self, parameters: &[super::Parameter], values: &[&[f32]]) -> Result<()> {
        if let Some(built) = &self.built {
            let same =
                built.parameters.iter().map(|state| &state.path).eq(parameters.iter().map(|parameter| &parameter.path));
            return if same { Ok(()) } else { Err(Error::usage("the optimizer was built for other parameters")) };
        }
        if let Some(unused) = self.groups.iter().find(|group| !parameters.iter().any(|one| group.matches(&one.path))) {
            let paths: Vec<&str> = parameters.iter().map(|parameter| parameter.path.as_str()).collect();
            return Err(Error::usage(format!("no parameter matches \"{}\"", unused.pattern))
                .with("in", "compile.groups")
                .with("has", paths.join(", ")));
        }
        let mut states: Vec<ParameterState> = parameters
            .iter()
            .zip(values)
            .map(|(parameter, values)| ParameterState {
                name: parameter.name.clone(),
                path: parameter.path.clone(),
                shape: parameter.shape.iter().map(|&length| length as i64).collect(),
                trainable: parameter.trainable
                    && self.group(&parameter.path).is_none_or(|(_, group)| group.trainable != Some(false)),
                group: self.group(&parameter.path).map(|(index, _)| index),
                decays: self.decays(parameter),
                has_own_decay: self.group(&parameter.path).is_some_and(|(_, group)| group.weight_decay.is_some()),
                slots: Vec::new(),
                ema: self.ema_momentum.map(|_| values.to_vec()),
                accumulated: self.accumulation.map(|_| vec![0.0; values.len()]),
            })
            .collect();
        let described: Vec<Parameter<'_>> = states.iter().map(ParameterState::parameter).collect();
        let mut slots = Vec::new();
        for (index, spec) in self.optimizer.slots(&described)?.into_iter().enumerate() {
            let count = spec.shape.iter().product::<i64>() as usize;
            let start = if let Start::Constant(start) = spec.start { start } else { 0.0 };
            let values_of = |index: usize| values.get(index).copied().unwrap_or_default();
            let numbers = match (spec.double, spec.start, spec.parameter) {
                (false, Start::Copy, Some(parameter)) => SlotValues::Single(values_of(parameter).to_vec()),
                (double, ..) => SlotValues::filled(count, start, double).map_err(|_| {
                    Error::failure(format!("there is no memory for the slot \"{}\" of {}", spec.name, self.name()))
                        .with("shape", format!("{:?}", spec.shape))
                })?,
            };
            let mut slot = Slot { values: numbers, spec };
            if slot.spec.start == Start::Filled {
                let parameter = slot.spec.parameter.map(|index| Tensor::new(values_of(index), described[index].shape));
                self.optimizer.fill_slot(&described, index, parameter, self.seed, &mut slot)?;
            }
            slots.push(slot);
        }
        drop(described);
        let mut optimizer_slots = Vec::new();
        for slot in slots {
            match slot.spec.parameter {
                Some(index) => states[index].slots.push(slot),
                None => optimizer_slots.push(slot),
            }
        }
        self.built = Some(Built { parameters: states, slots: optimizer_slots });
        Ok(())
    }

    /// Forgets the parameters: removes their slots, and undoes
    /// [`exclude_paths_from_weight_decay`](Self::exclude_paths_from_weight_decay). The settings, the learning rate, the
    /// seed and the number of steps stay, so that the optimizer can be built for other parameters.
    pub fn unbuild(&mut self) {
        self.built = None;
        self.excluded_paths.clear();
    }

    /// Applies one step, with the parameters in the order of [`build`](Self::build). `gradients` contains the gradient
    /// of each parameter, or `None` to leave it unchanged; `values` contains the parameters' values.
    ///
    /// # Errors
    /// Returns an error if the optimizer isn't built, if the lengths differ from those of the parameters, or if the
    /// plug-in fails.
    pub fn apply(&mut self, gradients: &[Option<&[f32]>], values: &mut [&mut [f32]]) -> Result<()> {
        let (iteration, rate) = (self.iterations(), self.rate.at(self.steps)?);
        let built = self.built.as_mut().ok_or_else(not_built)?;
        let fits = built.parameters.len() == values.len()
            && gradients.len() == values.len()
            && built.parameters.iter().zip(values.iter()).zip(gradients).all(|((state, values), gradient)| {
                let count = state.shape.iter().product::<i64>() as usize;
                values.len() == count && gradient.is_none_or(|gradient| gradient.len() == count)
            });
        if !fits {
            return Err(Error::usage(
                "gradients and values aren't those of the parameters that the optimizer was built for",
            ));
        }
        let step = self.steps;
        let momentum = if iteration == 0 { 0.0 } else { self.ema_momentum.unwrap_or(0.0) };
        let overwrite = self.ema_overwrite_frequency.is_some_and(|every| (iteration + 1).is_multiple_of(every));
        let mut scale = 1.0 / self.loss_scale.unwrap_or(1.0);
        if let Some(steps) = self.accumulation {
            for (state, gradient) in built.parameters.iter_mut().zip(gradients) {
                if let (Some(sum), Some(gradient)) = (&mut state.accumulated, gradient) {
                    sum.iter_mut().zip(*gradient).for_each(|(sum, derivative)| *sum += derivative);
                }
            }
            if !(step + 1).is_multiple_of(steps) {
                for (state, value) in built.parameters.iter_mut().zip(values) {
                    state.average(value, momentum);
                    if overwrite {
                        state.overwrite(value);
                    }
                }
                self.steps += 1;
                return Ok(());
            }
            scale /= steps as f64;
        }
        let (clip, decay) = (self.clip, self.weight_decay.unwrap_or(0.0));
        let groups = &self.groups;
        let mut entries = Vec::with_capacity(values.len());
        for ((state, value), gradient) in built.parameters.iter_mut().zip(values.iter_mut()).zip(gradients) {
            let ParameterState { name, path, shape, trainable, decays, has_own_decay, group, slots, ema, accumulated } =
                state;
            let group = group.map(|index| &groups[index]);
            let decay = group.and_then(|group| group.weight_decay).unwrap_or(decay);
            let gradient = gradient.filter(|_| *trainable).map(|gradient| accumulated.as_deref().unwrap_or(gradient));
            entries.push(Entry {
                parameter: Parameter {
                    name,
                    path,
                    shape,
                    embedding: false,
                    trainable: *trainable,
                    decays: *decays && !*has_own_decay,
                },
                gradient,
                value,
                slots: Slots::Owned(slots),
                gradient_scale: scale,
                clip_value: clip.value(),
                weight_decay: if *decays && gradient.is_some() { decay } else { 0.0 },
                learning_rate_factor: group.and_then(|group| group.learning_rate_factor).unwrap_or(1.0),
                ema: ema.as_deref_mut(),
                ema_momentum: momentum,
            });
        }
        let clipped: Vec<Option<&[f32]>> = entries.iter().map(|entry| entry.gradient).collect();
        let mut scales = vec![scale; clipped.len()];
        clip.by_norm(&clipped, &mut scales);
        entries.iter_mut().zip(scales).for_each(|(entry, scale)| entry.gradient_scale = scale);
        let step = Step { iteration, step, learning_rate: rate, seed: step_seed(self.seed, step) };
        self.optimizer.update(&step, &mut entries, &mut built.slots)?;
        drop(entries);
        for ((state, value), gradient) in built.parameters.iter_mut().zip(values).zip(gradients) {
            if gradient.is_none() {
                state.average(value, momentum);
            } else if let Some(sum) = &mut state.accumulated {
                sum.fill(0.0);
            }
            if overwrite {
                state.overwrite(value);
            }
        }
        self.steps += 1;
        Ok(())
    }

    pub(super) fn group(&self, path: &str) -> Option<(usize, &Group)> {
        self.groups.iter().enumerate().find(|(_, group)| group.matches(path))
    }

    /// Sets the parameters to the values used for evaluation, once after training: the moving averages, if configured.
    ///
    /// # Errors
    /// Returns an error if the optimizer isn't built, if the lengths differ from those of the parameters, or if the
    /// plug-in fails.
    pub fn finalize(&mut self, values: &mut [&mut [f32]]) -> Result<()> {
        let (iteration, step, rate) = (self.iterations(), self.steps, self.rate.at(self.steps)?);
        let built = self.built.as_mut().ok_or_else(not_built)?;
        let fits = |(state, value): (&ParameterState, &&mut [f32])| {
            state.shape.iter().product::<i64>() as usize == value.len()
        };
        if values.len() != built.parameters.len() || !built.parameters.iter().zip(values.iter()).all(fits) {
            return Err(Error::usage("the values aren't those of the parameters that the optimizer was built for"));
        }
        let mut entries = Vec::with_capacity(values.len());
        for (state, value) in built.parameters.iter_mut().zip(values.iter_mut()) {
            let ParameterState { name, path, shape, trainable, slots, .. } = state;
            let parameter = Parameter { name, path, shape, embedding: false, trainable: *trainable, decays: false };
            entries.push(Entry::plain(parameter, value, None, Slots::Owned(slots)));
        }
        let step = Step { iteration, step, learning_rate: rate, seed: step_seed(self.seed, step) };
        self.optimizer.finalize(&step, &mut entries, &mut built.slots)?;
        drop(entries);
        built.parameters.iter().zip(values).for_each(|(state, value)| state.overwrite(value));
        Ok(())
    }

    /// Returns each slot with the path of its parameter; `None` for slots of the optimizer.
    pub fn slots(&self) -> impl Iterator<Item = (Option<&str>, &Slot)> {
        let built = self.built.iter();
        built.flat_map(|built| {
            let of_parameters = built
                .parameters
                .iter()
                .flat_map(|state| state.slots.iter().map(move |slot| (Some(state.path.as_str()), slot)));
            of_parameters.chain(built.slots.iter().map(|slot| (None, slot)))
        })
    }
}

/// Compiles a regular expression with a size limit, which also bounds the search time.
fn expression(word: &str) -> Result<Regex> {
    regex::RegexBuilder::new(word).size_limit(1 << 20).build().map_err(|error| {
        // The crate's error text repeats the expression on several lines; keep only the reason.
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Error::usage(format!("{word:?} isn't a regular expression: {reason}"))
            .with("in", "exclude_from_weight_decay")
            .hint("write \\ before a character that stands for itself, such as \\. or \\[")
    })
}

/// Checks a learning rate.
pub(super) fn check_rate(rate: f64) -> Result<()> {
    if rate.is_finite() && rate >= 0.0 {
        return Ok(());
    }
    Err(Error::usage(format!("{rate} can't be a learning rate")))
}

fn not_built() -> Error {
    Error::usage("the optimizer doesn't know its parameters yet").hint("call build first")
}

/// Returns a seed for each step.
fn step_seed(seed: u64, step: u64) -> u64 {
    let z = seed ^ step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (z ^ (z >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}
