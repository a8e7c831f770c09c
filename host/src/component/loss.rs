//! A loss: a plug-in's values, weighted, masked and reduced as Keras does.

use plugfit_api::loss::{LossInfo, LossOutput, LossTotals, Targets};
use plugfit_api::{Float, Inputs, Tensor, TensorMut};
use serde_json::{Map, Value, json};

use super::broadcast::{Shape, common, same_rank, walk};
use super::combine::{Combined, Combiner, misfit};
use super::keys::Keys;
use super::reduction::{Reduction, divide_no_nan};
use super::weightless::{self, Spare};
use crate::error::ErrorKind;
use crate::plugin::{self, Kind};
use crate::{Error, Result};

/// A loss with a name and a reduction. After the first batch of its shape a call allocates nothing.
#[derive(Debug)]
pub struct Loss {
    name: String,
    reduction: Reduction,
    loss: plugin::Loss,
    info: LossInfo,
    scratch: Scratch<f32>,
    /// Where it computes in float64.
    double: Option<Box<Double>>,
}

/// What a loss came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossValue<'l> {
    /// One number.
    Scalar(f64),
    /// With the reduction "none": a number for each sample, or more.
    Array {
        /// The length of each axis.
        shape: &'l [i64],
        /// The numbers in C order.
        values: &'l [f32],
    },
    /// The same of a loss that computes in float64.
    Array64 {
        /// The length of each axis.
        shape: &'l [i64],
        /// The numbers in C order.
        values: &'l [f64],
    },
}

impl LossValue<'_> {
    /// The number.
    ///
    /// # Errors
    /// It is an array.
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

/// Memory that is kept from batch to batch.
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

/// What a loss of float64 keeps besides: a gradient that is asked for in float32.
#[derive(Debug, Default)]
struct Double {
    scratch: Scratch<f64>,
    gradient: Vec<f64>,
}

/// What a batch came to; none: one number.
type Reduced<'s, F> = (f64, Option<(&'s [i64], &'s [F])>);

/// The shape of the values for inputs of the shapes seen last.
#[derive(Debug, Default)]
pub(super) struct OutputShapes {
    y_true: Vec<i64>,
    y_pred: Vec<i64>,
    values: Option<Vec<i64>>,
}

impl OutputShapes {
    /// Asks the plug-in only for what it wasn't asked the last time.
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
    /// A loss with the host's keys of its configuration: name, reduction.
    ///
    /// # Errors
    /// One of them can't be.
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
                takes_float64(&mut info);
                Some(Box::default())
            }
        };
        Ok(Loss { name, reduction, loss, info, scratch: Scratch::default(), double })
    }

    /// What the log calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its class's name.
    pub fn class_name(&self) -> &str {
        self.loss.name()
    }

    /// How it makes one number of its values.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// What depends on its configuration, the dtypes that it takes included: float64 for float32 where it computes in that.
    pub fn info(&self) -> &LossInfo {
        &self.info
    }

    /// Whether it computes in float64.
    pub fn is_float64(&self) -> bool {
        self.double.is_some()
    }

    /// The plug-in's part of it.
    pub fn plugin(&self) -> &plugin::Loss {
        &self.loss
    }

    /// Its whole configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = self.loss.config()?;
        config.insert("name".into(), json!(self.name));
        config.insert("reduction".into(), json!(self.reduction.name()));
        Ok(config)
    }

    /// Refuses targets and predictions whose rows have these shapes, if the plug-in does.
    ///
    /// # Errors
    /// What the plug-in says.
    pub(crate) fn check_shapes(&self, y_true: &[usize], y_pred: &[usize]) -> Result<()> {
        // What has dtypes of its own is asked with the first batch.
        if !self.loss.info().dtypes.is_empty() {
            return Ok(());
        }
        // Not a single row, whose length is that of an axis that broadcasts.
        let of_rows = |row: &[usize]| [&[2], row].concat().iter().map(|&length| length as i64).collect::<Vec<_>>();
        let shapes = [y_true, y_pred].map(of_rows);
        let zeros = [y_true, y_pred].map(|row| vec![0.0f32; 2 * row.iter().product::<usize>()]);
        let (y_true, y_pred) = (Tensor::new(&zeros[0], &shapes[0]), Tensor::new(&zeros[1], &shapes[1]));
        let (true_shape, pred_shape) = aligned(&y_true, &y_pred)?;
        check_pairs(&self.loss, (&y_true, &true_shape), (&y_pred, &pred_shape))?;
        let tensors =
            [("y_true", reshaped(y_true, true_shape.lengths())), ("y_pred", reshaped(y_pred, pred_shape.lengths()))];
        match self.loss.output_shape(&Inputs::new(&tensors, None, None)) {
            Err(error) if error.kind() == ErrorKind::Failure => Err(error.into_usage()),
            // What else goes wrong is told with the batch that it goes wrong with.
            _ => Ok(()),
        }
    }

    /// The loss of a batch. `weight` and `mask` broadcast to the values as in Keras.
    ///
    /// # Errors
    /// The arrays don't fit, or the plug-in fails.
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

    /// The loss of a batch, and `scale` times its derivative with respect to `y_pred` (that of the sum, where it isn't reduced
    /// to one number), written over `gradient`; both from one call of the plug-in.
    ///
    /// # Errors
    /// The arrays don't fit, the loss has no gradient, or the plug-in fails.
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
        let Double { scratch, gradient: slopes } = &mut **double;
        if let Some(gradient) = gradient.as_mut_slice::<f64>() {
            return run(loss, reduction, scratch, batch, Some(gradient)).map(in_double);
        }
        let gradient =
            gradient.as_mut_slice::<f32>().ok_or_else(|| Error::usage("the gradient must be float64 or float32"))?;
        slopes.resize(gradient.len(), 0.0);
        let value = run(loss, reduction, scratch, batch, Some(slopes))?;
        gradient.iter_mut().zip(&*slopes).for_each(|(single, &slope)| *single = slope as f32);
        Ok(in_double(value))
    }
}

