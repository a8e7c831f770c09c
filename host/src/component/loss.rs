//! A loss: the plug-in's values, weighted, masked and reduced like in Keras.

use plugfit_api::loss::{LossInfo, LossOutput, LossTotals, Targets};
use plugfit_api::{Float, Inputs, Tensor, TensorMut};
use serde_json::{Map, Value, json};

use super::broadcast::{Shape, common, squeeze_or_expand_to_same_rank, walk};
use super::combine::{Combined, Combiner, misfit};
use super::keys::Keys;
use super::reduction::{Reduction, divide_no_nan};
use super::weightless::{self, Spare};
use crate::error::ErrorKind;
use crate::plugin::{self, Kind};
use crate::{Error, Result};

/// A loss with a name and a reduction. Repeated calls with batches of the same shape allocate no memory.
#[derive(Debug)]
pub struct Loss {
    name: String,
    reduction: Reduction,
    loss: plugin::Loss,
    info: LossInfo,
    scratch: Scratch<f32>,
    /// The state for computation in float64.
    double: Option<Box<Double>>,
}

/// The value of a loss for a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossValue<'l> {
    /// A single number.
    Scalar(f64),
    /// With the reduction "none": a number for each sample, or several.
    Array {
        /// The length of each axis.
        shape: &'l [i64],
        /// The numbers in C order.
        values: &'l [f32],
    },
    /// Like `Array`, for a loss that computes in float64.
    Array64 {
        /// The length of each axis.
        shape: &'l [i64],
        /// The numbers in C order.
        values: &'l [f64],
    },
}

impl LossValue<'_> {
    /// Returns the number.
    ///
    /// # Errors
    /// Returns an error if the value is an array.
    pub fn scalar(&self) -> Result<f64> {
        match self {
            LossValue::Scalar(value) => Ok(*value),
            LossValue::Array { shape, .. } | LossValue::Array64 { shape, .. } => Err(Error::usage(format!(
                "the reduction \"none\" leaves values of shape {shape:?}, and a number is needed"
            ))
            .with("in", "reduction")
            .hint("use the reduction \"sum_over_batch_size\" or \"sum\"")),
        }
    }
}

/// Memory that is reused for the next batch.
#[derive(Debug, Default)]
struct Scratch<F> {
    combiner: Combiner<F>,
    shapes: OutputShapes,
    upstream: Vec<F>,
    values: Vec<F>,
    valid: Vec<F>,
    weighted: Vec<F>,
    weighted_shape: Vec<i64>,
    spare: Spare<F>,
}

/// Memory for computation in float64, including the gradient if it is requested in float32.
#[derive(Debug, Default)]
struct Double {
    scratch: Scratch<f64>,
    gradient: Vec<f64>,
}

/// The value for a batch. If the array is `None`, the value is the number.
type Reduced<'s, F> = (f64, Option<(&'s [i64], &'s [F])>);

/// The shape of the values, cached for the last input shapes.
#[derive(Debug, Default)]
pub(super) struct OutputShapes {
    y_true: Vec<i64>,
    y_pred: Vec<i64>,
    values: Option<Vec<i64>>,
}

impl OutputShapes {
    /// Returns the shape of the values. Calls the plug-in only if the input shapes have changed.
    pub fn get(&mut self, loss: &plugin::Loss, inputs: &Inputs<'_>, y_true: &Shape, y_pred: &Shape) -> Result<Shape> {
        if self.y_true != y_true.lengths() || self.y_pred != y_pred.lengths() || self.values.is_none() {
            self.values = None;
            let values = loss.output_shape(inputs)?;
            self.y_true.clear();
            self.y_true.extend_from_slice(y_true.lengths());
            self.y_pred.clear();
            self.y_pred.extend_from_slice(y_pred.lengths());
            self.values = Some(values);
        }
        Shape::new(self.values.as_deref().unwrap_or_default(), "the loss")
    }
}

