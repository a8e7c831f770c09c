//! Optimizers, most of which violate a law.

use plugfit_api::{
    optimizer::{Entry, Slot, Update},
    prelude::*,
};
use std::sync::Mutex;

fn no_slots() -> Result<Vec<Slot>> {
    Ok(Vec::new())
}

/// Takes a step of gradient descent with `factor` times the learning rate.
pub fn descend(update: &mut Update<'_, '_>, factor: f64) -> Result<()> {
    update.entries.iter_mut().try_for_each(|entry| step(entry, factor))
}

fn step(entry: &mut Entry<'_>, factor: f64) -> Result<()> {
    let Some(gradient) = entry.gradient else { return Ok(()) };
    let rate = (factor * entry.learning_rate) as f32;
    let values = entry.value.f32s_mut("the parameter")?.iter_mut();
    values.zip(gradient.f32s("the gradient")?).for_each(|(value, derivative)| *value -= rate * derivative);
    Ok(())
}

/// Satisfies every law.
#[derive(Config)]
pub struct GoodOptimizer;

impl Optimizer for GoodOptimizer {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        no_slots()
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
}

/// Steps uphill.
#[derive(Config)]
pub struct Ascends;

impl Optimizer for Ascends {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        no_slots()
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, -1.0)
    }
}

/// Stores its momentum outside its slots, so that no checkpoint contains it.
#[derive(Config)]
pub struct HidesMomentum {
    #[config(skip)]
    momentum: Mutex<Vec<Vec<f32>>>,
}

impl Optimizer for HidesMomentum {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let length = |parameter: &Parameter<'_>| parameter.shape.iter().product::<i64>() as usize;
        *self.momentum.lock().expect("nobody panics with it") =
            parameters.iter().map(|parameter| vec![0.0; length(parameter)]).collect();
        no_slots()
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let mut momentum = self.momentum.lock().expect("nobody panics with it");
        for (entry, momentum) in update.entries.iter_mut().zip(momentum.iter_mut()) {
            let Some(gradient) = entry.gradient else { continue };
            let rate = entry.learning_rate as f32;
            let values = entry.value.f32s_mut("the parameter")?.iter_mut();
            for ((value, derivative), momentum) in values.zip(gradient.f32s("the gradient")?).zip(momentum) {
                *momentum = 0.5 * *momentum + derivative;
                *value -= rate * *momentum;
            }
        }
        Ok(())
    }
}

/// Shrinks parameters that have no gradient.
#[derive(Config)]
pub struct MovesWithoutGradient;

impl Optimizer for MovesWithoutGradient {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        no_slots()
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        for entry in update.entries.iter_mut().filter(|entry| entry.gradient.is_none()) {
            entry.value.f32s_mut("the parameter")?.iter_mut().for_each(|value| *value *= 0.9);
        }
        descend(update, 1.0)
    }
}

/// Requests a slot for each parameter and never uses it.
#[derive(Config)]
pub struct UnusedSlot;

impl Optimizer for UnusedSlot {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(parameters.iter().enumerate().map(|(index, parameter)| Slot::like(index, parameter, "velocity")).collect())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
}

/// Scales its step by the sum over all gradients.
#[derive(Config)]
pub struct SpreadsNan;

impl Optimizer for SpreadsNan {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        no_slots()
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let mut sum = 0.0;
        for gradient in update.entries.iter().filter_map(|entry| entry.gradient) {
            sum += gradient.f32s("the gradient")?.iter().map(|derivative| f64::from(derivative.abs())).sum::<f64>();
        }
        descend(update, 1.0 / (1.0 + sum))
    }
}

/// Requests two slots with the same name.
#[derive(Config)]
pub struct NamesASlotTwice;

impl Optimizer for NamesASlotTwice {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(vec![Slot::like(0, &parameters[0], "velocity"), Slot::like(0, &parameters[0], "velocity")])
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
}
