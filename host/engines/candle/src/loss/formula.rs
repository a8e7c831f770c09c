//! The values of a loss by its formula.

use std::sync::Arc;

use candle_core::{D, Error, Result, Tensor};
use plugfit::formula::{self, Level};
use plugfit_emit::{Engine, Operand, Rows, Value, evaluate};

use crate::arrays::{as_rows, error};
use crate::engine::Candle;
use crate::operation::with_gradient;

/// A loss as operations on tensors. The derivatives are those that the plug-in gives.
#[derive(Debug)]
pub(super) struct Formula {
    name: String,
    formula: Arc<formula::Formula>,
}

impl Formula {
    /// Creates the loss.
    pub fn new(name: &str, formula: &formula::Formula) -> plugfit::Result<Self> {
        Ok(Formula { name: name.to_owned(), formula: Arc::new(formula.with_derivatives()?) })
    }

    /// Returns how the arguments become rows.
    pub fn rows(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Rows> {
        Rows::new(&self.formula, y_true.dims(), y_pred.dims()).map_err(error)
    }

    /// Returns the values without reduction. Values of weight 0 are arbitrary finite numbers.
    pub fn values(&self, rows: &Rows, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        if y_pred.elem_count() == 0 {
            return Tensor::zeros(&rows.values[..], y_pred.dtype(), y_pred.device());
        }
        let (mut y_true, mut y_pred) = as_rows(rows, y_true, y_pred)?;
        if let (Some(weight), true) = (weight, rows.axis.is_some()) {
            let weight = weight.detach().broadcast_as(&rows.values[..])?.reshape((rows.rows, 1))?;
            let engine = Candle::like(&y_pred, rows.columns);
            let is_used = engine.not(&weight.eq(0.0)?)?;
            // A label of every convention: 0 or 1, -1 or 1.
            let number = if rows.has_class_ids { 0.0 } else { 1.0 };
            y_true = engine.select(&is_used, Operand::Tensor(&y_true), Operand::Number(number))?;
            y_pred = engine.select(&is_used, Operand::Tensor(&y_pred), Operand::Number(0.5))?;
        }
        let value = self.formula.output("value").map(|node| self.formula.nodes()[node].level);
        let is_element = value == Some(Level::Element);
        let shape = (rows.rows, if is_element { rows.columns } else { 1 });
        let values = output(&self.formula, "value", &y_true.detach(), &y_pred.detach())?;
        let values = values.ok_or_else(|| Error::Msg(format!("the formula of {} has no value", self.name)))?;
        let values = self.with_derivatives(&values.broadcast_as(shape)?, &y_true, &y_pred)?;
        if is_element { values.mean(D::Minus1)? } else { values }.reshape(&rows.values[..])
    }

    fn with_derivatives(&self, values: &Tensor, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        let (name, formula) = (self.name.clone(), self.formula.clone());
        let backward = move |y_pred: &Tensor, y_true: &Tensor, of_values: &Tensor| {
            let product = |output_name: &str, argument: &Tensor| {
                let derivative = output(&formula, output_name, y_true, y_pred)?;
                let derivative = derivative.ok_or_else(|| no_derivative(&name, output_name))?;
                derivative.broadcast_mul(of_values)?.broadcast_as(argument.shape()).map(Some)
            };
            let of_y_pred = if y_pred.track_op() { product("derivative", y_pred)? } else { None };
            let of_y_true = if y_true.track_op() { product("derivative_y_true", y_true)? } else { None };
            Ok((of_y_pred, of_y_true))
        };
        with_gradient(values, y_pred, y_true, Box::new(backward))
    }
}

fn no_derivative(name: &str, output: &str) -> Error {
    Error::Msg(match output {
        "derivative" => format!("{name} isn't differentiable"),
        _ => format!("{name} has no derivative with respect to y_true: pass y_true.detach()"),
    })
}

/// Computes an output for rows; `None` if the formula doesn't have it.
fn output(formula: &formula::Formula, name: &str, y_true: &Tensor, y_pred: &Tensor) -> Result<Option<Tensor>> {
    let Some(node) = formula.output(name) else { return Ok(None) };
    let engine = Candle::like(y_pred, y_pred.dim(1)?);
    let tensor_of = |input: &formula::Input| if input.name == "y_true" { y_true } else { y_pred };
    let inputs = formula.inputs().iter().map(|input| Value::Tensor(tensor_of(input).clone())).collect();
    match evaluate(&engine, formula, &[node], inputs)?.pop() {
        Some(Value::Tensor(tensor)) => Ok(Some(tensor)),
        Some(Value::Number(number)) => engine.filled(number, 1).map(Some),
        _ => Ok(None),
    }
}
