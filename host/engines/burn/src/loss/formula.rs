//! The values of a loss by its formula.

use burn::tensor::{FloatDType, Tensor, backend::Backend};
use plugfit::Result;
use plugfit::formula::{self, Level};
use plugfit_emit::{Rows, Value, evaluate};

use super::surrogate::{constant, zero_with_derivative};
use crate::engine::Burn;
use crate::labels::{Labels, elements};

/// A loss as operations on tensors. The derivatives are those that the plug-in gives.
#[derive(Clone, Debug)]
pub(super) struct Formula {
    formula: formula::Formula,
}

impl Formula {
    /// Creates the loss.
    pub fn new(formula: &formula::Formula) -> Result<Self> {
        Ok(Formula { formula: formula.with_derivatives()? })
    }

    /// Returns whether there is a derivative with respect to `y_pred`.
    pub fn is_differentiable(&self) -> bool {
        self.formula.output("derivative").is_some()
    }

    /// Returns whether there is a derivative with respect to `y_true`.
    pub fn is_differentiable_by_y_true(&self) -> bool {
        self.formula.output("derivative_y_true").is_some()
    }

    /// Returns how the arguments become rows.
    pub fn rows(&self, y_true: &[usize], y_pred: &[usize]) -> Result<Rows> {
        Rows::new(&self.formula, y_true, y_pred)
    }

    /// Returns the values without reduction, with the shape `[rows]`. Values of weight 0 are arbitrary finite numbers.
    /// The arguments have elements, and the weights the shape `[rows]`.
    pub fn values<B: Backend, L: Labels<B>, const D: usize>(
        &self,
        rows: &Rows,
        y_true: L,
        y_pred: Tensor<B, D>,
        weight: Option<&Tensor<B, 1>>,
        dtype: FloatDType,
    ) -> Tensor<B, 1> {
        let mut y_true = y_true.rows(rows, dtype);
        let mut y_pred = elements(y_pred, rows).cast(dtype);
        if let Some(weight) = weight.filter(|_| rows.axis.is_some()) {
            let is_unused = weight.clone().equal_elem(0.0).reshape([rows.rows, 1]);
            let filled = |tensor: Tensor<B, 2>, number: f64| {
                let mask = is_unused.clone().expand(tensor.dims());
                tensor.mask_fill(mask, number)
            };
            // A label of every convention: 0 or 1, -1 or 1.
            y_true = filled(y_true, if rows.has_class_ids { 0.0 } else { 1.0 });
            y_pred = filled(y_pred, 0.5);
        }
        let level = self.formula.output("value").map(|node| self.formula.nodes()[node].level);
        let is_element = level == Some(Level::Element);
        let shape = [rows.rows, if is_element { rows.columns } else { 1 }];
        let (fixed_true, fixed_pred) = (constant(y_true.clone()), constant(y_pred.clone()));
        let output = |name: &str| self.output(name, &fixed_true, &fixed_pred);
        let mut values = output("value").expand(shape);
        if B::ad_enabled(&y_pred.device()) {
            let zero = |name: &str, x: Tensor<B, 2>| {
                zero_with_derivative(output(name).expand(fixed_pred.dims()), x, !is_element)
            };
            if self.is_differentiable() {
                values = values + zero("derivative", y_pred);
            }
            if L::HAS_GRADIENT && self.is_differentiable_by_y_true() {
                values = values + zero("derivative_y_true", y_true);
            }
        }
        let values = if is_element { values.mean_dim(1) } else { values };
        values.reshape([rows.rows])
    }

    /// Computes an output, which exists, for rows.
    fn output<B: Backend>(&self, name: &str, y_true: &Tensor<B, 2>, y_pred: &Tensor<B, 2>) -> Tensor<B, 2> {
        let engine = Burn::like(y_pred);
        let tensor_of = |input: &formula::Input| if input.name == "y_true" { y_true } else { y_pred };
        let inputs = self.formula.inputs().iter().map(|input| Value::Tensor(tensor_of(input).clone())).collect();
        let node = self.formula.output(name).expect("the output exists");
        let Ok(found) = evaluate(&engine, &self.formula, &[node], inputs);
        engine.tensor_of(found.into_iter().next().expect("one output"))
    }
}