/// Puts float64 in the place of float32 among the dtypes that are taken.
fn takes_float64(info: &mut LossInfo) {
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

/// What a loss is called with.
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
    let spread = Spread::new(&shape, combined, upstream)?;
    let keeps = reduction == Reduction::None && spread.together.rank() > 0;
    if y_pred.is_empty() || shape.count() == 0 {
        if let Some(gradient) = gradient {
            gradient.fill(F::ZERO);
        }
        if !keeps || spread.together.count() != 0 {
            return Ok((0.0, None));
        }
        weighted_shape.clear();
        weighted_shape.extend_from_slice(spread.together.lengths());
        return Ok((0.0, Some((&weighted_shape[..], &[]))));
    }
    // What a loss marks itself is known after the call only.
    let own_mask = loss.info().own_mask;
    let known = if own_mask { None } else { Some(spread.factor(reduction)) };
    let wants_valid = own_mask && (keeps || mask.is_some());
    let count = shape.count();
    if keeps {
        resize(values, count, F::ZERO)?;
    }
    if wants_valid {
        resize(valid, count, F::ZERO)?;
    }
    let totals = {
        let target = gradient.as_deref_mut().map(|gradient| TensorMut::new(gradient, pred_shape.lengths()));
        let mut gradients = [None, target];
        let mut output = LossOutput {
            values: keeps.then_some(&mut values[..]),
            valid: wants_valid.then_some(&mut valid[..]),
            gradients: &mut gradients,
            upstream: spread.upstream,
            scale: F::rounded(scale * known.unwrap_or(1.0)),
        };
        weightless::call(loss, &inputs, &shape, &mut output, spare)?
    };
    let factor = match known {
        Some(factor) => factor,
        None => {
            let counted = match mask {
                None => totals.count,
                Some(mask) => both_valid(&shape, valid, &mask)?,
            };
            let factor = spread.own_mask_factor(reduction, count, counted, &totals);
            match gradient {
                Some(gradient) if factor == 0.0 => gradient.fill(F::ZERO),
                Some(gradient) if factor != 1.0 => {
                    gradient.iter_mut().for_each(|slope| *slope *= F::rounded(factor));
                }
                _ => {}
            }
            factor
        }
    };
    if !keeps {
        return Ok((totals.value * factor, None));
    }
    if wants_valid {
        values.iter_mut().zip(&*valid).for_each(|(value, &valid)| *value = weighed(*value, valid));
    }
    weighted_shape.clear();
    weighted_shape.extend_from_slice(spread.together.lengths());
    let values = match spread.combined {
        None => &values[..],
        Some(combined) => {
            weighted.clear();
            walk(&spread.together, [&spread.of_values, &combined.shape], |_, [value, weight]| {
                weighted.push(weighed(values[value], combined.values[weight]));
            });
            &weighted[..]
        }
    };
    Ok((0.0, Some((&weighted_shape[..], values))))
}

/// Makes a buffer of a loss's values this long.
pub(super) fn resize<F: Float>(buffer: &mut Vec<F>, count: usize, value: F) -> Result<()> {
    let room = buffer.try_reserve(count.saturating_sub(buffer.len()));
    room.map_err(|_| Error::failure(format!("there is no memory for the {count} values of a loss")))?;
    buffer.resize(count, value);
    Ok(())
}

