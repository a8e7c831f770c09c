//! `y_true` and `y_pred` brought to rows along one axis: in place where they are so already, else copied.

use super::{
    float::Float,
    scratch::{Elements, Scratch},
};
use crate::{
    shape::{common, same_rank, Broadcast, Shape},
    Element, Error, Inputs, Result, Tensor,
};

pub(crate) struct Arranged<'a, F: Element> {
    pub(crate) y_true: Elements<'a, F>,
    pub(crate) y_pred: Elements<'a, F>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// For each element of the arranged rows its place in `y_pred` as given; `None`: the same.
    pred_places: Option<Scratch<u64>>,
}

/// The shapes of the inputs after Keras's rank matching, what both broadcast to, and the axis of a row.
fn shapes(inputs: &Inputs<'_>, axis: Option<i64>) -> Result<(Shape, Shape, Shape, Option<usize>)> {
    let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
    let (mut true_shape, mut pred_shape) =
        (Shape::new(y_true.shape(), "y_true")?, Shape::new(y_pred.shape(), "y_pred")?);
    same_rank(&mut true_shape, &mut pred_shape);
    let shape = common(&true_shape, &pred_shape)?;
    let axis = axis.map(|axis| shape.axis(axis, "y_pred")).transpose()?;
    Ok((true_shape, pred_shape, shape, axis))
}

/// Checks that there is one label for each prediction: that the shapes are the same after Keras's rank matching. What would be
/// broadcast pairs labels with predictions of other samples, or depends on the length of the batch.
pub(crate) fn check_pairs(inputs: &Inputs<'_>) -> Result<()> {
    let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
    let (mut true_shape, mut pred_shape) = (Shape::new(y_true, "y_true")?, Shape::new(y_pred, "y_pred")?);
    same_rank(&mut true_shape, &mut pred_shape);
    if true_shape == pred_shape {
        return Ok(());
    }
    Err(Error::input(format!(
        "y_true of shape {y_true:?} doesn't fit y_pred of shape {y_pred:?}: each prediction needs a label of its own; bring both \
         to one shape"
    )))
}

/// The shape of the values of a loss that takes rows along `axis`; `None`: the whole batch is one row.
pub(crate) fn output_shape(inputs: &Inputs<'_>, axis: Option<i64>) -> Result<Shape> {
    let (_, _, shape, axis) = shapes(inputs, axis)?;
    Ok(axis.map_or_else(Shape::default, |axis| shape.without(axis)))
}

fn elements<'a, F: Element>(tensor: Tensor<'a>, name: &str) -> Result<&'a [F]> {
    tensor.as_slice().ok_or_else(|| Error::input(format!("{name} isn't {}: {tensor:?}", std::any::type_name::<F>())))
}

impl<'a, F: Element> Arranged<'a, F> {
    pub(crate) fn new(inputs: &Inputs<'a>, axis: Option<i64>) -> Result<Self> {
        let (true_shape, pred_shape, shape, axis) = shapes(inputs, axis)?;
        let y_true = elements::<F>(inputs.y_true()?, "y_true")?;
        let y_pred = elements::<F>(inputs.y_pred()?, "y_pred")?;
        let count = shape.count();
        let columns = axis.map_or(count, |axis| shape.lengths()[axis]);
        let rows = match axis {
            Some(axis) => shape.without(axis).count(),
            None => 1,
        };
        let inner: usize = axis.map_or(1, |axis| shape.lengths()[axis + 1..].iter().product());
        if inner == 1 && true_shape == shape && pred_shape == shape {
            let (y_true, y_pred) = (Elements::Given(y_true), Elements::Given(y_pred));
            return Ok(Arranged { y_true, y_pred, rows, columns, pred_places: None });
        }
        let place = |small| Broadcast::from_the_right(small, &shape).expect("both broadcast to their common shape");
        let (true_place, pred_place) = (place(&true_shape), place(&pred_shape));
        // Element `column` of row `outer * inner + i` lies at `(outer * columns + column) * inner + i`.
        let flat = |index: usize| {
            let (row, column) = (index / columns, index % columns);
            ((row / inner) * columns + column) * inner + row % inner
        };
        let pred_places = Scratch::of((0..count).map(|index| pred_place.place(flat(index)) as u64));
        Ok(Arranged {
            y_true: Elements::Made(Scratch::of((0..count).map(|index| y_true[true_place.place(flat(index))]))),
            y_pred: Elements::Made(Scratch::of(pred_places.iter().map(|&place| y_pred[place as usize]))),
            rows,
            columns,
            pred_places: Some(pred_places),
        })
    }
}

impl<F: Float> Arranged<'_, F> {
    /// Runs `fill` with room for the gradient of the arranged rows, then puts it where it belongs.
    pub(crate) fn with_gradient<T>(
        &self,
        target: Option<&mut [F]>,
        fill: impl FnOnce(Option<&mut [F]>) -> Result<T>,
    ) -> Result<T> {
        let Some(places) = &self.pred_places else { return fill(target) };
        let Some(target) = target else { return fill(None) };
        let mut arranged = Scratch::of_length(places.len());
        arranged.fill(F::ZERO);
        let result = fill(Some(&mut arranged))?;
        target.fill(F::ZERO);
        for (&place, slope) in places.iter().zip(&*arranged) {
            // Where y_pred was broadcast, one element has the slopes of all its copies.
            target[place as usize] += *slope;
        }
        Ok(result)
    }
}
