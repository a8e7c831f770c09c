//! Walking over inputs in float64, whatever their dtype, with broadcasting and weights, and nothing allocated per batch.

use crate::{
    metric::Each,
    shape::{common, same_rank, Broadcast, Shape},
    Error, Inputs, Result, Scratch, Tensor,
};

macro_rules! with_elements {
    ($tensor:expr, $slice:ident => $body:expr, $otherwise:expr) => {
        if let Some($slice) = $tensor.as_slice::<f32>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<f64>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<i32>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<i64>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<u8>() {
            $body
        } else {
            $otherwise
        }
    };
}

// One of the types is float64 itself.
#[allow(clippy::unnecessary_cast)]
impl<'a> Tensor<'a> {
    /// Whether [`get_f64`](Self::get_f64) and its like can read it: float32, float64, int32, int64, uint8.
    pub fn is_numeric(&self) -> bool {
        with_elements!(self, _slice => true, false)
    }

    /// Element `i` in C order as float64; NaN if it isn't numeric.
    ///
    /// # Panics
    /// If there is no element `i`.
    pub fn get_f64(&self, i: usize) -> f64 {
        with_elements!(self, slice => slice[i] as f64, f64::NAN)
    }

    /// Calls `f` with each element in C order as float64.
    pub fn for_each_f64(&self, mut f: impl FnMut(f64)) {
        with_elements!(self, slice => slice.iter().for_each(|&value| f(value as f64)), ());
    }

    /// Elements `start` and on as float64, as many as `target` holds.
    fn read_f64(&self, start: usize, target: &mut [f64]) {
        with_elements!(self, slice => {
            for (target, &value) in target.iter_mut().zip(&slice[start..]) {
                *target = value as f64;
            }
        }, ());
    }
}

/// See [`Inputs::values_per_sample`].
pub(crate) fn per_sample(shape: &Shape, weight: Option<Tensor<'_>>) -> f64 {
    let of_one = usize::from(weight.is_none_or(|weight| weight.rank() > 0));
    shape.lengths().iter().skip(of_one).product::<usize>().max(1) as f64
}

/// `y_true`, `y_pred` and a weight, brought together.
struct Together<'a> {
    y_true: Tensor<'a>,
    y_pred: Tensor<'a>,
    true_place: Broadcast,
    pred_place: Broadcast,
    shape: Shape,
}

impl<'a> Together<'a> {
    #[inline]
    fn new(inputs: &Inputs<'a>) -> Result<Self> {
        let (y_true, y_pred) = (numeric(inputs.y_true()?, "y_true")?, numeric(inputs.y_pred()?, "y_pred")?);
        let (mut true_shape, mut pred_shape) =
            (Shape::new(y_true.shape(), "y_true")?, Shape::new(y_pred.shape(), "y_pred")?);
        same_rank(&mut true_shape, &mut pred_shape);
        let shape = common(&true_shape, &pred_shape)?;
        let place = |small| Broadcast::from_the_right(small, &shape).expect("both broadcast to their common shape");
        let (true_place, pred_place) = (place(&true_shape), place(&pred_shape));
        Ok(Together { y_true, y_pred, true_place, pred_place, shape })
    }

    /// Calls `f` for each line along the axis, or for each element; for none that has no elements.
    fn for_each_line(&self, axis: Option<usize>, weights: Weights<'_>, mut f: impl FnMut(&[f64], &[f64], f64)) {
        let length = axis.map_or(1, |axis| self.shape.lengths()[axis]);
        let behind: usize = axis.map_or(1, |axis| self.shape.lengths()[axis + 1..].iter().product());
        let lines = self.shape.count().checked_div(length).unwrap_or(0);
        let [mut true_line, mut pred_line] = [(); 2].map(|()| Scratch::of_length(length));
        let side = |tensor: &Tensor<'a>, place: &Broadcast, line: usize, target: &mut [f64]| {
            if place.is_identity() && behind == 1 {
                tensor.read_f64(line * length, target);
            } else {
                for (i, value) in target.iter_mut().enumerate() {
                    *value = tensor.get_f64(place.place((line / behind * length + i) * behind + line % behind));
                }
            }
        };
        for line in 0..lines {
            side(&self.y_true, &self.true_place, line, &mut true_line);
            side(&self.y_pred, &self.pred_place, line, &mut pred_line);
            f(&true_line, &pred_line, weights.get(line));
        }
    }
}

pub(crate) fn numeric<'a>(tensor: Tensor<'a>, name: &str) -> Result<Tensor<'a>> {
    if tensor.is_numeric() {
        Ok(tensor)
    } else {
        Err(Error::input(format!("{name} holds no numbers that this component reads: {tensor:?}")))
    }
}

/// The weight that belongs to each place of an array.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a>(Option<(Tensor<'a>, Broadcast)>);