impl Loss {
    /// Creates a loss with the host's keys of its configuration: name, reduction.
    ///
    /// # Errors
    /// Returns an error if a key is unknown or invalid.
    pub fn new(loss: plugin::Loss, base: Map<String, Value>) -> Result<Self> {
        let reduction = base.get("reduction").cloned();
        let mut keys = Keys::new(Kind::Loss, loss.name(), base)?;
        let reduction = match reduction {
            None => Reduction::default(),
            Some(value) => {
                Reduction::from_json(&value).ok_or_else(|| keys.wrong("reduction", Reduction::NAMES, &value))?
            }
        };
        let name = keys.name()?;
        let mut info = loss.info().clone();
        let double = match keys.dtype()?.as_deref() == Some("float64") {
            false => None,
            true => {
                loss.check_float64()?;
                accept_float64(&mut info);
                Some(Box::default())
            }
        };
        Ok(Loss { name, reduction, loss, info, scratch: Scratch::default(), double })
    }

    /// Returns the name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the class.
    pub fn class_name(&self) -> &str {
        self.loss.name()
    }

    /// Returns the reduction of the values to one number.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// Returns the properties that depend on the configuration, including the accepted dtypes: float64 replaces float32
    /// if the loss computes in float64.
    pub fn info(&self) -> &LossInfo {
        &self.info
    }

    /// Returns whether the loss computes in float64.
    pub fn is_float64(&self) -> bool {
        self.double.is_some()
    }

    /// Returns the plug-in's loss.
    pub fn plugin(&self) -> &plugin::Loss {
        &self.loss
    }

    /// Returns the complete configuration.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = self.loss.config()?;
        config.insert("name".into(), json!(self.name));
        config.insert("reduction".into(), json!(self.reduction.name()));
        Ok(config)
    }

    /// Checks that the plug-in accepts targets and predictions with these row shapes.
    ///
    /// # Errors
    /// Returns the error of the plug-in if it rejects the shapes.
    pub(crate) fn check_shapes(&self, y_true: &[usize], y_pred: &[usize]) -> Result<()> {
        // A plug-in that declares dtypes is checked with the first batch.
        if !self.loss.info().dtypes.is_empty() {
            return Ok(());
        }
        // Use two rows: a single row would have a first axis of length 1, which broadcasts.
        let two_rows = |row: &[usize]| [&[2], row].concat().iter().map(|&length| length as i64).collect::<Vec<_>>();
        let shapes = [y_true, y_pred].map(two_rows);
        let zeros = [y_true, y_pred].map(|row| vec![0.0f32; 2 * row.iter().product::<usize>()]);
        let (y_true, y_pred) = (Tensor::new(&zeros[0], &shapes[0]), Tensor::new(&zeros[1], &shapes[1]));
        let (true_shape, pred_shape) = aligned(&y_true, &y_pred)?;
        check_pairs(&self.loss, (&y_true, &true_shape), (&y_pred, &pred_shape))?;
        let tensors =
            [("y_true", reshaped(y_true, true_shape.lengths())), ("y_pred", reshaped(y_pred, pred_shape.lengths()))];
        match self.loss.output_shape(&Inputs::new(&tensors, None, None)) {
            Err(error) if error.kind() == ErrorKind::Failure => Err(error.into_usage()),
            // Other errors will be reported with the batch that causes them.
            _ => Ok(()),
        }
    }

    /// Returns the loss of a batch. `weight` and `mask` broadcast to the values as in Keras.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if the plug-in fails.
    pub fn value(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<LossValue<'_>> {
        let Loss { reduction, loss, scratch, double, .. } = self;
        let batch = Batch { y_true, y_pred, weight, mask, scale: 1.0 };
        match double {
            None => run(loss, *reduction, scratch, batch, None).map(single),
            Some(double) => run(loss, *reduction, &mut double.scratch, batch, None).map(in_double),
        }
    }

    /// Returns the loss of a batch and overwrites `gradient` with `scale` times its derivative with respect to
    /// `y_pred`. Without a reduction, it is the derivative of the sum. Both come from one call of the plug-in.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if the loss has no gradient, or if the plug-in fails.
    pub fn value_and_gradient(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
        scale: f64,
        gradient: &mut TensorMut<'_>,
    ) -> Result<LossValue<'_>> {
        if gradient.shape() != y_pred.shape() {
            let shapes = (gradient.shape(), y_pred.shape());
            return Err(Error::usage(format!("a gradient of shape {:?} for y_pred of shape {:?}", shapes.0, shapes.1)));
        }
        let Loss { reduction, loss, scratch, double, .. } = self;
        let (reduction, batch) = (*reduction, Batch { y_true, y_pred, weight, mask, scale });
        let Some(double) = double else {
            let gradient =
                gradient.as_mut_slice::<f32>().ok_or_else(|| Error::usage("the gradient must be float32"))?;
            return run(loss, reduction, scratch, batch, Some(gradient)).map(single);
        };
        let Double { scratch, gradient: derivatives } = &mut **double;
        if let Some(gradient) = gradient.as_mut_slice::<f64>() {
            return run(loss, reduction, scratch, batch, Some(gradient)).map(in_double);
        }
        let gradient =
            gradient.as_mut_slice::<f32>().ok_or_else(|| Error::usage("the gradient must be float64 or float32"))?;
        derivatives.resize(gradient.len(), 0.0);
        let value = run(loss, reduction, scratch, batch, Some(derivatives))?;
        gradient.iter_mut().zip(&*derivatives).for_each(|(single, &derivative)| *single = derivative as f32);
        Ok(in_double(value))
    }
}

