//! How far predictions are off, where that isn't the mean of a loss.

use crate::losses::LogCosh;
use plugfit_api::prelude::*;

/// The root of the mean of `(y_pred - y_true)²` over all elements seen, each with the weight of its sample.
#[derive(Clone, Debug, Config)]
pub struct RootMeanSquaredError;

/// Weight times squared error, and weight.
#[state]
#[derive(Copy, Default)]
pub struct Squares {
    sum: f64,
    weight: f64,
}

impl Metric for RootMeanSquaredError {
    type State = Squares;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Minimize)
    }
    fn init(&self) -> Squares {
        Squares::default()
    }
    fn update(&self, squares: &mut Squares, inputs: &Inputs<'_>) -> Result<()> {
        let mut batch = Squares::default();
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                batch.sum += weight * (y_pred - y_true) * (y_pred - y_true);
                batch.weight += weight;
            }
        })?;
        let each = inputs.values_per_sample(Each::Element)?;
        self.merge(squares, &Squares { sum: batch.sum / each, weight: batch.weight / each })
    }
    fn merge(&self, squares: &mut Squares, other: &Squares) -> Result<()> {
        squares.sum += other.sum;
        squares.weight += other.weight;
        Ok(())
    }
    fn result(&self, squares: &Squares) -> Result<Outcome> {
        Ok(match Outcome::ratio(squares.sum, squares.weight) {
            Outcome::Scalar(mean) => Outcome::Scalar(mean.sqrt()),
            undefined => undefined,
        })
    }
}

/// The mean of `ln(cosh(y_pred - y_true))`.
#[derive(Clone, Debug, Config)]
#[config(base(name = "logcosh"), aliases("logcosh"))]
pub struct LogCoshError;

#[formula]
impl ElementwiseLoss for LogCoshError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        LogCosh.value(y_true, y_pred)
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        LogCosh.derivative(y_true, y_pred)
    }
}

/// The mean of the cosine of the angle between `y_true` and `y_pred`, from -1 to 1; the loss of this name has the other sign.
#[derive(Clone, Debug, Config)]
pub struct CosineSimilarity {
    /// The axis of the vectors.
    #[config(default = -1)]
    axis: i64,
}

/// Weight times cosine, and weight.
#[state]
#[derive(Copy, Default)]
pub struct Cosines {
    sum: f64,
    weight: f64,
}

/// Along one line of the axis: the squares of both vectors, their product, and the weight.
#[derive(Clone, Copy, Default)]
struct Line {
    of_true: f64,
    of_pred: f64,
    product: f64,
    weight: f64,
}

impl Metric for CosineSimilarity {
    type State = Cosines;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Maximize)
    }
    fn init(&self) -> Cosines {
        Cosines::default()
    }
    fn update(&self, cosines: &mut Cosines, inputs: &Inputs<'_>) -> Result<()> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        let shape = y_pred.shape();
        let axis = if self.axis < 0 { self.axis + shape.len() as i64 } else { self.axis };
        if y_true.shape() != shape || !(0..shape.len() as i64).contains(&axis) {
            let shapes = (y_true.shape(), shape, self.axis);
            let message =
                format!("y_true of shape {:?} and y_pred of shape {:?} share no axis {}", shapes.0, shapes.1, shapes.2);
            return Err(Error::input(message));
        }
        let axis = axis as usize;
        let length = shape[axis].max(1) as usize;
        let behind = shape[axis + 1..].iter().product::<i64>().max(1) as usize;
        let mut lines = vec![Line::default(); y_pred.len() / length];
        let mut i = 0;
        inputs.for_each(|y_true, y_pred, weight| {
            let line = &mut lines[i / (length * behind) * behind + i % behind];
            line.of_true += y_true * y_true;
            line.of_pred += y_pred * y_pred;
            line.product += y_true * y_pred;
            line.weight = weight;
            i += 1;
        })?;
        let mut batch = Cosines::default();
        for line in lines.iter().filter(|line| line.weight != 0.0) {
            // Keras's epsilon keeps the cosine of a vector of zeros finite.
            let lengths = line.of_true.sqrt().max(1e-7) * line.of_pred.sqrt().max(1e-7);
            batch.sum += line.weight * line.product / lengths;
            batch.weight += line.weight;
        }
        let others = shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, length)| *length);
        let each = others.skip(1).product::<i64>().max(1) as f64;
        self.merge(cosines, &Cosines { sum: batch.sum / each, weight: batch.weight / each })
    }
    fn merge(&self, cosines: &mut Cosines, other: &Cosines) -> Result<()> {
        cosines.sum += other.sum;
        cosines.weight += other.weight;
        Ok(())
    }
    fn result(&self, cosines: &Cosines) -> Result<Outcome> {
        Ok(Outcome::ratio(cosines.sum, cosines.weight))
    }
}
