//! The document of the formula of an elementwise optimizer.

use super::{ElementwiseOptimizer, FormulaStep};
use crate::{
    formula::{document, hexadecimal, Traced, ELEMENT, SCALAR},
    Real, Result,
};
use serde_json::{json, Value};

/// Returns the document of an elementwise optimizer.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn elementwise_optimizer<const N: usize, const M: usize>(
    optimizer: &impl ElementwiseOptimizer<N, M>,
) -> Result<String> {
    let slots = optimizer.slots();
    let names: Vec<String> = slots.iter().map(|(name, _)| format!("slot.{name}")).collect();
    let mut inputs = vec![("learning_rate", SCALAR), ("number", SCALAR), ("parameter", ELEMENT), ("gradient", ELEMENT)];
    inputs.extend(names.iter().map(|name| (name.as_str(), ELEMENT)));
    let mut outputs = vec!["parameter"];
    outputs.extend(names.iter().map(String::as_str));
    let starts: Vec<Value> = slots.iter().map(|(name, start)| json!([name, hexadecimal(*start)])).collect();
    document(&inputs, &outputs, &[("slots", Value::Array(starts))], |inputs| {
        let numbers = optimizer.numbers(&FormulaStep { learning_rate: inputs[0], number: inputs[1] });
        let before = std::array::from_fn(|k| inputs.get(4 + k).copied().unwrap_or(<Traced as Real>::from(0.0)));
        let (parameter, after) = optimizer.update(&numbers, inputs[2], inputs[3], before);
        std::iter::once(parameter).chain(after.into_iter().take(slots.len())).collect()
    })
}
