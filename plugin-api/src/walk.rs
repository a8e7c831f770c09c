//! Iteration over inputs of any dtype as float64, with weights and without allocation per batch.

use crate::{
    kernels::scratch::Scratch,
    labels::check_ids,
    numeric::{numeric, BLOCK},
    shape::Shape,
    weights::{per_sample, Weights},
    Error, Inputs, Result, Tensor,
};

/// `y_true` and `y_pred`, and their common shape.
struct Pair<'a> {
    y_true: Tensor<'a>,
    y_pred: Tensor<'a>,
    shape: Shape,
}

impl<'a> Pair<'a> {
    #[inline]
    fn new(inputs: &Inputs<'a>) -> Result<Self> {
        let (y_true, y_pred) = (numeric(inputs.y_true()?, "y_true")?, numeric(inputs.y_pred()?, "y_pred")?);
        Ok(Pair { y_true, y_pred, shape: inputs.matched_shape()? })
    }

    /// Calls `f` for each line along the axis, or for each element if it is `None`. Empty lines are skipped.
    fn for_each_line(&self, axis: Option<usize>, weights: Weights<'_>, mut f: impl FnMut(&[f64], &[f64], f64)) {
        let length = axis.map_or(1, |axis| self.shape.length(axis));
        let inner = axis.map_or(1, |axis| self.shape.count_from(axis + 1));
        let lines = self.shape.count().checked_div(length).unwrap_or(0);
        let [mut true_line, mut pred_line] = [(); 2].map(|()| Scratch::of_length(length));
        let read = |tensor: &Tensor<'a>, line: usize, target: &mut [f64]| {
            if inner == 1 {
                tensor.read_f64(line * length, target);
            } else {
                for (i, value) in target.iter_mut().enumerate() {
                    *value = tensor.get_f64((line / inner * length + i) * inner + line % inner);
                }
            }
        };
        let mut weights = weights.in_order(lines);
        for line in 0..lines {
            read(&self.y_true, line, &mut true_line);
            read(&self.y_pred, line, &mut pred_line);
            f(&true_line, &pred_line, weights.next());
        }
    }
}

/// The unit for which a [`MeanMetric`](crate::metric::MeanMetric) computes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// A row of `y_true` and of `y_pred`, along the last axis. The rows of a batch of rank 1 have one element.
    Row,
    /// An element of `y_true` and of `y_pred`.
    Element,
    /// A class id of `y_true` and a row of `y_pred`. `y_true` has one axis less than `y_pred`, or a last axis of length
    /// 1. An id that isn't the index of an element of the row is refused.
    ClassId,
    /// A line of `y_true` and of `y_pred` along this axis, which counts from the end if it is negative. A batch of rank
    /// 1 is one line. The metric reports that rows are independent if the axis is -1 or greater than 0.
    Line(i64),
}

/// The prediction of a classifier for one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The true class.
    pub label: usize,
    /// The predicted class: the first one with the greatest probability.
    pub class: usize,
    /// The probability of the predicted class; NaN if the row contains NaN.
    pub confidence: f64,
    /// Whether the predicted class is the true one; `false` if the row contains NaN.
    pub is_right: bool,
}

/// Returns the shape of the rows along the last axis, and their length. The rows of a vector have one element.
pub(crate) fn rows_of(y_pred: &Tensor<'_>) -> Result<(Shape, usize)> {
    let mut shape = Shape::new(y_pred.shape(), "y_pred")?;
    let columns = if shape.rank() > 1 { shape.last().unwrap_or(1) } else { 1 };
    if shape.rank() > 1 {
        shape.pop();
    }
    Ok((shape, columns))
}

impl<'a> Inputs<'a> {
    /// Calls `f(y_true, y_pred, weight)` for each element, in float64.
    ///
    /// Both inputs must have the same shape after Keras's rank matching; weights broadcast. float32 is converted
    /// exactly, 64-bit integers are rounded. `f` is called for elements of weight 0 too.
    ///
    /// # Errors
    /// Returns an error if the shapes don't match or an input isn't numeric.
    pub fn for_each(&self, mut f: impl FnMut(f64, f64, f64)) -> Result<()> {
        let pair = Pair::new(self)?;
        let weights = Weights::new(self.weight, &pair.shape)?;
        let count = pair.shape.count();
        let mut weights = weights.in_order(count);
        let [mut y_true, mut y_pred] = [(); 2].map(|()| Scratch::of_length(BLOCK.min(count)));
        for start in (0..count).step_by(BLOCK) {
            let n = BLOCK.min(count - start);
            pair.y_true.read_f64(start, &mut y_true[..n]);
            pair.y_pred.read_f64(start, &mut y_pred[..n]);
            for i in 0..n {
                f(y_true[i], y_pred[i], weights.next());
            }
        }
        Ok(())
    }

