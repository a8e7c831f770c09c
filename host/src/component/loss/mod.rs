//! A loss: the plug-in's values, weighted, masked and reduced like in Keras.

mod inputs;
mod mean;
mod reduce;
mod zero_weights;

use plugfit_api::loss::LossInfo;
use plugfit_api::{Inputs, Tensor, TensorMut};
use serde_json::{Map, Value, json};

pub(super) use self::mean::LossMean;

use self::inputs::{aligned, check_pairs, reshaped};
use self::reduce::{Batch, Reduced, Scratch, run};
use super::arguments::{Arguments, DtypeCache, InputDtypes};
use super::keys::Keys;
use super::named::{NamedTensors, check_further, check_known, further_inputs};
use super::reduction::Reduction;
use super::values::Output;
use crate::error::ErrorKind;
use crate::formula::Formula;
use crate::plugin::{self, Kind};
use crate::{Error, Result};

/// A loss with a name and a reduction. Repeated calls with batches of the same shape allocate no memory.
#[derive(Debug)]
pub struct Loss {
    name: String,
    reduction: Reduction,
    loss: plugin::Loss,
    info: LossInfo,
    dtypes: InputDtypes,
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

/// Memory for computation in float64, including the gradient if it is requested in float32.
#[derive(Debug, Default)]
struct Double {
    scratch: Scratch<f64>,
    gradient: Vec<f64>,
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
        let dtypes = InputDtypes::declared("y_pred", &info.inputs, &info.dtypes, &["float32"]);
        Ok(Loss { name, reduction, loss, info, dtypes, scratch: Scratch::default(), double })
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

    /// Returns the formula, or the reason why there is none.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its formula is invalid.
    pub fn formula(&self) -> Result<std::result::Result<Formula, String>> {
        self.loss.formula()
    }

    /// Checks that further inputs of these names are all those that are declared.
    ///
    /// # Errors
    /// Returns an error that names the first unknown or missing one.
    pub fn check_inputs(&self, names: &[&str]) -> Result<()> {
        check_further(&self.name, &self.info.inputs, names)
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
        // A plug-in that declares dtypes or further inputs is checked with the first batch.
        if !self.loss.info().dtypes.is_empty() || further_inputs(&self.info.inputs).next().is_some() {
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

    /// Returns the number that the loss is for an output of a batch. With `gradient`, overwrites it with `scale` times
    /// the derivative with respect to `y_pred`; its length is that of `y_pred`. `cache` has the output's arrays in other
    /// dtypes.
    ///
    /// # Errors
    /// Returns an error if the output has no targets, if its arrays don't fit, if the loss isn't reduced to a number or
    /// has no gradient, or if the plug-in fails.
    pub(crate) fn of_output(
        &mut self,
        output: &Output<'_>,
        cache: &mut DtypeCache,
        gradient: Option<&mut [f32]>,
        scale: f64,
    ) -> Result<f64> {
        let Loss { name, reduction, loss, dtypes, scratch, double, .. } = self;
        let Arguments { y_true, y_pred, weight, mask, further } = cache.arguments(output, true, dtypes)?;
        let y_true = y_true.ok_or_else(|| Error::usage(format!("{name} needs targets")))?;
        let batch = Batch { y_true, y_pred, further: &further, weight, mask, scale };
        let mut gradient = gradient.map(|gradient| TensorMut::new(gradient, output.y_pred.shape()));
        let batch = if gradient.is_some() { batch } else { Batch { scale: 1.0, ..batch } };
        call(loss, *reduction, scratch, double.as_deref_mut(), batch, gradient.as_mut())?.scalar()
    }

    /// Returns the loss of a batch. `weight` and `mask` broadcast to the values as in Keras.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if the loss has further inputs, or if the plug-in fails.
    pub fn value(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<LossValue<'_>> {
        self.value_with(y_true, y_pred, &[], weight, mask)
    }

    /// Returns the loss of a batch, for a loss with further inputs, which are given by name in any order.
    ///
    /// # Errors
    /// Returns an error if an input is missing, if the loss doesn't declare one, or under the same conditions as
    /// [`value`](Self::value).
    pub fn value_with(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        further: &[(&str, Tensor<'_>)],
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<LossValue<'_>> {
        self.check_given(further)?;
        let further = &NamedTensors::of(further)?;
        let batch = Batch { y_true, y_pred, further, weight, mask, scale: 1.0 };
        call(&self.loss, self.reduction, &mut self.scratch, self.double.as_deref_mut(), batch, None)
    }

    /// Returns the loss of a batch and overwrites `gradient` with `scale` times its derivative with respect to
    /// `y_pred`. Without a reduction, it is the derivative of the sum. Both come from one call of the plug-in.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if the loss has no gradient or has further inputs, or if the plug-in
    /// fails.
    pub fn value_and_gradient(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
        scale: f64,
        gradient: &mut TensorMut<'_>,
    ) -> Result<LossValue<'_>> {
        self.value_and_gradient_with((y_true, y_pred), &[], (weight, mask), scale, gradient)
    }

    /// Like [`value_and_gradient`](Self::value_and_gradient), for a loss with further inputs, which are given by name in
    /// any order.
    ///
    /// # Errors
    /// Returns an error if an input is missing, if the loss doesn't declare one, or under the same conditions as
    /// [`value_and_gradient`](Self::value_and_gradient).
    pub fn value_and_gradient_with(
        &mut self,
        (y_true, y_pred): (Tensor<'_>, Tensor<'_>),
        further: &[(&str, Tensor<'_>)],
        (weight, mask): (Option<Tensor<'_>>, Option<Tensor<'_>>),
        scale: f64,
        gradient: &mut TensorMut<'_>,
    ) -> Result<LossValue<'_>> {
        self.check_given(further)?;
        let further = &NamedTensors::of(further)?;
        let batch = Batch { y_true, y_pred, further, weight, mask, scale };
        call(&self.loss, self.reduction, &mut self.scratch, self.double.as_deref_mut(), batch, Some(gradient))
    }

    fn check_given(&self, further: &[(&str, Tensor<'_>)]) -> Result<()> {
        check_known(&self.name, &self.info.inputs, further.iter().map(|(name, _)| *name))
    }
}

/// Computes the loss of a batch, and its gradient if a buffer for it is given.
fn call<'l>(
    loss: &plugin::Loss,
    reduction: Reduction,
    scratch: &'l mut Scratch<f32>,
    double: Option<&'l mut Double>,
    batch: Batch<'_>,
    gradient: Option<&mut TensorMut<'_>>,
) -> Result<LossValue<'l>> {
    let Some(gradient) = gradient else {
        return match double {
            None => run(loss, reduction, scratch, batch, None).map(single),
            Some(double) => run(loss, reduction, &mut double.scratch, batch, None).map(in_double),
        };
    };
    if gradient.shape() != batch.y_pred.shape() {
        let shapes = (gradient.shape(), batch.y_pred.shape());
        return Err(Error::usage(format!("a gradient of shape {:?} for y_pred of shape {:?}", shapes.0, shapes.1)));
    }
    let Some(double) = double else {
        let gradient = gradient.as_mut_slice::<f32>().ok_or_else(|| Error::usage("the gradient must be float32"))?;
        return run(loss, reduction, scratch, batch, Some(gradient)).map(single);
    };
    let Double { scratch, gradient: derivatives } = double;
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
