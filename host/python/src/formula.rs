//! The formulas of components, as Python receives them.

use plugfit::formula::Formula;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Raise;

/// A formula's document, its text, and its LaTeX.
pub type Texts = (String, String, String);

/// Returns the texts of a formula. That of a loss gets its derivatives.
///
/// # Errors
/// Returns `ValueError` with the reason if there is no formula.
pub fn texts(found: plugfit::Result<Result<Formula, String>>) -> PyResult<Texts> {
    let formula = found.or_raise()?.map_err(PyValueError::new_err)?;
    let formula = match formula.input("y_pred") {
        Some(_) => formula.with_derivatives().or_raise()?,
        None => formula.simplify(),
    };
    Ok((formula.to_json().to_string(), formula.explain(false), formula.explain(true)))
}
