//! Resolves the two identifiers whose meaning depends on the output: "accuracy" ("acc") and "crossentropy" ("ce").

use plugfit_api::loss::{LossInfo, Targets};
use serde_json::{Map, json};

use crate::identifier::{Identifier, ParsedIdentifier, Spec};
use crate::{Error, Result};

/// One of the two identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auto {
    Accuracy,
    Crossentropy,
}

/// The shapes of an output, including the batch axis.
#[derive(Clone, Copy, Debug)]
pub struct OutputShapes<'a> {
    /// The shape of the targets; `None` for an output without targets.
    pub y_true: Option<&'a [i64]>,
    /// The shape of the predictions.
    pub y_pred: &'a [i64],
}

/// The kind of classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Binary,
    Categorical,
    Sparse,
}

impl Auto {
    /// Returns the identifier that a name stands for, ignoring case.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "accuracy" | "acc" => Some(Auto::Accuracy),
            "crossentropy" | "ce" => Some(Auto::Crossentropy),
            _ => None,
        }
    }

    /// Returns the metric that the identifier stands for, next to this loss.
    pub fn metric(self, loss: Option<&LossInfo>, shapes: OutputShapes<'_>) -> Result<Spec> {
        let task = match loss.and_then(|info| info.targets) {
            Some(Targets::Binary) => Task::Binary,
            Some(Targets::Categorical) => Task::Categorical,
            Some(Targets::Sparse) => Task::Sparse,
            Some(Targets::Regression) | None => by_shapes(shapes)?,
        };
        let logits = loss.is_some_and(|info| info.from_logits);
        let mut config = Map::new();
        let class_name = match (self, task) {
            (Auto::Accuracy, Task::Binary) => {
                if logits {
                    // A logit of 0 is a probability of one half, but the threshold must be greater than 0.
                    config.insert("threshold".into(), json!(f32::MIN_POSITIVE));
                }
                "BinaryAccuracy"
            }
            (Auto::Accuracy, Task::Categorical) => "CategoricalAccuracy",
            (Auto::Accuracy, Task::Sparse) => "SparseCategoricalAccuracy",
            (Auto::Crossentropy, task) => {
                if logits {
                    config.insert("from_logits".into(), json!(true));
                }
                match task {
                    Task::Binary => "BinaryCrossentropy",
                    Task::Categorical => "CategoricalCrossentropy",
                    Task::Sparse => "SparseCategoricalCrossentropy",
                }
            }
        };
        Ok(Spec { class_name: class_name.into(), config })
    }
}

/// Returns the metric that "accuracy", "acc", "crossentropy" or "ce" stands for, given the shapes of an output; any other
/// identifier as it is.
///
/// ```
/// use plugfit::compile::{OutputShapes, metric_by_shapes};
///
/// let shapes = OutputShapes { y_true: Some(&[7]), y_pred: &[7, 3] };
/// let metric = metric_by_shapes("accuracy".into(), shapes)?;
/// assert_eq!(metric.to_json()["class_name"], "SparseCategoricalAccuracy");
/// # Ok::<(), plugfit::Error>(())
/// ```
///
/// # Errors
/// Returns an error if the identifier is invalid, or if the output has no targets.
pub fn metric_by_shapes(identifier: Identifier, shapes: OutputShapes<'_>) -> Result<Identifier> {
    let auto = match identifier.parse()? {
        ParsedIdentifier::Name(name) => Auto::from_name(&name),
        _ => None,
    };
    auto.map_or(Ok(identifier), |auto| Ok(auto.metric(None, shapes)?.into()))
}

/// Returns the loss that "crossentropy" stands for.
pub(super) fn crossentropy(shapes: OutputShapes<'_>) -> Result<&'static str> {
    Ok(match by_shapes(shapes)? {
        Task::Binary => "binary_crossentropy",
        Task::Categorical => "categorical_crossentropy",
        Task::Sparse => "sparse_categorical_crossentropy",
    })
}

/// Applies Keras's rule, except for predictions of shape `[N]`: Keras takes N as the number of classes; here each
/// sample has one number.
fn by_shapes(OutputShapes { y_true, y_pred }: OutputShapes<'_>) -> Result<Task> {
    let y_true = y_true.ok_or_else(|| Error::usage("the output has no targets"))?;
    let classes = if y_pred.len() < 2 { 1 } else { y_pred[y_pred.len() - 1] };
    if classes == 1 {
        return Ok(Task::Binary);
    }
    let sparse = y_true.len() < y_pred.len() || y_true.last() == Some(&1);
    Ok(if sparse { Task::Sparse } else { Task::Categorical })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(word: &str, loss: Option<&LossInfo>, y_true: &[i64], y_pred: &[i64]) -> String {
        let auto = Auto::from_name(word).expect("one of the two words");
        let spec = auto.metric(loss, OutputShapes { y_true: Some(y_true), y_pred }).expect("a metric");
        if spec.config.is_empty() { spec.class_name } else { format!("{} {}", spec.class_name, json!(spec.config)) }
    }

    #[test]
    fn shapes_determine_the_metric_as_in_keras() {
        for (y_true, y_pred, want) in [
            (&[7, 1][..], &[7, 1][..], "BinaryAccuracy"),
            (&[7], &[7, 1], "BinaryAccuracy"),
            (&[7], &[7], "BinaryAccuracy"),
            (&[7, 3], &[7, 3], "CategoricalAccuracy"),
            (&[7], &[7, 3], "SparseCategoricalAccuracy"),
            (&[7, 1], &[7, 3], "SparseCategoricalAccuracy"),
            (&[7, 5], &[7, 5, 3], "SparseCategoricalAccuracy"),
            (&[7, 5, 1], &[7, 5, 1], "BinaryAccuracy"),
        ] {
            assert_eq!(metric("Acc", None, y_true, y_pred), want, "{y_true:?} {y_pred:?}");
        }
        let shapes = OutputShapes { y_true: Some(&[7]), y_pred: &[7, 3] };
        assert_eq!(crossentropy(shapes).expect("a loss"), "sparse_categorical_crossentropy");
        assert!(crossentropy(OutputShapes { y_true: None, y_pred: &[7, 3] }).is_err());
    }

    #[test]
    fn the_declaration_of_a_loss_takes_precedence() {
        let binary = LossInfo::targets(Targets::Binary);
        assert_eq!(metric("accuracy", Some(&binary), &[7, 3], &[7, 3]), "BinaryAccuracy");
        let regression = LossInfo::targets(Targets::Regression);
        assert_eq!(metric("accuracy", Some(&regression), &[7, 3], &[7, 3]), "CategoricalAccuracy");
        let logits = LossInfo { from_logits: true, ..LossInfo::default() };
        assert!(metric("accuracy", Some(&logits), &[7, 1], &[7, 1]).starts_with("BinaryAccuracy {\"threshold\":"));
        assert_eq!(metric("ce", Some(&logits), &[7], &[7, 3]), "SparseCategoricalCrossentropy {\"from_logits\":true}");
    }
}
