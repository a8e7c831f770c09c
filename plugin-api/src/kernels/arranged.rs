//! Arranges `y_true` and `y_pred`, which have the same shape, as rows along one axis. Arrays that already have this
//! layout are borrowed, others are copied.

use super::{
    float::Float,
    scratch::{Elements, Scratch},
};
use crate::{shape::Shape, Element, Error, Inputs, Result};

/// Labels and predictions as contiguous rows.
pub(crate) struct Arranged<'a, F: Element> {
    pub(crate) y_true: Elements<'a, F>,
    pub(crate) y_pred: Elements<'a, F>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// The index in the given arrays of each element of the arranged rows; `None` if the indices are the same.
    original_indices: Option<Scratch<u64>>,
}

/// Returns the shape of the values of a loss whose rows lie along `axis`. If it is `None`, the whole batch is one row.
pub(crate) fn output_shape(inputs: &Inputs<'_>, axis: Option<i64>) -> Result<Shape> {
    let shape = inputs.matched_shape()?;
    axis.map_or(Ok(Shape::default()), |axis| Ok(shape.without(shape.axis(axis, "y_pred")?)))
}

impl<'a, F: Element> Arranged<'a, F> {
    pub(crate) fn new(inputs: &Inputs<'a>, axis: Option<i64>) -> Result<Self> {
        let shape = inputs.matched_shape()?;
        let axis = axis.map(|axis| shape.axis(axis, "y_pred")).transpose()?;
        let y_true = inputs.y_true()?.floats::<F>("y_true")?;
        let y_pred = inputs.y_pred()?.floats::<F>("y_pred")?;
        let count = shape.count();
        let columns = axis.map_or(count, |axis| shape.length(axis));
        let rows = match axis {
            Some(axis) => shape.without(axis).count(),
            None => 1,
        };
        let inner = axis.map_or(1, |axis| shape.count_from(axis + 1));
        if inner == 1 {
            let (y_true, y_pred) = (Elements::Borrowed(y_true), Elements::Borrowed(y_pred));
            return Ok(Arranged { y_true, y_pred, rows, columns, original_indices: None });
        }
        // Element `column` of row `outer * inner + i` is at index `(outer * columns + column) * inner + i`.
        let indices = Scratch::of((0..count).map(|index| {
            let (row, column) = (index / columns, index % columns);
            (((row / inner) * columns + column) * inner + row % inner) as u64
        }));
        let arranged = |given: &[F]| Elements::Copied(Scratch::of(indices.iter().map(|&index| given[index as usize])));
        Ok(Arranged {
            y_true: arranged(y_true),
            y_pred: arranged(y_pred),
            rows,
            columns,
            original_indices: Some(indices),
        })
    }

    /// Returns the index in the given arrays of an element of the arranged rows.
    pub(crate) fn original_index(&self, index: usize) -> usize {
        self.original_indices.as_ref().map_or(index, |indices| indices[index] as usize)
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
        let Some(indices) = &self.original_indices else { return fill(target) };
        let Some(target) = target else { return fill(None) };
        let mut arranged = Scratch::of_length(indices.len());
        if target.len() != indices.len() {
            return Err(Error::input("the memory for the gradient isn't as large as y_pred"));
        }
        arranged.fill(F::ZERO);
        let result = fill(Some(&mut arranged))?;
        for (&index, derivative) in indices.iter().zip(&*arranged) {
            target[index as usize] = *derivative;
        }
        Ok(result)
    }
}
