//! The update of a parameter by the formula of an optimizer.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, backend::Backend};
use plugfit::formula::{self, Level};
use plugfit::plugin::Clip;
use plugfit_emit::{Value, evaluate};

use crate::engine::{Burn, Found};

/// An optimizer as operations on tensors, with the slots of each parameter by its path.
#[derive(Clone, Debug)]
pub(super) struct Formula<B: Backend> {
    formula: formula::Formula,
    /// A slot is a tensor of shape `[1, count]`, or one number.
    slots: BTreeMap<String, Vec<Found<B>>>,
}

/// The numbers of an update.
pub(super) struct Step {
    pub learning_rate: f64,
    /// The number of the update, from 1.
    pub number: f64,
}

impl<B: Backend> Formula<B> {
    pub fn new(formula: &formula::Formula) -> Self {
        Formula { formula: formula.simplify(), slots: BTreeMap::new() }
    }

    /// Returns the new value of a parameter, and changes its slots. Tensors have the shape `[1, count]`.
    pub fn update(&mut self, path: &str, value: Tensor<B, 2>, gradient: Tensor<B, 2>, step: &Step) -> Tensor<B, 2> {
        let shape = value.dims();
        let device = value.device();
        let engine = Burn::like(&value);
        let formula = &self.formula;
        let slots = self.slots.entry(path.to_owned()).or_insert_with(|| initial(formula, &value));
        for slot in &mut *slots {
            if let Value::Tensor(tensor) = slot {
                *slot = Value::Tensor(tensor.clone().to_device(&device));
            }
        }
        let slot = |name: &str| formula.slots().iter().position(|slot| name.strip_prefix("slot.") == Some(&slot.name));
        let input = |name: &str| match name {
            "parameter" => Value::Tensor(value.clone()),
            "gradient" => Value::Tensor(gradient.clone()),
            "learning_rate" => Value::Number(step.learning_rate),
            "number" => Value::Number(step.number),
            name => slots[slot(name).expect("the host has checked the inputs")].clone(),
        };
        let given = formula.inputs().iter().map(|found| input(&found.name)).collect();
        let names = formula.slots().iter().map(|slot| format!("slot.{}", slot.name));
        let names = ["parameter".to_owned()].into_iter().chain(names);
        let outputs: Vec<usize> =
            names.map(|name| formula.output(&name).expect("the host has checked the outputs")).collect();
        let Ok(found) = evaluate(&engine, formula, &outputs, given);
        let mut found = found.into_iter();
        let new = engine.tensor_of(found.next().expect("the parameter")).expand(shape);
        for (slot, found) in slots.iter_mut().zip(found) {
            *slot = match slot {
                Value::Tensor(_) => Value::Tensor(engine.tensor_of(found).expand(shape)),
                _ => found,
            };
        }
        new
    }

    /// Returns the slots with their names.
    pub fn named(&self) -> Vec<(String, Found<B>)> {
        let of_parameter = |(path, slots): (&String, &Vec<Found<B>>)| {
            let names = self.formula.slots().iter().map(|slot| format!("{path}:{}", slot.name)).collect::<Vec<_>>();
            names.into_iter().zip(slots.clone()).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(of_parameter).collect()
    }

    /// Replaces the slots by those with these names.
    pub fn load(&mut self, named: Vec<(String, Found<B>)>) {
        self.slots.clear();
        let mut named: BTreeMap<String, Found<B>> = named.into_iter().collect();
        let last = self.formula.slots().last().map(|slot| format!(":{}", slot.name));
        let Some(last) = last else { return };
        let paths: Vec<String> = named.keys().filter_map(|name| name.strip_suffix(&last).map(str::to_owned)).collect();
        for path in paths {
            let names = self.formula.slots().iter().map(|slot| format!("{path}:{}", slot.name));
            let slots: Option<Vec<_>> = names.map(|name| named.remove(&name)).collect();
            if let Some(slots) = slots {
                self.slots.insert(path, slots);
            }
        }
    }
}

fn initial<B: Backend>(formula: &formula::Formula, like: &Tensor<B, 2>) -> Vec<Found<B>> {
    let slot = |slot: &formula::Slot| {
        let input = formula.input(&format!("slot.{}", slot.name)).map(|input| formula.inputs()[input].level);
        match input {
            Some(Level::Element) => Value::Tensor(like.full_like(slot.initial.value())),
            _ => Value::Number(slot.initial.value()),
        }
    };
    formula.slots().iter().map(slot).collect()
}

/// Clips gradients, which are multiplied by `scale` before.
pub(super) fn clipped<B: Backend>(
    gradients: Vec<Option<Tensor<B, 2>>>,
    clip: Clip,
    scale: f64,
) -> Vec<Option<Tensor<B, 2>>> {
    let scaled = |gradient: Tensor<B, 2>| if scale == 1.0 { gradient } else { gradient.mul_scalar(scale) };
    let gradients: Vec<_> = gradients.into_iter().map(|gradient| gradient.map(scaled)).collect();
    let sum_of_squares =
        |gradient: &Tensor<B, 2>| gradient.clone().powi_scalar(2).sum().into_data().iter::<f64>().sum::<f64>();
    let shortened = |gradient: Tensor<B, 2>, norm: f64, most: f64| match norm > most {
        true => gradient.mul_scalar(most / norm),
        false => gradient,
    };
    let global = match clip {
        Clip::GlobalNorm(_) => gradients.iter().flatten().map(sum_of_squares).sum::<f64>().sqrt(),
        _ => 0.0,
    };
    let each = |gradient: Tensor<B, 2>| match clip {
        Clip::None => gradient,
        Clip::Value(most) => gradient.clamp(-most, most),
        Clip::GlobalNorm(most) => shortened(gradient, global, most),
        Clip::Norm(most) => {
            let norm = sum_of_squares(&gradient).sqrt();
            shortened(gradient, norm, most)
        }
    };
    gradients.into_iter().map(|gradient| gradient.map(each)).collect()
}