/// Replaces float32 by float64 in the accepted dtypes.
fn accept_float64(info: &mut LossInfo) {
    info.dtypes.resize(info.inputs.len(), Vec::new());
    for dtypes in &mut info.dtypes {
        if dtypes.is_empty() {
            dtypes.push("float64".into());
        } else if dtypes.iter().any(|dtype| dtype == "float64") {
            dtypes.retain(|dtype| dtype != "float32");
        } else {
            dtypes.iter_mut().filter(|dtype| *dtype == "float32").for_each(|dtype| *dtype = "float64".into());
        }
    }
}

fn single((value, array): Reduced<'_, f32>) -> LossValue<'_> {
    array.map_or(LossValue::Scalar(value), |(shape, values)| LossValue::Array { shape, values })
}

fn in_double((value, array): Reduced<'_, f64>) -> LossValue<'_> {
    array.map_or(LossValue::Scalar(value), |(shape, values)| LossValue::Array64 { shape, values })
}

/// The arguments of a loss.
struct Batch<'b> {
    y_true: Tensor<'b>,
    y_pred: Tensor<'b>,
    weight: Option<Tensor<'b>>,
    mask: Option<Tensor<'b>>,
    scale: f64,
}

fn run<'s, F: Float>(
    loss: &plugin::Loss,
    reduction: Reduction,
    scratch: &'s mut Scratch<F>,
    Batch { y_true, y_pred, weight, mask, scale }: Batch<'_>,
    mut gradient: Option<&mut [F]>,
) -> Result<Reduced<'s, F>> {
    let Scratch { combiner, shapes, upstream, values, valid, weighted, weighted_shape, spare } = scratch;
    let (true_shape, pred_shape) = aligned(&y_true, &y_pred)?;
    check_pairs(loss, (&y_true, &true_shape), (&y_pred, &pred_shape))?;
    let tensors =
        [("y_true", reshaped(y_true, true_shape.lengths())), ("y_pred", reshaped(y_pred, pred_shape.lengths()))];
    let inputs = Inputs::new(&tensors, None, None);
    let shape = shapes.get(loss, &inputs, &true_shape, &pred_shape)?;
    let combined = combiner.combine(weight, mask)?;
    let weights = BroadcastWeights::new(&shape, combined, upstream)?;
    let unreduced = reduction == Reduction::None && weights.broadcast_shape.rank() > 0;
    if y_pred.is_empty() || shape.count() == 0 {
        if let Some(gradient) = gradient {
            gradient.fill(F::ZERO);
        }
        if !unreduced || weights.broadcast_shape.count() != 0 {
            return Ok((0.0, None));
        }
        weighted_shape.clear();
        weighted_shape.extend_from_slice(weights.broadcast_shape.lengths());
        return Ok((0.0, Some((&weighted_shape[..], &[]))));
    }
    // The mask of the loss itself is known only after the call.
    let own_mask = loss.info().own_mask;
    let known_factor = if own_mask { None } else { Some(weights.factor(reduction)) };
    let wants_valid = own_mask && (unreduced || mask.is_some());
    let count = shape.count();
    if unreduced {
        resize(values, count, F::ZERO)?;
    }
    if wants_valid {
        resize(valid, count, F::ZERO)?;
    }
    let totals = {
        let target = gradient.as_deref_mut().map(|gradient| TensorMut::new(gradient, pred_shape.lengths()));
        let mut gradients = [None, target];
        let mut output = LossOutput {
            values: unreduced.then_some(&mut values[..]),
            valid: wants_valid.then_some(&mut valid[..]),
            gradients: &mut gradients,
            upstream: weights.upstream,
            scale: F::rounded(scale * known_factor.unwrap_or(1.0)),
        };
        weightless::call(loss, &inputs, &shape, &mut output, spare)?
    };
    let factor = match known_factor {
        Some(factor) => factor,
        None => {
            let counted = match mask {
                None => totals.count,
                Some(mask) => both_valid(&shape, valid, &mask)?,
            };
            let factor = weights.own_mask_factor(reduction, count, counted, &totals);
            match gradient {
                Some(gradient) if factor == 0.0 => gradient.fill(F::ZERO),
                Some(gradient) if factor != 1.0 => {
                    gradient.iter_mut().for_each(|derivative| *derivative *= F::rounded(factor));
                }
                _ => {}
            }
            factor
        }
    };
    if !unreduced {
        return Ok((totals.value * factor, None));
    }
    if wants_valid {
        values.iter_mut().zip(&*valid).for_each(|(value, &valid)| *value = times_weight(*value, valid));
    }
    weighted_shape.clear();
    weighted_shape.extend_from_slice(weights.broadcast_shape.lengths());
    let values = match weights.combined {
        None => &values[..],
        Some(combined) => {
            weighted.clear();
            walk(&weights.broadcast_shape, [&weights.value_shape, &combined.shape], |_, [value, weight]| {
                weighted.push(times_weight(values[value], combined.values[weight]));
            });
            &weighted[..]
        }
    };
    Ok((0.0, Some((&weighted_shape[..], values))))
}

