//! The document of the formula of a metric that is a mean.

use super::{Each, MeanMetric};
use crate::{
    formula::{document, ELEMENT, ROW, SCALAR},
    Result, Row,
};
use serde_json::json;

/// Returns the document of a mean of values.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(super) fn mean_metric(metric: &impl MeanMetric) -> Result<String> {
    let (each, axis, y_true) = match metric.each() {
        Each::Row => ("row", -1, ELEMENT),
        Each::Element => ("element", -1, ELEMENT),
        Each::ClassId => ("class_id", -1, ROW),
        Each::Line(axis) => ("line", axis, ELEMENT),
    };
    document(
        &[("y_true", y_true), ("y_pred", ELEMENT), ("mean", SCALAR)],
        &["value", "result"],
        &[("each", json!(each)), ("axis", json!(axis))],
        |inputs| {
            let value = metric.value(Row::new(&inputs[..1]), Row::new(&inputs[1..2]));
            vec![value, metric.result(inputs[2])]
        },
    )
}
