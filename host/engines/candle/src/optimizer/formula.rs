//! The update of variables by the formula of an optimizer.

use candle_core::backprop::GradStore;
use candle_core::{DType, Error, Result, Tensor, Var};
use plugfit::component::{self, ParameterSettings};
use plugfit::formula::{self, Level};
use plugfit::plugin::Clip;
use plugfit_emit::{Value, evaluate};

use super::Variable;
use crate::arrays::{compute_dtype, error};
use crate::engine::Candle;

/// The numbers of a slot: a tensor like the variable, or one number.
type Slot = Value<Tensor, Tensor>;

/// An optimizer as operations on tensors, with the slots of each variable.
#[derive(Debug)]
pub(super) struct Formula {
    formula: formula::Formula,
    settings: Vec<ParameterSettings>,
    slots: Vec<Vec<Slot>>,
}

impl Formula {
    pub fn new(formula: formula::Formula, optimizer: &component::Optimizer, variables: &[Variable]) -> Result<Self> {
        let formula = formula.simplify();
        let settings = variables.iter().map(|variable| optimizer.settings_of(&variable.parameter)).collect();
        let slots = variables.iter().map(|variable| slots(&formula, &variable.var)).collect::<Result<_>>()?;
        Ok(Formula { formula, settings, slots })
    }

    /// Updates the variables that have a gradient by one step.
    pub fn step(
        &mut self,
        optimizer: &component::Optimizer,
        variables: &mut [Variable],
        gradients: &GradStore,
        steps: u64,
    ) -> Result<()> {
        let rate = optimizer.learning_rate_at(steps).map_err(error)?;
        let gradients = self.scaled(optimizer, variables, gradients)?;
        let each = variables.iter_mut().zip(gradients).zip(&self.settings).zip(&mut self.slots);
        for (((variable, gradient), settings), slots) in each {
            let Some(gradient) = gradient else { continue };
            let rate = rate * settings.learning_rate_factor;
            let value = variable.value()?;
            let value = match settings.weight_decay * rate {
                0.0 => value,
                decay => value.affine(1.0 - decay, 0.0)?,
            };
            let inputs =
                [Value::Tensor(value), Value::Tensor(gradient), Value::Number(rate), Value::Number(steps as f64 + 1.0)];
            variable.set(update(&self.formula, inputs, slots)?)?;
        }
        Ok(())
    }

    /// Returns the gradients of trained variables, multiplied by the scale and clipped.
    fn scaled(
        &self,
        optimizer: &component::Optimizer,
        variables: &[Variable],
        gradients: &GradStore,
    ) -> Result<Vec<Option<Tensor>>> {
        let scale = optimizer.settings().gradient_scale;
        let prepared = |(variable, settings): (&Variable, &ParameterSettings)| {
            let gradient = gradients.get(variable.var.as_tensor()).filter(|_| settings.trainable);
            let Some(gradient) = gradient else { return Ok(None) };
            let gradient = gradient.detach().to_dtype(compute_dtype(&variable.var))?;
            if scale == 1.0 { Ok(Some(gradient)) } else { gradient.affine(scale, 0.0).map(Some) }
        };
        let gradients = variables.iter().zip(&self.settings).map(prepared).collect::<Result<Vec<_>>>()?;
        clipped(gradients, optimizer.settings().clip)
    }
}

fn clipped(gradients: Vec<Option<Tensor>>, clip: Clip) -> Result<Vec<Option<Tensor>>> {
    let sum_of_squares = |gradient: &Tensor| gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>();
    let shortened = |gradient: Tensor, norm: f64, most: f64| match norm > most {
        true => gradient.affine(most / norm, 0.0),
        false => Ok(gradient),
    };
    let global = match clip {
        Clip::GlobalNorm(_) => gradients.iter().flatten().map(sum_of_squares).sum::<Result<f64>>()?.sqrt(),
        _ => 0.0,
    };
    let each = |gradient: Tensor| match clip {
        Clip::None => Ok(gradient),
        Clip::Value(most) => gradient.clamp(-most, most),
        Clip::GlobalNorm(most) => shortened(gradient, global, most),
        Clip::Norm(most) => {
            let norm = sum_of_squares(&gradient)?.sqrt();
            shortened(gradient, norm, most)
        }
    };
    gradients.into_iter().map(|gradient| gradient.map(each).transpose()).collect()
}

/// Returns the initial slots of a variable. Those of bfloat16 and float16 variables are float32.
fn slots(formula: &formula::Formula, var: &Var) -> Result<Vec<Slot>> {
    let slot = |slot: &formula::Slot| {
        let input = formula.input(&format!("slot.{}", slot.name)).map(|input| formula.inputs()[input].level);
        let initial = slot.initial.value();
        match input {
            Some(Level::Element) => {
                let like = Tensor::zeros(var.shape(), compute_dtype(var), var.device())?;
                Ok(Value::Tensor(if initial == 0.0 { like } else { like.affine(0.0, initial)? }))
            }
            _ => Ok(Value::Number(initial)),
        }
    };
    formula.slots().iter().map(slot).collect()
}

/// Computes the new value and the new slots. The inputs are the value, the gradient, the learning rate and the number of
/// the update, from 1.
fn update(formula: &formula::Formula, inputs: [Slot; 4], slots: &mut [Slot]) -> Result<Tensor> {
    let Value::Tensor(value) = inputs[0].clone() else { unreachable!("a variable is a tensor") };
    let engine = Candle::like(&value, 1);
    let input = |name: &str| {
        let fixed = ["parameter", "gradient", "learning_rate", "number"].iter().position(|fixed| *fixed == name);
        let slot = formula.slots().iter().position(|slot| name.strip_prefix("slot.") == Some(&slot.name));
        match (fixed, slot) {
            (Some(fixed), _) => Ok(inputs[fixed].clone()),
            (None, Some(slot)) => Ok(slots[slot].clone()),
            (None, None) => Err(Error::Msg(format!("the formula has an unknown input \"{name}\""))),
        }
    };
    let given = formula.inputs().iter().map(|found| input(&found.name)).collect::<Result<Vec<_>>>()?;
    let output =
        |name: &str| formula.output(name).ok_or_else(|| Error::Msg(format!("the formula has no output \"{name}\"")));
    let names = formula.slots().iter().map(|slot| format!("slot.{}", slot.name));
    let outputs =
        [output("parameter")].into_iter().chain(names.map(|name| output(&name))).collect::<Result<Vec<_>>>()?;
    let mut found = evaluate(&engine, formula, &outputs, given)?.into_iter();
    let whole = |found: Option<Slot>| match found {
        Some(Value::Tensor(tensor)) => tensor.broadcast_as(value.shape()),
        Some(Value::Number(number)) => engine.constant(number)?.broadcast_as(value.shape()),
        _ => Err(Error::Msg("the formula gives a mask".into())),
    };
    let new = whole(found.next())?.contiguous()?;
    for slot in slots {
        *slot = match (&slot, found.next()) {
            (Value::Tensor(_), found) => Value::Tensor(whole(found)?.contiguous()?),
            (_, Some(found)) => found,
            (_, None) => unreachable!("every slot is an output"),
        };
    }
    Ok(new)
}