/// Resizes a buffer for a loss's values, and returns an error if there isn't enough memory.
pub(super) fn resize<F: Float>(buffer: &mut Vec<F>, count: usize, value: F) -> Result<()> {
    let room = buffer.try_reserve(count.saturating_sub(buffer.len()));
    room.map_err(|_| Error::failure(format!("there is no memory for the {count} values of a loss")))?;
    buffer.resize(count, value);
    Ok(())
}

/// Returns a value times its weight; 0 if the weight is 0, even if the value is NaN.
fn times_weight<F: Float>(value: F, weight: F) -> F {
    if weight == F::ZERO { F::ZERO } else { value * weight }
}

/// The broadcast shapes of the values and the weights.
struct BroadcastWeights<'c, F> {
    /// The shape of the product of values and weights.
    broadcast_shape: Shape,
    /// The shape of the values, at the rank of the weights.
    value_shape: Shape,
    /// The weights, at the rank of the values.
    combined: Option<Combined<'c, F>>,
    /// For each value, the sum of the weights that apply to it.
    upstream: Option<&'c [F]>,
}

impl<'c, F: Float> BroadcastWeights<'c, F> {
    fn new(shape: &Shape, combined: Option<Combined<'c, F>>, buffer: &'c mut Vec<F>) -> Result<Self> {
        let Some(mut combined) = combined else {
            return Ok(BroadcastWeights {
                broadcast_shape: *shape,
                value_shape: *shape,
                combined: None,
                upstream: None,
            });
        };
        let given = combined.shape;
        let mut value_shape = *shape;
        squeeze_or_expand_to_same_rank(&mut value_shape, &mut combined.shape);
        let broadcast_shape = common(&value_shape, &combined.shape)
            .ok_or_else(|| misfit("sample_weight", given.lengths(), "the loss", shape.lengths()))?;
        let upstream: &[F] = if combined.shape == broadcast_shape && value_shape == broadcast_shape {
            combined.values
        } else {
            buffer.clear();
            resize(buffer, value_shape.count(), F::ZERO)?;
            walk(&broadcast_shape, [&value_shape, &combined.shape], |_, [value, weight]| {
                buffer[value] += combined.values[weight]
            });
            buffer
        };
        Ok(BroadcastWeights { broadcast_shape, value_shape, combined: Some(combined), upstream: Some(upstream) })
    }