impl<'a> Weights<'a> {
    pub(crate) fn new(weight: Option<Tensor<'a>>, shape: &Shape) -> Result<Self> {
        let Some(weight) = weight else { return Ok(Weights(None)) };
        let weight = numeric(weight, "sample_weight")?;
        let (mut small, mut large) = (Shape::new(weight.shape(), "sample_weight")?, *shape);
        same_rank(&mut small, &mut large);
        match Broadcast::from_the_left(&small, &large).or_else(|| Broadcast::from_the_right(&small, &large)) {
            Some(place) => Ok(Weights(Some((weight, place)))),
            None => Err(Error::input(format!("sample_weight of shape {:?} doesn't fit {shape:?}", weight.shape()))),
        }
    }

    #[inline]
    pub(crate) fn get(&self, flat: usize) -> f64 {
        match &self.0 {
            Some((weight, place)) => weight.get_f64(place.place(flat)),
            None => 1.0,
        }
    }
}

/// What a classifier says of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The class that is right.
    pub label: usize,
    /// The class predicted: the one with the greatest probability, the first of equals.
    pub class: usize,
    /// The probability of the class predicted.
    pub confidence: f64,
    /// Whether both are the same.
    pub is_right: bool,
}

/// How many elements are converted at once.
const BLOCK: usize = 1024;

impl<'a> Inputs<'a> {
    /// Calls `f(y_true, y_pred, weight)` for each element, in float64.
    ///
    /// Ranks are made the same as Keras does, then both broadcast; weights broadcast too. float64 is taken as it is, float32 converted exactly.
    ///
    /// # Errors
    /// The shapes don't fit, or an input holds no numbers.
    pub fn for_each(&self, mut f: impl FnMut(f64, f64, f64)) -> Result<()> {
        let together = Together::new(self)?;
        let weights = Weights::new(self.weight, &together.shape)?;
        let count = together.shape.count();
        if together.true_place.is_identity() && together.pred_place.is_identity() {
            let [mut y_true, mut y_pred] = [(); 2].map(|()| Scratch::of_length(BLOCK.min(count)));
            for start in (0..count).step_by(BLOCK) {
                let n = BLOCK.min(count - start);
                together.y_true.read_f64(start, &mut y_true[..n]);
                together.y_pred.read_f64(start, &mut y_pred[..n]);
                for i in 0..n {
                    f(y_true[i], y_pred[i], weights.get(start + i));
                }
            }
        } else {
            for i in 0..count {
                let y_true = together.y_true.get_f64(together.true_place.place(i));
                f(y_true, together.y_pred.get_f64(together.pred_place.place(i)), weights.get(i));
            }
        }
        Ok(())
    }

    /// Calls `f(y_true, y_pred, weight)` for each row along the last axis, in float64; a batch of rank 1 has rows of one element.
    ///
    /// # Errors
    /// As [`for_each`](Self::for_each).
    pub fn for_each_row(&self, f: impl FnMut(&[f64], &[f64], f64)) -> Result<()> {
        let together = Together::new(self)?;
        let last = together.shape.rank().checked_sub(1).filter(|last| *last > 0);
        let weights = Weights::new(self.weight, &last.map_or(together.shape, |last| together.shape.without(last)))?;
        together.for_each_line(last, weights, f);
        Ok(())
    }

    /// Calls `f(y_true, y_pred, weight)` for each line along an axis, in float64. An axis counts from the end if it is negative; a batch of
    /// rank 1 is a line.
    ///
    /// # Errors
    /// As [`for_each`](Self::for_each), or there is no such axis.
    pub fn for_each_line(&self, axis: i64, f: impl FnMut(&[f64], &[f64], f64)) -> Result<()> {
        let together = Together::new(self)?;
        let axis = together.shape.axis(axis, "y_pred")?;
        let weights = Weights::new(self.weight, &together.shape.without(axis))?;
        together.for_each_line(Some(axis), weights, f);
        Ok(())
    }

    /// Calls `f` with a class id, the row of `y_pred` it belongs to, and their weight. An id may be out of range, or no whole number.
    ///
    /// # Errors
    /// `y_true` holds not one id for each row, or the weights don't fit.
    pub fn for_each_class_id(&self, mut f: impl FnMut(f64, &[f64], f64)) -> Result<()> {
        let (y_true, y_pred) = (numeric(self.y_true()?, "y_true")?, numeric(self.y_pred()?, "y_pred")?);
        let mut shape = Shape::new(y_pred.shape(), "y_pred")?;
        let columns = if shape.rank() > 1 { shape.last().unwrap_or(1) } else { 1 };
        if shape.rank() > 1 {
            shape.pop();
        }
        if y_true.len() != shape.count() {
            return Err(Error::input(format!(
                "y_true of shape {:?} doesn't hold one class id for each row of y_pred of shape {:?}",
                y_true.shape(),
                y_pred.shape()
            )));
        }
        let weights = Weights::new(self.weight, &shape)?;
        let mut pred_row = Scratch::of_length(columns);
        for row in 0..shape.count() {
            y_pred.read_f64(row * columns, &mut pred_row);
            f(y_true.get_f64(row), &pred_row, weights.get(row));
        }
        Ok(())
    }

