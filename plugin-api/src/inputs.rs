//! The inputs of a loss or a metric.

use crate::{
    shape::{squeeze_or_expand_to_same_rank, Shape},
    Error, Result, Tensor,
};

/// Named tensors, with an optional weight and an optional mask.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub(crate) tensors: &'a [(&'a str, Tensor<'a>)],
    pub(crate) weight: Option<Tensor<'a>>,
    pub(crate) mask: Option<Tensor<'a>>,
}

impl<'a> Inputs<'a> {
    /// Creates inputs, for a test or for a component that calls another one.
    pub fn new(tensors: &'a [(&'a str, Tensor<'a>)], weight: Option<Tensor<'a>>, mask: Option<Tensor<'a>>) -> Self {
        Inputs { tensors, weight, mask }
    }

    /// Returns all tensors with their names, in the declared order.
    pub fn tensors(&self) -> &'a [(&'a str, Tensor<'a>)] {
        self.tensors
    }

    /// Returns the tensor called `name`.
    ///
    /// # Errors
    /// Returns an error if there is no such tensor.
    pub fn get(&self, name: &str) -> Result<Tensor<'a>> {
        let found = self.tensors.iter().find(|(other, _)| *other == name);
        found.map(|(_, tensor)| *tensor).ok_or_else(|| Error::input(format!("{name} is missing")))
    }

    /// Returns `y_true`, the labels.
    ///
    /// # Errors
    /// Returns an error if it is missing.
    pub fn y_true(&self) -> Result<Tensor<'a>> {
        self.get("y_true")
    }

    /// Returns `y_pred`, the predictions.
    ///
    /// # Errors
    /// Returns an error if it is missing.
    pub fn y_pred(&self) -> Result<Tensor<'a>> {
        self.get("y_pred")
    }

    /// Returns the sample weights, if there are any. They may have any rank that broadcasts.
    pub fn weight(&self) -> Option<Tensor<'a>> {
        self.weight
    }

    /// Returns the mask, if there is one. It may have any rank that broadcasts. (plugfit's own host folds the mask into
    /// the weight.)
    pub fn mask(&self) -> Option<Tensor<'a>> {
        self.mask
    }

    /// Returns the common shape of `y_true` and `y_pred` after Keras's rank matching.
    ///
    /// # Errors
    /// Returns an error if there isn't one label for each prediction. Broadcasting is refused: it could pair labels with
    /// predictions of other samples, or depend on the batch size.
    #[inline]
    pub(crate) fn matched_shape(&self) -> Result<Shape> {
        let (y_true, y_pred) = (self.y_true()?.shape(), self.y_pred()?.shape());
        let (mut true_shape, mut pred_shape) = (Shape::new(y_true, "y_true")?, Shape::new(y_pred, "y_pred")?);
        squeeze_or_expand_to_same_rank(&mut true_shape, &mut pred_shape);
        if true_shape == pred_shape {
            return Ok(pred_shape);
        }
        Err(Error::input(format!(
            "y_true of shape {y_true:?} doesn't fit y_pred of shape {y_pred:?}: each prediction needs a label of its own; bring both \
             to one shape"
        )))
    }
}
