//! Several optimizers, each for a subset of the parameters.

use plugfit_api::{NestedOptimizer, TensorMut, prelude::*, serde_json::Value};
use regex_lite::Regex;
use std::sync::OnceLock;

/// Trains each parameter with the optimizer whose pattern matches its path, or else with the default optimizer.
/// Each optimizer has its own learning rate.
#[derive(Debug, Config)]
#[config(check = Self::check)]
#[config(examples = super::examples::MULTI_OPTIMIZER)]
pub struct MultiOptimizer {
    /// A `default_optimizer` and an `optimizer_map` from paths or regular expressions to optimizers, as an object or as
    /// Keras serializes an OptimizerMap.
    optimizer_map: Value,
    #[config(skip)]
    parts: Vec<Part>,
    #[config(skip)]
    plan: OnceLock<Plan>,
}

/// One of the optimizers and its pattern.
#[derive(Debug)]
struct Part {
    /// The pattern, equal to a path or a regular expression for a whole path; `None` for the default optimizer.
    pattern: Option<(String, Regex)>,
    optimizer: NestedOptimizer,
}

/// The part of each parameter, and the number of slots of each part that belong to no parameter.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    parts: Vec<usize>,
    own: Vec<usize>,
}

impl MultiOptimizer {
    fn map(&self) -> &Value {
        self.optimizer_map.get("config").unwrap_or(&self.optimizer_map)
    }

    fn check(&self) -> Result<()> {
        match self.map().get("default_optimizer") {
            Some(Value::String(_) | Value::Object(_)) => Ok(()),
            _ => Err(Error::config("optimizer_map", "must have a default_optimizer")),
        }
    }

    /// Returns the index of the part that trains the parameter with this path.
    ///
    /// # Errors
    /// Returns an error if several regular expressions match.
    fn part(&self, path: &str) -> Result<usize> {
        let patterns = || self.parts.iter().enumerate().filter_map(|(i, part)| Some((i, part.pattern.as_ref()?)));
        if let Some((i, _)) = patterns().find(|(_, (pattern, _))| pattern == path) {
            return Ok(i);
        }
        let mut matching = patterns().filter(|(_, (_, whole))| whole.is_match(path));
        match (matching.next(), matching.next()) {
            (None, _) => Ok(0),
            (Some((i, _)), None) => Ok(i),
            (Some((_, (a, _))), Some((_, (b, _)))) => {
                let message = format!("gives {path} to two optimizers, by \"{a}\" and by \"{b}\"");
                Err(Error::config("optimizer_map", message))
            }
        }
    }

    /// Calls each part with its parameters and slots.
    fn each(
        &self,
        update: &mut Update<'_, '_>,
        mut call: impl FnMut(&NestedOptimizer, &mut Update<'_, '_>) -> Result<()>,
    ) -> Result<()> {
        let plan = self.plan.get().ok_or_else(|| Error::state("update was called before slots"))?;
        if plan.parts.len() != update.entries.len() || plan.own.iter().sum::<usize>() != update.slots.len() {
            return Err(Error::state("the parameters aren't those of the call of slots"));
        }
        let mut own = &mut *update.slots;
        for (index, part) in self.parts.iter().enumerate() {
            let (here, rest) = std::mem::take(&mut own).split_at_mut(plan.own[index]);
            own = rest;
            let mut slots: Vec<TensorMut<'_>> = here.iter_mut().map(TensorMut::reborrow).collect();
            let mine = update.entries.iter_mut().zip(&plan.parts).filter(|(_, owner)| **owner == index);
            let mut entries: Vec<Entry<'_>> = mine
                .map(|(entry, _)| Entry {
                    parameter: entry.parameter,
                    value: entry.value.reborrow(),
                    gradient: entry.gradient,
                    slots: entry.slots.iter_mut().map(TensorMut::reborrow).collect(),
                    learning_rate: entry.learning_rate,
                })
                .collect();
            if !entries.is_empty() {
                let (step, gradient_scale) = (update.step, update.gradient_scale);
                call(&part.optimizer, &mut Update { step, entries: &mut entries, slots: &mut slots, gradient_scale })?;
            }
        }
        Ok(())
    }
}

impl Optimizer for MultiOptimizer {
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let map = self.map();
        let default = Identifier(map.get("default_optimizer").cloned().unwrap_or_default());
        let mut parts = vec![Part { pattern: None, optimizer: host.optimizer(&default)? }];
        for (pattern, optimizer) in map.get("optimizer_map").and_then(Value::as_object).into_iter().flatten() {
            // Compile the pattern alone first: inside the group, `a)|(b` would be valid.
            let whole = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
            let whole = whole.map_err(|error| {
                Error::config(
                    "optimizer_map",
                    format!("has the pattern \"{pattern}\", which isn't a regular expression: {error}"),
                )
            })?;
            let optimizer = host.optimizer(&Identifier(optimizer.clone()))?;
            parts.push(Part { pattern: Some((pattern.clone(), whole)), optimizer });
        }
        self.parts = parts;
        Ok(())
    }

    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        let parts: Vec<usize> = parameters.iter().map(|parameter| self.part(parameter.path)).collect::<Result<_>>()?;
        let (mut slots, mut whole, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (index, part) in self.parts.iter().enumerate() {
            let places: Vec<usize> = (0..parameters.len()).filter(|&i| parts[i] == index).collect();
            let mine: Vec<Parameter<'_>> = places.iter().map(|&i| parameters[i]).collect();
            let before = whole.len();
            for slot in if mine.is_empty() { Vec::new() } else { part.optimizer.slots(&mine, host)? } {
                match slot.parameter {
                    Some(place) => slots.push(Slot { parameter: Some(places[place]), ..slot }),
                    None => whole.push(Slot { name: format!("{index}/{}", slot.name), ..slot }),
                }
            }
            own.push(whole.len() - before);
        }
        slots.append(&mut whole);
        let plan = Plan { parts, own };
        if self.plan.get_or_init(|| plan.clone()) != &plan {
            return Err(Error::state("slots was called before with other parameters"));
        }
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        self.each(update, |part, update| part.update(update, host))
    }

    fn finalize(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        self.each(update, |part, update| part.finalize(update, host))
    }
}
