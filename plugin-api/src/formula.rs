//! Formulas of components as data: a component's functions are called with numbers that record each operation, and the
//! record is the document of `plugfit.formula/1` ([`FormulaV1`](plugfit_abi::FormulaV1)).

mod trace;
mod traced;

pub use traced::{Traced, TracedMask};

use crate::{
    sums::{SumLayout, SumResult, Sums, Term},
    walk::Each,
    ClassId, Real, Result, Row,
};
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

    /// Records a metric of the weighted mean of its only input, `values`.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_mean_of_values() -> Result<Self> {
        let keys = [("each", json!("element")), ("axis", json!(-1))];
        document(&[("values", ELEMENT)], &["value"], &keys, |inputs| vec![inputs[0]]).map(Formula)
    }

    /// Records a metric of the weighted sum of its only input, `values`.
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_sum_of_values() -> Result<Self> {
        let layout = SumLayout::new(Each::Element);
        let terms = |inputs: &[Traced]| [inputs[0].into()];
        sums(&[("values", ELEMENT)], ["sum"], &layout, terms, |sums| sums.numbers()[0].into())
    }

    /// Records a metric of sums: see [`SumMetric`](crate::metric::SumMetric). With bins for each column, the result may
    /// use [`Traced::batch_sum`].
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    pub fn of_sums<const K: usize>(
        names: [&str; K],
        layout: &SumLayout,
        terms: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> [Term<Traced>; K],
        result: impl Fn(Sums<'_, Traced, K>) -> SumResult<Traced>,
    ) -> Result<Self> {
        let y_true = if layout.each == Each::ClassId { ROW } else { ELEMENT };
        let inputs = [("y_true", y_true), ("y_pred", ELEMENT)];
        let terms = |inputs: &[Traced]| terms(Row::new(&inputs[..1]), Row::new(&inputs[1..2]));
        sums(&inputs, names, layout, terms, result)
    }

    /// Records a metric that is a function of the weighted mean of a value.
    pub(crate) fn of_result(
        each: Each,
        value: impl Fn(Row<'_, Traced>, Row<'_, Traced>) -> Traced,
        result: impl Fn(Traced) -> Traced,
    ) -> Result<Self> {
        let y_true = if each == Each::ClassId { ROW } else { ELEMENT };
        document(
            &[("y_true", y_true), ("y_pred", ELEMENT), ("mean", SCALAR)],
            &["value", "result"],
            &unit(each),
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

/// Returns the keys that describe a unit.
fn unit(each: Each) -> [(&'static str, Value); 2] {
    let (name, axis) = match each {
        Each::Row => ("row", -1),
        Each::Element => ("element", -1),
        Each::ClassId => ("class_id", -1),
        Each::Line(axis) => ("line", axis),
    };
    [("each", json!(name)), ("axis", json!(axis))]
}

fn sums<const K: usize>(
    inputs: &[(&str, &str)],
    names: [&str; K],
    layout: &SumLayout,
    terms: impl Fn(&[Traced]) -> [Term<Traced>; K],
    result: impl Fn(Sums<'_, Traced, K>) -> SumResult<Traced>,
) -> Result<Formula> {
    let has_bins = layout.bins > 1;
    let level = if has_bins || layout.by_column { ELEMENT } else { SCALAR };
    let of_result = names.map(|name| (name, level));
    let result = document(&of_result, &["result", "undefined"], &[], |inputs| {
        let rows = std::array::from_fn(|k| &inputs[k..=k]);
        let SumResult { numbers, is_undefined, .. } = result(Sums::new(rows));
        let undefined = is_undefined.map(|mask| Traced::select(mask, Real::from(1.0), Real::from(0.0)));
        numbers.into_iter().take(1).chain(undefined).collect()
    })?;
    // Columns are the elements of a row.
    let each = if layout.by_column { Each::Row } else { layout.each };
    let [each, axis] = unit(each);
    let result: Value = serde_json::from_str(&result).unwrap_or_default();
    let mut described = json!({"bins": layout.bins, "by_column": layout.by_column, "result": result});
    if let Some(length) = layout.result_length {
        described["result_length"] = json!(length);
    }
    let mut outputs: Vec<String> = names.iter().map(|name| format!("term.{name}")).collect();
    if has_bins {
        outputs.extend(names.iter().map(|name| format!("bin.{name}")));
    }
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    document(inputs, &outputs, &[each, axis, ("sums", described)], |inputs| {
        let terms = terms(inputs);
        let bins = terms.map(|term| term.bin.unwrap_or_else(|| Real::from(0.0)));
        terms.map(|term| term.value).into_iter().chain(bins.into_iter().filter(|_| has_bins)).collect()
    })
    .map(Formula)
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
