//! The metrics that identifiers stand for.

use datafusion::arrow::datatypes::DataType;
use plugfit::compile::{OutputShapes, metric_by_shapes};
use plugfit::{Identifier, Result};

/// Returns the identifier that a text is: a name with settings, or a JSON object as Keras serializes a metric.
pub fn identifier(text: &str) -> Identifier {
    match serde_json::from_str(text) {
        Ok(object @ serde_json::Value::Object(_)) => object.into(),
        _ => text.into(),
    }
}

/// Returns an identifier as it is, but "accuracy" and "crossentropy" as the metrics for these types: of a binary output
/// if the predictions are numbers, and of classes if they are lists.
///
/// # Errors
/// Returns an error if the identifier is invalid, or if it needs targets and there are none.
pub fn resolve(identifier: Identifier, y_true: Option<&DataType>, y_pred: Option<&DataType>) -> Result<Identifier> {
    let shape = |found: &DataType| match found {
        DataType::FixedSizeList(_, length) => [1, i64::from(*length)],
        // The number of classes is in the data.
        DataType::List(_) | DataType::LargeList(_) => [1, 2],
        _ => [1, 1],
    };
    let (y_true, y_pred) = (y_true.map(shape), y_pred.map_or([1, 1], shape));
    metric_by_shapes(identifier, OutputShapes { y_true: y_true.as_ref().map(|shape| &shape[..]), y_pred: &y_pred })
}