    /// Returns the factor of the weighted sum.
    fn factor(&self, reduction: Reduction) -> f64 {
        let count = if self.broadcast_shape.rank() == 0 { 1.0 } else { self.broadcast_shape.count() as f64 };
        let mask = self.combined.and_then(|combined| combined.mask);
        match (reduction, self.combined) {
            (Reduction::Sum | Reduction::None, _) => 1.0,
            (Reduction::MeanWithSampleWeight, Some(_)) if self.broadcast_shape.rank() == 0 => 1.0,
            (Reduction::MeanWithSampleWeight, Some(combined)) => divide_no_nan(1.0, combined.sum()),
            _ => {
                let visible = mask.filter(|_| reduction.is_plain_mean());
                visible.map_or(1.0, |mask| divide_no_nan(mask.total, mask.valid)) * divide_no_nan(1.0, count)
            }
        }
    }

    /// Returns the factor of the weighted sum, if `counted` of `count` values are included by both the loss's own mask
    /// and the given mask.
    fn own_mask_factor(&self, reduction: Reduction, count: usize, counted: f64, totals: &LossTotals) -> f64 {
        let broadcast_count = self.broadcast_shape.count() as f64;
        match reduction {
            Reduction::Sum | Reduction::None => 1.0,
            Reduction::MeanWithSampleWeight if self.broadcast_shape.rank() == 0 => 1.0,
            Reduction::MeanWithSampleWeight => {
                divide_no_nan(1.0, if self.upstream.is_some() { totals.weight } else { counted })
            }
            Reduction::SumOverBatchSize | Reduction::Mean => {
                divide_no_nan(count as f64, counted) * divide_no_nan(1.0, broadcast_count)
            }
        }
    }
}

/// Returns the number of values that both the loss and the mask include.
fn both_valid<F: Float>(shape: &Shape, valid: &[F], mask: &Tensor<'_>) -> Result<f64> {
    let mut mask_shape = Shape::new(mask.shape(), "the mask")?;
    let mut value_shape = *shape;
    squeeze_or_expand_to_same_rank(&mut value_shape, &mut mask_shape);
    if common(&value_shape, &mask_shape) != Some(value_shape) {
        return Err(misfit("the mask", mask.shape(), "the loss", shape.lengths()));
    }
    let mut count = 0.0;
    walk(&value_shape, [&mask_shape], |value, [at]| {
        if valid[value] != F::ZERO && mask.get_f64(at) != 0.0 {
            count += 1.0;
        }
    });
    Ok(count)
}

/// Returns both shapes, aligned to the same rank as in Keras.
pub(super) fn aligned(y_true: &Tensor<'_>, y_pred: &Tensor<'_>) -> Result<(Shape, Shape)> {
    let mut true_shape = Shape::new(y_true.shape(), "y_true")?;
    let mut pred_shape = Shape::new(y_pred.shape(), "y_pred")?;
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
            error.hint("if y_true holds class ids, use sparse_categorical_crossentropy")
        }
        _ => error.hint("each prediction needs a label of its own: bring both to one shape"),
    })
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
