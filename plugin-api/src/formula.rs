//! Formulas of components as data: a component's functions are called with numbers that record each operation, and the
//! record is the document of `plugfit.formula/1` ([`FormulaV1`](plugfit_abi::FormulaV1)).

mod trace;
mod traced;

pub use traced::{Traced, TracedMask};

use crate::{walk::Each, ClassId, Real, Result, Row};
use serde_json::{json, Value};
use trace::{trace, Node};
use traced::Number;

/// The level of an input.
pub(crate) const ELEMENT: &str = "element";
pub(crate) const ROW: &str = "row";
pub(crate) const SCALAR: &str = "scalar";

/// The recorded formula of a loss or a metric.
#[derive(Clone, Debug)]
pub struct Formula(pub(crate) String);

impl Formula {
    /// Records a loss of one element, whose value is the mean over `axis`, and its derivative with respect to `y_pred`.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_elements(axis: i64, value_and_derivative: impl Fn(Traced, Traced) -> (Traced, Traced)) -> Result<Self> {
        let inputs = [("y_true", ELEMENT), ("y_pred", ELEMENT)];
        document(&inputs, &["value", "derivative"], &[("axis", json!(axis))], |inputs| {
            let (value, derivative) = value_and_derivative(inputs[0], inputs[1]);
            vec![value, derivative]
        })
        .map(Formula)
    }

    /// Records the update of one parameter by an optimizer with these slots and initial values. `update` gets the step,
    /// an element of the parameter, of its gradient and of each slot, and returns the element and the slots after the
    /// step. The elements of a parameter are a row ([`Row::of_element`]).
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_parameter(
        slots: &[(&str, f64)],
        update: impl FnOnce(&FormulaStep<Traced>, Traced, Traced, &[Traced]) -> (Traced, Vec<Traced>),
    ) -> Result<Self> {
        let names: Vec<String> = slots.iter().map(|(name, _)| format!("slot.{name}")).collect();
        let mut inputs =
            vec![("learning_rate", SCALAR), ("number", SCALAR), ("parameter", ELEMENT), ("gradient", ELEMENT)];
        inputs.extend(names.iter().map(|name| (name.as_str(), ELEMENT)));
        let mut outputs = vec!["parameter"];
        outputs.extend(names.iter().map(String::as_str));
        let starts: Vec<Value> = slots.iter().map(|(name, start)| json!([name, hexadecimal(*start)])).collect();
        document(&inputs, &outputs, &[("slots", Value::Array(starts))], |inputs| {
            let step = FormulaStep { learning_rate: inputs[0], number: inputs[1] };
            let (parameter, after) = update(&step, inputs[2], inputs[3], &inputs[4..]);
            if after.len() < slots.len() {
                refuse("its update returns fewer slots than it has");
                return vec![parameter; outputs.len()];
            }
            std::iter::once(parameter).chain(after.into_iter().take(slots.len())).collect()
        })
        .map(Formula)
    }

    /// Records a metric that is the weighted mean of a value.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_mean(each: Each, value: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> Traced) -> Result<Self> {
        Self::of_result(each, value, |mean| mean)
    }

    /// Records a metric that is a function of the weighted mean of a value.
    pub(crate) fn of_result(
        each: Each,
        value: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> Traced,
        result: impl Fn(Traced) -> Traced,
    ) -> Result<Self> {
        let (name, axis, y_true) = match each {
            Each::Row => ("row", -1, ELEMENT),
            Each::Element => ("element", -1, ELEMENT),
            Each::ClassId => ("class_id", -1, ROW),
            Each::Line(axis) => ("line", axis, ELEMENT),
        };
        document(
            &[("y_true", y_true), ("y_pred", ELEMENT), ("mean", SCALAR)],
            &["value", "result"],
            &[("each", json!(name)), ("axis", json!(axis))],
            |inputs| vec![value(Row::new(&inputs[..1]), Row::new(&inputs[1..2])), result(inputs[2])],
        )
        .map(Formula)
    }

    /// Records a loss of one row of `y_true` and one of `y_pred`. Rows lie along `axis`; if it is `None`, the whole batch
    /// is one row.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_rows(axis: Option<i64>, value: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> Traced) -> Result<Self> {
        Self::rows(axis, &["value"], |y_true, y_pred| vec![value(y_true, y_pred)])
    }

    /// Does the same as [`of_rows`](Self::of_rows) for a function that returns the value and its derivative with respect
    /// to an element of `y_pred`. Without it the derivative is computed from the value, operation by operation.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_rows_with_derivative(
        axis: Option<i64>,
        value_and_derivative: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> (Traced, Traced),
    ) -> Result<Self> {
        Self::rows(axis, &["value", "derivative"], |y_true, y_pred| {
            let (value, derivative) = value_and_derivative(y_true, y_pred);
            vec![value, derivative]
        })
    }

    fn rows(
        axis: Option<i64>,
        outputs: &[&str],
        formula: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> Vec<Traced>,
    ) -> Result<Self> {
        document(&[("y_true", ELEMENT), ("y_pred", ELEMENT)], outputs, &[("axis", json!(axis))], |inputs| {
            formula(Row::new(&inputs[..1]), Row::new(&inputs[1..]))
        })
        .map(Formula)
    }

    /// Records a loss of one class id and one row of `y_pred`, which lies along `axis`.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_class_ids(axis: i64, value: impl Fn(ClassId<Traced>, Row<'_, Traced>) -> Traced) -> Result<Self> {
        document(&[("y_true", ROW), ("y_pred", ELEMENT)], &["value"], &[("axis", json!(axis))], |inputs| {
            vec![value(inputs[0].to_class_id(), Row::new(&inputs[1..]))]
        })
        .map(Formula)
    }
}

/// The step of an optimizer, as numbers of its formula.
#[derive(Clone, Copy, Debug)]
pub struct FormulaStep<R> {
    /// The learning rate of this parameter in this step.
    pub learning_rate: R,
    /// The number of this update, counted from 1, as bias corrections need it.
    pub number: R,
}

/// Refuses the formula that is being recorded, if one is: this configuration has none.
pub fn refuse(why: &'static str) {
    trace::refuse(why);
}

/// Records a formula and writes its document, with further keys.
pub(crate) fn document(
    inputs: &[(&str, &str)],
    outputs: &[&str],
    keys: &[(&str, Value)],
    formula: impl FnOnce(&[Traced]) -> Vec<Traced>,
) -> Result<String> {
    let (nodes, found) = trace(inputs.len(), |references| {
        let inputs: Vec<Traced> = references.iter().map(|reference| Traced(Number::Node(*reference))).collect();
        formula(&inputs).into_iter().map(Traced::reference).collect()
    })?;
    let mut document = json!({
        "version": 1,
        "inputs": inputs,
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "outputs": outputs.iter().zip(found).collect::<Vec<_>>(),
    });
    for (key, value) in keys {
        document[key] = value.clone();
    }
    Ok(document.to_string())
}

fn node(node: &Node) -> Value {
    let mut entries = vec![json!(node.operation)];
    entries.extend(node.arguments.iter().flatten().map(|argument| json!(argument)));
    entries.extend(node.constant.map(|bits| json!(hexadecimal(f64::from_bits(bits)))));
    Value::Array(entries)
}

fn hexadecimal(constant: f64) -> String {
    format!("{:016x}", constant.to_bits())
}
