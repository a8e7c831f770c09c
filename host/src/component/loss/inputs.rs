//! The inputs of a loss: ranks aligned as in Keras, labels checked against predictions, and the shape of the values.

use plugfit_api::loss::Targets;
use plugfit_api::{Inputs, Tensor};

use crate::component::broadcast::{self, Shape, squeeze_or_expand_to_same_rank};
use crate::component::named::{NamedTensors, TensorArray, further_inputs};
use crate::{Error, Result, plugin};

/// The shape of the values, cached for the last input shapes.
#[derive(Debug, Default)]
pub(super) struct ValueShapes {
    y_true: Vec<i64>,
    y_pred: Vec<i64>,
    values: Option<Vec<i64>>,
}

impl ValueShapes {
    /// Returns the shape of the values. Calls the plug-in only if the input shapes have changed.
    pub fn get(&mut self, loss: &plugin::Loss, inputs: &Inputs<'_>, y_true: &Shape, y_pred: &Shape) -> Result<Shape> {
        // The shape may depend on that of a further input.
        if inputs.tensors().len() > 2
            || self.y_true != y_true.lengths()
            || self.y_pred != y_pred.lengths()
            || self.values.is_none()
        {
            self.values = None;
            let values = loss.output_shape(inputs)?;
            self.y_true.clear();
            self.y_true.extend_from_slice(y_true.lengths());
            self.y_pred.clear();
            self.y_pred.extend_from_slice(y_pred.lengths());
            self.values = Some(values);
        }
        broadcast::shape(self.values.as_deref().unwrap_or_default(), "the loss")
    }
}

/// Returns both shapes, aligned to the same rank as in Keras.
pub(super) fn aligned(y_true: &Tensor<'_>, y_pred: &Tensor<'_>) -> Result<(Shape, Shape)> {
    let mut true_shape = broadcast::shape(y_true.shape(), "y_true")?;
    let mut pred_shape = broadcast::shape(y_pred.shape(), "y_pred")?;
    squeeze_or_expand_to_same_rank(&mut true_shape, &mut pred_shape);
    Ok((true_shape, pred_shape))
}

/// Checks that labels and predictions have the same shape, since each prediction needs its own label. A plug-in of an
/// older plugfit-api would broadcast them. Losses with class ids, and losses that don't declare their kind of labels,
/// check the shapes themselves.
pub(super) fn check_pairs(
    loss: &plugin::Loss,
    (y_true, true_shape): (&Tensor<'_>, &Shape),
    (y_pred, pred_shape): (&Tensor<'_>, &Shape),
) -> Result<()> {
    if true_shape == pred_shape || matches!(loss.info().targets, None | Some(Targets::Sparse)) {
        return Ok(());
    }
    let (labels, predictions) = (y_true.shape(), y_pred.shape());
    let error = Error::usage(format!(
        "{}: y_true of shape {labels:?} doesn't fit y_pred of shape {predictions:?}",
        loss.name()
    ));
    Err(match (loss.info().targets, predictions) {
        (Some(Targets::Categorical), [_, .., _]) if labels.len() < predictions.len() || labels.last() == Some(&1) => {
            error.hint("if y_true contains class ids, use sparse_categorical_crossentropy")
        }
        _ => error.hint("each prediction needs a label of its own: bring both to one shape"),
    })
}

/// Returns the inputs of a loss with further inputs in its order, and their number. `usual` are its labels and
/// predictions. Returns `None` if the loss has no others.
///
/// # Errors
/// Returns an error if an input is missing, or if the loss has no labels or no predictions.
pub(super) fn in_order<'l>(
    loss: &'l plugin::Loss,
    usual: &[(&'l str, Tensor<'l>); 2],
    further: &NamedTensors<'l>,
) -> Result<Option<TensorArray<'l>>> {
    let declared = &loss.info().inputs;
    if further_inputs(declared).next().is_none() {
        return Ok(None);
    }
    if let Some((name, _)) = usual.iter().find(|(name, _)| !declared.iter().any(|other| other == name)) {
        return Err(Error::usage(format!(
            "{} has no input {name}, and can only be called by its plug-in's tests",
            loss.name()
        )));
    }
    let mut given = NamedTensors::of(usual)?;
    for name in further_inputs(declared) {
        given.push(name, further.get(loss.name(), name)?)?;
    }
    Ok(given.in_order(loss.name(), declared)?.array())
}

/// Returns the index of the predictions.
pub(super) fn predictions(inputs: &Inputs<'_>) -> usize {
    inputs.tensors().iter().position(|(name, _)| *name == "y_pred").unwrap_or(1)
}

/// Returns the same numbers in a different shape of the same size.
pub(super) fn reshaped<'a>(tensor: Tensor<'a>, shape: &'a [i64]) -> Tensor<'a> {
    if let Some(numbers) = tensor.as_slice::<f32>() {
        Tensor::new(numbers, shape)
    } else if let Some(numbers) = tensor.as_slice::<f64>() {
        Tensor::new(numbers, shape)
    } else if let Some(numbers) = tensor.as_slice::<i32>() {
        Tensor::new(numbers, shape)
    } else if let Some(numbers) = tensor.as_slice::<i64>() {
        Tensor::new(numbers, shape)
    } else if let Some(numbers) = tensor.as_slice::<u8>() {
        Tensor::new(numbers, shape)
    } else if let Some(numbers) = tensor.as_slice::<u64>() {
        Tensor::new(numbers, shape)
    } else {
        tensor
    }
}