    /// Calls `f(y_true, y_pred, weight)` for each row along the last axis, in float64. The rows of a batch of rank 1
    /// have one element.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`for_each`](Self::for_each).
    pub fn for_each_row(&self, f: impl FnMut(&[f64], &[f64], f64)) -> Result<()> {
        let pair = Pair::new(self)?;
        let last = pair.shape.rank().checked_sub(1).filter(|last| *last > 0);
        let weights = Weights::new(self.weight, &last.map_or(pair.shape, |last| pair.shape.without(last)))?;
        pair.for_each_line(last, weights, f);
        Ok(())
    }

    /// Calls `f(y_true, y_pred, weight)` for each line along an axis, in float64. The axis counts from the end if it is
    /// negative. A batch of rank 1 is one line.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`for_each`](Self::for_each), or if there is no such axis.
    pub fn for_each_line(&self, axis: i64, f: impl FnMut(&[f64], &[f64], f64)) -> Result<()> {
        let pair = Pair::new(self)?;
        let axis = pair.shape.axis(axis, "y_pred")?;
        let weights = Weights::new(self.weight, &pair.shape.without(axis))?;
        pair.for_each_line(Some(axis), weights, f);
        Ok(())
    }

    /// Returns the index of an axis of the common shape after Keras's rank matching. The axis counts from the end if it
    /// is negative.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`for_each_line`](Self::for_each_line).
    pub fn axis(&self, axis: i64) -> Result<usize> {
        Pair::new(self)?.shape.axis(axis, "y_pred")
    }

    /// Calls `f(id, y_pred_row, weight)` for each row of `y_pred` whose weight isn't 0, with its class id.
    ///
    /// # Errors
    /// Returns an error, before the first call of `f`, if `y_true` doesn't have one id per row, an id isn't the index
    /// of an element of its row, or the weights don't broadcast.
    pub fn for_each_class_id(&self, mut f: impl FnMut(usize, &[f64], f64)) -> Result<()> {
        let (y_true, y_pred) = (numeric(self.y_true()?, "y_true")?, numeric(self.y_pred()?, "y_pred")?);
        let (shape, columns) = rows_of(&y_pred)?;
        if y_true.len() != shape.count() {
            return Err(Error::input(format!(
                "y_true of shape {:?} doesn't contain one class id for each row of y_pred of shape {:?}",
                y_true.shape(),
                y_pred.shape()
            )));
        }
        let weights = Weights::new(self.weight, &shape)?;
        check_ids(&y_true, "y_true", Some(columns), |row| weights.get(row) == 0.0)?;
        let mut pred_row = Scratch::of_length(columns);
        let mut weights = weights.in_order(shape.count());
        for row in 0..shape.count() {
            let weight = weights.next();
            if weight != 0.0 {
                y_pred.read_f64(row * columns, &mut pred_row);
                f(y_true.get_f64(row) as usize, &pred_row, weight);
            }
        }
        Ok(())
    }

