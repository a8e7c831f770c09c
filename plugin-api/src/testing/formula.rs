//! The formula of a component under test, computed in float64.

use super::{
    instance::{self, Instance},
    tested::Tested,
};
use crate::{
    error::into_result,
    instance::{DescribeFn, Table},
    Error, Result,
};
use plugfit_abi as abi;
use plugfit_formula::{Each, Formula, Level, ReadError, Role, Shape};

/// The function of a kind that describes a formula.
type Describe = fn(&abi::FormulaV1) -> DescribeFn;

/// Returns the formula of an instance, or why there is none.
///
/// # Errors
/// Returns an error if the document isn't a formula of the kind.
pub fn formula_of<T: Table>(
    tested: &Tested<'_>,
    instance: &Instance<T>,
    describe: Describe,
    role: Role,
) -> Result<std::result::Result<Formula, String>> {
    // SAFETY: `FORMULA_V1` is the id of the table `FormulaV1`.
    let table = match unsafe { instance::table::<abi::FormulaV1>(tested.subject.plugin, abi::FORMULA_V1) } {
        Ok(table) => table,
        Err(error) => return Ok(Err(error.message().to_owned())),
    };
    // SAFETY: the handle belongs to a table of the same plug-in and of this kind.
    let document = match into_result(unsafe { describe(table)(instance.handle) }) {
        Ok(document) => document,
        Err(error) if error.kind() == abi::ERROR_UNSUPPORTED => return Ok(Err(error.message().to_owned())),
        Err(error) => return Err(error),
    };
    let invalid = |why: String| Error::other(format!("gives a formula that is invalid: {why}"));
    let formula = match Formula::read(&document) {
        Ok(formula) => formula,
        Err(ReadError::Unknown(why)) => return Ok(Err(format!("this version can't read it: {why}"))),
        Err(error) => return Err(invalid(error.to_string())),
    };
    formula.check_role(role).map_err(|error| invalid(error.to_string()))?;
    Ok(Ok(formula))
}

/// The rows of `y_true` and `y_pred`, ordered so that each row is contiguous.
pub struct Rows {
    pub shape: Shape,
    pub y_true: Vec<f64>,
    pub y_pred: Vec<f64>,
    /// The place in `y_pred` of each element of the ordered rows.
    pub places: Vec<usize>,
}

impl Rows {
    /// Returns the inputs of a loss or a metric by name. A metric of values has those of `y_pred`.
    pub fn inputs(&self) -> Vec<(&'static str, &[f64])> {
        vec![("y_true", &self.y_true), ("y_pred", &self.y_pred), ("values", &self.y_pred)]
    }
}

/// Orders the numbers of a batch by the rows of a formula.
///
/// # Errors
/// Returns an error if the shapes don't match the formula.
pub fn rows(formula: &Formula, y_true: &[f64], y_pred: &[f64], pred_shape: &[i64]) -> Result<Rows> {
    let lengths: Vec<usize> = pred_shape.iter().map(|&length| length as usize).collect();
    let (outer, columns, inner) = match (formula.axis(), formula.each()) {
        (None, _) => (1, y_pred.len(), 1),
        (Some(_), Some(Each::Element)) => (y_pred.len(), 1, 1),
        (Some(_), Some(Each::Row | Each::ClassId)) if lengths.len() == 1 => (y_pred.len(), 1, 1),
        (Some(axis), _) => {
            let axis = if axis < 0 { axis + lengths.len() as i64 } else { axis };
            let axis = usize::try_from(axis).ok().filter(|axis| *axis < lengths.len());
            let axis = axis.ok_or_else(|| Error::input(format!("y_pred of shape {lengths:?} has no such axis")))?;
            (lengths[..axis].iter().product(), lengths[axis], lengths[axis + 1..].iter().product())
        }
    };
    let places: Vec<usize> = (0..outer * inner * columns)
        .map(|i| {
            let (row, column) = (i / columns.max(1), i % columns.max(1));
            (row / inner * columns + column) * inner + row % inner
        })
        .collect();
    let level = formula.inputs().iter().find(|input| input.name == "y_true").map(|input| input.level);
    let is_rows = level == Some(Level::Row);
    let y_true = if level.is_some() { y_true } else { y_pred };
    let wanted = if is_rows { outer * inner } else { y_pred.len() };
    if y_true.len() != wanted {
        return Err(Error::input(format!("y_true has {} numbers; the formula needs {wanted}", y_true.len())));
    }
    let ordered = |numbers: &[f64]| places.iter().map(|&place| numbers[place]).collect();
    Ok(Rows {
        shape: Shape { rows: outer * inner, columns },
        y_true: if is_rows { y_true.to_vec() } else { ordered(y_true) },
        y_pred: ordered(y_pred),
        places,
    })
}

/// Computes an output of a formula for these values of its inputs, by name.
///
/// # Errors
/// Returns an error if an input is missing or has the wrong number of values.
pub fn compute(formula: &Formula, output: &str, values: &[(&str, &[f64])], shape: Shape) -> Result<Vec<f64>> {
    let inputs = inputs_of(formula, values)?;
    formula.interpret(output, &inputs, shape).map_err(|error| Error::other(error.to_string()))
}

/// Returns the values of the inputs of a formula, in order.
///
/// # Errors
/// Returns an error if an input is missing.
pub fn inputs_of<'a>(formula: &Formula, values: &[(&str, &'a [f64])]) -> Result<Vec<&'a [f64]>> {
    let value_of = |name: &str| {
        let found = values.iter().find(|(other, _)| *other == name).map(|(_, values)| *values);
        found.ok_or_else(|| Error::other(format!("its formula has an unexpected input {name:?}")))
    };
    formula.inputs().iter().map(|input| value_of(&input.name)).collect()
}

/// Returns the level of an output.
pub fn level(formula: &Formula, output: &str) -> Option<Level> {
    formula.output(output).map(|node| formula.nodes()[node].level)
}
