//! Arranges `y_true` and `y_pred`, which have the same shape, as rows along one axis. Arrays that already have this
//! layout are borrowed, others are copied.

use super::{
    float::Float,
    scratch::{Elements, Scratch},
};
use crate::{
    shape::{squeeze_or_expand_to_same_rank, Shape},
    Element, Error, Inputs, Result, Tensor,
};

/// Labels and predictions as contiguous rows.
pub(crate) struct Arranged<'a, F: Element> {
    pub(crate) y_true: Elements<'a, F>,
    pub(crate) y_pred: Elements<'a, F>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// The index in the given arrays of each element of the arranged rows; `None` if the indices are the same.
    places: Option<Scratch<u64>>,
}

/// Returns the common shape of both inputs after Keras's rank matching.
///
/// # Errors
/// Returns an error if there isn't one label for each prediction. Broadcasting is refused: it could pair labels with
/// predictions of other samples, or depend on the batch size.
#[inline]
pub(crate) fn pairs(inputs: &Inputs<'_>) -> Result<Shape> {
    let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
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

/// Returns the shape of the values of a loss whose rows lie along `axis`. If it is `None`, the whole batch is one row.
pub(crate) fn output_shape(inputs: &Inputs<'_>, axis: Option<i64>) -> Result<Shape> {
    let shape = pairs(inputs)?;
    axis.map_or(Ok(Shape::default()), |axis| Ok(shape.without(shape.axis(axis, "y_pred")?)))
}

fn elements<'a, F: Element>(tensor: Tensor<'a>, name: &str) -> Result<&'a [F]> {
    tensor.as_slice().ok_or_else(|| Error::input(format!("{name} isn't {}: {tensor:?}", std::any::type_name::<F>())))
}

impl<'a, F: Element> Arranged<'a, F> {
    pub(crate) fn new(inputs: &Inputs<'a>, axis: Option<i64>) -> Result<Self> {
        let shape = pairs(inputs)?;
        let axis = axis.map(|axis| shape.axis(axis, "y_pred")).transpose()?;
        let y_true = elements::<F>(inputs.y_true()?, "y_true")?;
        let y_pred = elements::<F>(inputs.y_pred()?, "y_pred")?;
        let count = shape.count();
        let columns = axis.map_or(count, |axis| shape.lengths()[axis]);
        let rows = match axis {
            Some(axis) => shape.without(axis).count(),
            None => 1,
        };
        let inner: usize = axis.map_or(1, |axis| shape.lengths()[axis + 1..].iter().product());
        if inner == 1 {
            let (y_true, y_pred) = (Elements::Given(y_true), Elements::Given(y_pred));
            return Ok(Arranged { y_true, y_pred, rows, columns, places: None });
        }
        // Element `column` of row `outer * inner + i` is at index `(outer * columns + column) * inner + i`.
        let places = Scratch::of((0..count).map(|index| {
            let (row, column) = (index / columns, index % columns);
            (((row / inner) * columns + column) * inner + row % inner) as u64
        }));
        let arranged = |given: &[F]| Elements::Made(Scratch::of(places.iter().map(|&place| given[place as usize])));
        Ok(Arranged { y_true: arranged(y_true), y_pred: arranged(y_pred), rows, columns, places: Some(places) })
    }

    /// Returns the index in the given arrays of an element of the arranged rows.
    pub(crate) fn place(&self, index: usize) -> usize {
        self.places.as_ref().map_or(index, |places| places[index] as usize)
    }
}

impl<F: Float> Arranged<'_, F> {
    /// Calls `fill` with an array for the gradient of the arranged rows, then writes the result to `target` in the
    /// order of the given arrays.
    pub(crate) fn with_gradient<T>(
        &self,
        target: Option<&mut [F]>,
        fill: impl FnOnce(Option<&mut [F]>) -> Result<T>,
    ) -> Result<T> {
        let Some(places) = &self.places else { return fill(target) };
        let Some(target) = target else { return fill(None) };
        let mut arranged = Scratch::of_length(places.len());
        if target.len() != places.len() {
            return Err(Error::input("the memory for the gradient isn't as large as y_pred"));
        }
        arranged.fill(F::ZERO);
        let result = fill(Some(&mut arranged))?;
        for (&place, derivative) in places.iter().zip(&*arranged) {
            target[place as usize] = *derivative;
        }
        Ok(result)
    }
}
