//! What losses that call a function of the user, a closure or a C function, have in common.

use plugfit_api::Inputs;
use plugfit_api::config::{ComponentSpec, TrialSpec};
use plugfit_api::loss::LossTotals;

/// The declaration of such a loss, which has no configuration.
pub(crate) const SPEC: ComponentSpec = ComponentSpec {
    name: "Callable",
    aliases: &[],
    doc: "",
    version: 1,
    base: &[],
    fields: &[],
    examples: &[],
    trial: TrialSpec::ANY,
};

/// Returns the shape of the values: one for each row, which extends along the last axis.
pub(crate) fn output_shape(inputs: &Inputs<'_>) -> plugfit_api::Result<Vec<i64>> {
    let shape = inputs.y_pred()?.shape();
    Ok(if shape.len() < 2 { shape } else { &shape[..shape.len() - 1] }.to_vec())
}

/// Adds the value of a row to the totals. A row of weight 0 counts as absent, even if its value isn't finite.
pub(crate) fn add(totals: &mut LossTotals, value: f32, weight: f32) {
    if weight != 0.0 {
        totals.value += f64::from(weight) * f64::from(value);
        totals.weight += f64::from(weight);
    }
}

/// Multiplies the gradient of a row. That of a row with the factor 0 becomes 0, even if it isn't finite.
pub(crate) fn scale_row(gradient: &mut [f32], factor: f32) {
    match factor == 0.0 {
        true => gradient.fill(0.0),
        false => gradient.iter_mut().for_each(|derivative| *derivative *= factor),
    }
}
