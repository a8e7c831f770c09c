//! The formulas of components, as Python receives them.

use plugfit::formula::Formula;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Raise;

/// A formula's document, its text, and its LaTeX.
pub type Texts = (String, String, String);

/// Returns the texts of a formula, with the derivatives of a loss if they are wanted.
///
/// # Errors
/// Returns `ValueError` with the reason if there is no formula.
pub fn texts(found: plugfit::Result<Result<Formula, String>>, with_derivatives: bool) -> PyResult<Texts> {
    let formula = found.or_raise()?.map_err(PyValueError::new_err)?;
    let formula = match formula.input("y_pred") {
        Some(_) if with_derivatives => formula.with_derivatives().map_err(plugfit::Error::from).or_raise()?,
        _ => formula.simplify(),
    };
    Ok((formula.to_json().to_string(), formula.explain(false), formula.explain(true)))
}