/// A value times its weight; 0 where that is 0, even if the value is NaN.
fn weighed<F: Float>(value: F, weight: F) -> F {
    if weight == F::ZERO { F::ZERO } else { value * weight }
}

/// The values' shape and the weights', brought together.
struct Spread<'c, F> {
    /// The shape of the values times the weights.
    together: Shape,
    /// The values' shape, at the weights' rank.
    of_values: Shape,
    /// The weights, at the values' rank.
    combined: Option<Combined<'c, F>>,
    /// For each value the sum of the weights that it is multiplied by.
    upstream: Option<&'c [F]>,
}

impl<'c, F: Float> Spread<'c, F> {
    fn new(shape: &Shape, combined: Option<Combined<'c, F>>, buffer: &'c mut Vec<F>) -> Result<Self> {
        let Some(mut combined) = combined else {
            return Ok(Spread { together: *shape, of_values: *shape, combined: None, upstream: None });
        };
        let given = combined.shape;
        let mut of_values = *shape;
        same_rank(&mut of_values, &mut combined.shape);
        let together = common(&of_values, &combined.shape)
            .ok_or_else(|| misfit("sample_weight", given.lengths(), "the loss", shape.lengths()))?;
        let upstream: &[F] = if combined.shape == together && of_values == together {
            combined.values
        } else {
            buffer.clear();
            resize(buffer, of_values.count(), F::ZERO)?;
            walk(&together, [&of_values, &combined.shape], |_, [value, weight]| {
                buffer[value] += combined.values[weight]
            });
            buffer
        };
        Ok(Spread { together, of_values, combined: Some(combined), upstream: Some(upstream) })
    }

    /// What the weighted sum is multiplied by.
    fn factor(&self, reduction: Reduction) -> f64 {
        let count = if self.together.rank() == 0 { 1.0 } else { self.together.count() as f64 };
        let mask = self.combined.and_then(|combined| combined.mask);
        match (reduction, self.combined) {
            (Reduction::Sum | Reduction::None, _) => 1.0,
            (Reduction::MeanWithSampleWeight, Some(_)) if self.together.rank() == 0 => 1.0,
            (Reduction::MeanWithSampleWeight, Some(combined)) => divide_no_nan(1.0, combined.sum()),
            _ => {
                let visible = mask.filter(|_| reduction.is_plain_mean());
                visible.map_or(1.0, |mask| divide_no_nan(mask.total, mask.valid)) * divide_no_nan(1.0, count)
            }
        }
    }

    /// The same, where `counted` of `count` values count by the loss's own mask and the one given.
    fn own_mask_factor(&self, reduction: Reduction, count: usize, counted: f64, totals: &LossTotals) -> f64 {
        let together = self.together.count() as f64;
        match reduction {
            Reduction::Sum | Reduction::None => 1.0,
            Reduction::MeanWithSampleWeight if self.together.rank() == 0 => 1.0,
            Reduction::MeanWithSampleWeight => {
                divide_no_nan(1.0, if self.upstream.is_some() { totals.weight } else { counted })
            }
            Reduction::SumOverBatchSize | Reduction::Mean => {
                divide_no_nan(count as f64, counted) * divide_no_nan(1.0, together)
            }
        }
    }
}

/// How many values both the loss and the mask let count.
fn both_valid<F: Float>(shape: &Shape, valid: &[F], mask: &Tensor<'_>) -> Result<f64> {
    let mut of_mask = Shape::new(mask.shape(), "the mask")?;
    let mut of_values = *shape;
    same_rank(&mut of_values, &mut of_mask);
    if common(&of_values, &of_mask) != Some(of_values) {
        return Err(misfit("the mask", mask.shape(), "the loss", shape.lengths()));
    }
    let mut count = 0.0;
    walk(&of_values, [&of_mask], |value, [at]| {
        if valid[value] != F::ZERO && mask.get_f64(at) != 0.0 {
            count += 1.0;
        }
    });
    Ok(count)
}

/// The shapes of both at the same rank, as Keras makes it.
pub(super) fn aligned(y_true: &Tensor<'_>, y_pred: &Tensor<'_>) -> Result<(Shape, Shape)> {
    let mut true_shape = Shape::new(y_true.shape(), "y_true")?;
    let mut pred_shape = Shape::new(y_pred.shape(), "y_pred")?;
    same_rank(&mut true_shape, &mut pred_shape);
    Ok((true_shape, pred_shape))
}

/// Refuses labels that would be broadcast to the predictions, or the other way: each prediction needs one of its own. A plug-in of
/// an older plugfit-api broadcasts. What a loss of class ids, or one that doesn't say what its labels are, takes is for it to check.
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

/// The same numbers in another shape of as many.
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