    /// Calls `f(prediction, weight)` for each sample of a classifier.
    ///
    /// `y_pred` are probabilities `[rows, classes]`, or `[rows]` or `[rows, 1]` of class 1. `y_true` are one-hot rows in the shape of `y_pred`, or
    /// class ids, `[rows]` or `[rows, 1]`.
    ///
    /// # Errors
    /// The shapes don't fit, an id isn't that of a class, or an input holds no numbers.
    pub fn for_each_prediction(&self, mut f: impl FnMut(Prediction, f64)) -> Result<()> {
        let (y_true, y_pred) = (numeric(self.y_true()?, "y_true")?, numeric(self.y_pred()?, "y_pred")?);
        let columns = if y_pred.rank() > 1 { y_pred.rows_and_columns().1 } else { 1 };
        let rows = y_pred.len().checked_div(columns).unwrap_or(0);
        let one_hot = columns > 1 && y_true.shape() == y_pred.shape();
        if !one_hot && y_true.len() != rows {
            return Err(Error::input(format!(
                "y_true of shape {:?} holds neither a class id nor a one-hot row for each row of y_pred of shape {:?}",
                y_true.shape(),
                y_pred.shape()
            )));
        }
        let mut shape = Shape::new(y_pred.shape(), "y_pred")?;
        if shape.rank() > 1 {
            shape.pop();
        }
        let weights = Weights::new(self.weight, &shape)?;
        let greatest = |tensor: &Tensor<'_>, row: usize| {
            (1..columns).fold((0, tensor.get_f64(row * columns)), |best, column| {
                let value = tensor.get_f64(row * columns + column);
                if value > best.1 {
                    (column, value)
                } else {
                    best
                }
            })
        };
        for row in 0..rows {
            let (class, confidence) = match columns {
                1 => match y_pred.get_f64(row) {
                    positive if positive > 0.5 => (1, positive),
                    negative => (0, 1.0 - negative),
                },
                _ => greatest(&y_pred, row),
            };
            let label = if one_hot { greatest(&y_true, row).0 as f64 } else { y_true.get_f64(row) };
            if !(0.0..columns.max(2) as f64).contains(&label) {
                return Err(Error::input(format!("y_true holds {label}, which is no class of {}", columns.max(2))));
            }
            let label = label as usize;
            f(Prediction { label, class, confidence, is_right: label == class }, weights.get(row));
        }
        Ok(())
    }

    /// Calls `f(value, weight)` for each element of `values`, in float64.
    ///
    /// # Errors
    /// The weights don't fit, or `values` holds no numbers.
    pub fn for_each_value(&self, mut f: impl FnMut(f64, f64)) -> Result<()> {
        let values = numeric(self.get("values")?, "values")?;
        let weights = Weights::new(self.weight, &Shape::new(values.shape(), "values")?)?;
        let mut i = 0;
        values.for_each_f64(|value| {
            f(value, weights.get(i));
            i += 1;
        });
        Ok(())
    }

    /// How many values a sample has where there is one for [each](Each) of these. Keras averages over what stands behind the first
    /// axis, so that a batch counts as many samples as its first axis is long, and as one where it has one weight for all.
    ///
    /// # Errors
    /// The inputs don't fit.
    pub fn values_per_sample(&self, each: Each) -> Result<f64> {
        let mut shape = match each {
            Each::ClassId => Shape::new(self.y_pred()?.shape(), "y_pred")?,
            _ => Together::new(self)?.shape,
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
    fn elements_meet_their_broadcast_partner_and_weight() {
        let (y_true, y_pred, weight) = ([1i64, 2], [0.5f32, 0.25, 4.0, 8.0], [10.0f32, 20.0]);
        let tensors = [("y_true", Tensor::new(&y_true, &[2, 1])), ("y_pred", Tensor::new(&y_pred, &[2, 2]))];
        let inputs = Inputs::new(&tensors, Some(Tensor::new(&weight, &[2])), None);
        let mut seen = Vec::new();
        inputs.for_each(|t, p, w| seen.push((t, p, w))).unwrap();
        assert_eq!(seen, [(1.0, 0.5, 10.0), (1.0, 0.25, 10.0), (2.0, 4.0, 20.0), (2.0, 8.0, 20.0)]);
        let mut rows = Vec::new();
        inputs.for_each_row(|t, p, w| rows.push((t.to_vec(), p.to_vec(), w))).unwrap();
        assert_eq!(rows, [(vec![1.0, 1.0], vec![0.5, 0.25], 10.0), (vec![2.0, 2.0], vec![4.0, 8.0], 20.0)]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let data = [0.0f32; 6];
        let tensors = [("y_true", Tensor::new(&data, &[3, 2])), ("y_pred", Tensor::new(&data, &[2, 3]))];
        let error = Inputs::new(&tensors, None, None).for_each(|_, _, _| ()).unwrap_err();
        assert!(error.message().contains("y_true") && error.message().contains("[3, 2]"), "{error}");
    }
}