    /// Calls `f(prediction, weight)` for each sample of a classifier whose weight isn't 0.
    ///
    /// `y_pred` contains probabilities of shape `[rows, classes]`, or probabilities of class 1 of shape `[rows]` or
    /// `[rows, 1]`. `y_true` contains one-hot rows in the shape of `y_pred`, or class ids of shape `[rows]` or
    /// `[rows, 1]`. If a row contains NaN, its weight is passed as NaN, so that a sum of weights becomes NaN.
    ///
    /// # Errors
    /// Returns an error, before the first call of `f`, if the shapes don't match, an id isn't that of a class, or an
    /// input isn't numeric.
    pub fn for_each_prediction(&self, mut f: impl FnMut(Prediction, f64)) -> Result<()> {
        let (y_true, y_pred) = (numeric(self.y_true()?, "y_true")?, numeric(self.y_pred()?, "y_pred")?);
        let (shape, columns) = rows_of(&y_pred)?;
        let rows = shape.count();
        let one_hot = columns > 1 && y_true.shape() == y_pred.shape();
        if !one_hot && y_true.len() != rows {
            return Err(Error::input(format!(
                "y_true of shape {:?} contains neither a class id nor a one-hot row for each row of y_pred of shape {:?}",
                y_true.shape(),
                y_pred.shape()
            )));
        }
        let weights = Weights::new(self.weight, &shape)?;
        if !one_hot {
            check_ids(&y_true, "y_true", Some(columns.max(2)), |row| weights.get(row) == 0.0)?;
        }
        // The first index of the maximum, and the maximum; NaN if the row contains one.
        let greatest = |tensor: &Tensor<'_>, row: usize| {
            (1..columns).fold((0, tensor.get_f64(row * columns)), |best, column| {
                let value = tensor.get_f64(row * columns + column);
                if value > best.1 || value.is_nan() {
                    (column, value)
                } else {
                    best
                }
            })
        };
        let mut weights = weights.in_order(rows);
        for row in 0..rows {
            let weight = weights.next();
            if weight == 0.0 {
                continue;
            }
            let (class, confidence) = match columns {
                1 => match y_pred.get_f64(row) {
                    positive if positive > 0.5 => (1, positive),
                    negative => (0, 1.0 - negative),
                },
                _ => greatest(&y_pred, row),
            };
            let (label, certain) = if one_hot { greatest(&y_true, row) } else { (y_true.get_f64(row) as usize, 1.0) };
            if confidence.is_nan() || certain.is_nan() {
                f(Prediction { label, class, confidence: f64::NAN, is_right: false }, f64::NAN);
            } else {
                f(Prediction { label, class, confidence, is_right: label == class }, weight);
            }
        }
        Ok(())
    }

    /// Returns a function from the number of a row of `y_pred`, along the last axis, to the row's weight. The rows of a
    /// vector have one element.
    ///
    /// # Errors
    /// Returns an error if the weights don't broadcast.
    pub fn row_weights(&self) -> Result<impl Fn(usize) -> f64 + 'a> {
        let weights = Weights::new(self.weight, &rows_of(&self.y_pred()?)?.0)?;
        Ok(move |row| weights.get(row))
    }

    /// Calls `f(value, weight)` for each element of `values`, in float64.
    ///
    /// # Errors
    /// Returns an error if the weights don't broadcast, or `values` isn't numeric.
    pub fn for_each_value(&self, mut f: impl FnMut(f64, f64)) -> Result<()> {
        let values = numeric(self.get("values")?, "values")?;
        let weights = Weights::new(self.weight, &Shape::new(values.shape(), "values")?)?;
        let mut weights = weights.in_order(values.len());
        values.for_each_f64(|value| f(value, weights.next()));
        Ok(())
    }

    /// Returns the number of values per sample if there is one value for [each](Each) of these. Keras averages over all
    /// axes but the first: the number of samples is the length of the first axis, or 1 if there is a scalar weight.
    ///
    /// # Errors
    /// Returns an error if the inputs are invalid.
    pub fn values_per_sample(&self, each: Each) -> Result<f64> {
        let mut shape = match each {
            Each::ClassId => Shape::new(self.y_pred()?.shape(), "y_pred")?,
            _ => Pair::new(self)?.shape,
        };
        match each {
            Each::Line(axis) => shape = shape.without(shape.axis(axis, "y_pred")?),
            Each::Row | Each::ClassId if shape.rank() > 1 => shape.pop(),
            _ => {}
        }
        Ok(per_sample(&shape, self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_paired_with_their_label_and_weight() {
        let (y_true, y_pred, weight) = ([1i64, 1, 2, 2], [0.5f32, 0.25, 4.0, 8.0], [10.0f32, 20.0]);
        let tensors = [("y_true", Tensor::new(&y_true, &[2, 2])), ("y_pred", Tensor::new(&y_pred, &[2, 2]))];
        let inputs = Inputs::new(&tensors, Some(Tensor::new(&weight, &[2])), None);
        let mut seen = Vec::new();
        inputs.for_each(|t, p, w| seen.push((t, p, w))).unwrap();
        assert_eq!(seen, [(1.0, 0.5, 10.0), (1.0, 0.25, 10.0), (2.0, 4.0, 20.0), (2.0, 8.0, 20.0)]);
        let mut rows = Vec::new();
        inputs.for_each_row(|t, p, w| rows.push((t.to_vec(), p.to_vec(), w))).unwrap();
        assert_eq!(rows, [(vec![1.0, 1.0], vec![0.5, 0.25], 10.0), (vec![2.0, 2.0], vec![4.0, 8.0], 20.0)]);
    }

    #[test]
    fn a_column_matches_a_vector_and_nothing_is_broadcast() {
        let data = [1.0f32, 2.0, 3.0, 4.0];
        let walk = |y_true: &[i64], y_pred: &[i64]| {
            let length = |shape: &[i64]| shape.iter().product::<i64>() as usize;
            let (t, p) = (&data[..length(y_true)], &data[..length(y_pred)]);
            let tensors = [("y_true", Tensor::new(t, y_true)), ("y_pred", Tensor::new(p, y_pred))];
            let mut seen = 0;
            let inputs = Inputs::new(&tensors, None, None);
            inputs.for_each(|t, p, _| seen += usize::from(t == p)).map(|()| seen).ok()
        };
        assert_eq!((walk(&[3], &[3, 1]), walk(&[2, 2, 1], &[2, 2])), (Some(3), Some(4)));
        for (y_true, y_pred) in [(&[2][..], &[2, 2][..]), (&[2, 1], &[2, 2]), (&[1], &[4]), (&[], &[4])] {
            assert_eq!(walk(y_true, y_pred), None, "{y_true:?} {y_pred:?}");
        }
    }

    fn predictions(y_true: &[f32], y_pred: &[f32], columns: i64, weight: &[f32]) -> Result<Vec<(usize, usize, f64)>> {
        let (rows, mut seen) = (weight.len() as i64, Vec::new());
        let (shape, of_labels) = ([rows, columns], [rows, y_true.len() as i64 / rows]);
        let tensors = [("y_true", Tensor::new(y_true, &of_labels)), ("y_pred", Tensor::new(y_pred, &shape))];
        let of_weight = [rows];
        let inputs = Inputs::new(&tensors, Some(Tensor::new(weight, &of_weight)), None);
        inputs.for_each_prediction(|prediction, weight| seen.push((prediction.label, prediction.class, weight)))?;
        Ok(seen)
    }

    #[test]
    fn a_row_of_weight_0_is_ignored_and_a_row_with_nan_has_weight_nan() {
        let nan = f32::NAN;
        let seen = predictions(&[9.0, 1.0, 0.0], &[0.1, nan, 0.2, 0.8, nan, 0.4], 2, &[0.0, 2.0, 1.0]).unwrap();
        assert_eq!(seen[0], (1, 1, 2.0));
        assert!(seen.len() == 2 && seen[1].2.is_nan(), "{seen:?}");
        let one_hot = predictions(&[0.0, nan], &[0.1, 0.9], 2, &[1.0]).unwrap();
        assert!(one_hot[0].2.is_nan());
        let of_class_1 = predictions(&[1.0, 0.0], &[nan, 0.3], 1, &[1.0, 1.0]).unwrap();
        assert!(of_class_1[0].2.is_nan() && of_class_1[1] == (0, 0, 1.0));
    }

    #[test]
    fn an_id_that_is_no_class_is_refused_before_the_first_call() {
        for id in [2.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
            let refused = predictions(&[1.0, id], &[0.1, 0.9, 0.2, 0.8], 2, &[1.0, 1.0]).unwrap_err();
            assert!(refused.message().contains("row 1"), "{refused}");
            let ids = [1.0, id];
            let tensors = [("y_true", Tensor::new(&ids, &[2])), ("y_pred", Tensor::new(&[0.0f32; 4], &[2, 2]))];
            let mut called = false;
            assert!(Inputs::new(&tensors, None, None).for_each_class_id(|_, _, _| called = true).is_err() && !called);
        }
    }

    #[test]
    fn an_error_of_shapes_names_the_input() {
        let data = [0.0f32; 6];
        let tensors = [("y_true", Tensor::new(&data, &[3, 2])), ("y_pred", Tensor::new(&data, &[2, 3]))];
        let error = Inputs::new(&tensors, None, None).for_each(|_, _, _| ()).unwrap_err();
        assert!(error.message().contains("y_true") && error.message().contains("[3, 2]"), "{error}");
    }
}
