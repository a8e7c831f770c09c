//! Calls of a plug-in's compiled functions with arrays in memory.

use plugfit::compile::{Accepted, Conversions, Number, Values};
use plugfit::component::{Loss, LossValue, Metric};
use plugfit::{Error, Host, Result};
use plugfit_api::metric::Outcome;
use plugfit_api::{Float, Tensor, TensorMut};
use serde_json::json;

/// The numbers of a tensor in C order, with its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    numbers: Numbers,
    shape: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
}

impl Array {
    /// Creates an array of float32.
    pub fn f32(numbers: Vec<f32>, shape: &[usize]) -> Self {
        Array { numbers: Numbers::F32(numbers), shape: shape.to_vec() }
    }

    /// Creates an array of float64.
    pub fn f64(numbers: Vec<f64>, shape: &[usize]) -> Self {
        Array { numbers: Numbers::F64(numbers), shape: shape.to_vec() }
    }

    /// Creates an array of int64.
    pub fn i64(numbers: Vec<i64>, shape: &[usize]) -> Self {
        Array { numbers: Numbers::I64(numbers), shape: shape.to_vec() }
    }

    /// Returns the shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the numbers in float64.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.numbers {
            Numbers::F32(numbers) => numbers.iter().map(|&number| number.into()).collect(),
            Numbers::F64(numbers) => numbers.clone(),
            Numbers::I64(numbers) => numbers.iter().map(|&number| number as f64).collect(),
        }
    }

    fn values(&self) -> Values<'_> {
        fn values<'a, T: Number>(numbers: &'a [T], shape: &[usize]) -> Values<'a> {
            Values::new(numbers, shape)
        }
        match &self.numbers {
            Numbers::F32(numbers) => values(numbers, &self.shape),
            Numbers::F64(numbers) => values(numbers, &self.shape),
            Numbers::I64(numbers) => values(numbers, &self.shape),
        }
    }
}

/// An argument of a component: the dtypes that it accepts, and memory for conversions.
#[derive(Debug)]
struct Argument {
    name: &'static str,
    accepted: Accepted,
    conversions: Conversions,
}

impl Argument {
    fn new(name: &'static str, accepted: Accepted) -> Self {
        Argument { name, accepted, conversions: Conversions::default() }
    }

    fn convert<'a>(&'a mut self, values: &'a Values<'_>) -> Result<Tensor<'a>> {
        values.check(self.name)?;
        self.accepted.check(values, self.name)?;
        self.conversions.forget();
        self.conversions.prepare(values, &self.accepted);
        let tensor = self.conversions.get(values, &self.accepted);
        tensor.ok_or_else(|| Error::usage(format!("{} can't be passed to a plug-in", self.name)))
    }
}

/// A loss that the plug-in computes.
#[derive(Debug)]
pub struct NativeLoss {
    loss: Loss,
    y_true: Argument,
    y_pred: Argument,
    weight: Argument,
}

impl NativeLoss {
    /// Creates the loss.
    pub fn new(loss: Loss) -> Self {
        let info = loss.info();
        let declared = |name| Accepted::declared(name, &info.inputs, &info.dtypes, &["float32"]);
        let (y_true, y_pred) = (declared("y_true"), declared("y_pred"));
        NativeLoss {
            loss,
            y_true: Argument::new("y_true", y_true),
            y_pred: Argument::new("y_pred", y_pred),
            weight: Argument::new("sample_weight", Accepted::f32()),
        }
    }

    /// Returns the same loss computed in float64; `None` if the plug-in computes only in float32.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn in_float64(&self, host: &Host) -> Result<Option<Self>> {
        if self.loss.plugin().check_float64().is_err() {
            return Ok(None);
        }
        let mut config = self.loss.get_config()?;
        config.insert("dtype".into(), json!("float64"));
        let identifier = json!({"class_name": self.loss.plugin().full_name(), "config": config});
        Ok(Some(NativeLoss::new(host.loss(identifier)?)))
    }

    /// Returns whether the loss is computed in float64.
    pub fn is_float64(&self) -> bool {
        self.loss.is_float64()
    }

    /// Returns the loss of a batch: one number, or, without reduction, the weighted values.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if the plug-in fails.
    pub fn value(&mut self, y_true: &Array, y_pred: &Array, weight: Option<&Array>) -> Result<Array> {
        let (y_true, y_pred, weight) = (y_true.values(), y_pred.values(), weight.map(Array::values));
        let weight = weight.as_ref().map(|weight| self.weight.convert(weight)).transpose()?;
        let found = self.loss.value(self.y_true.convert(&y_true)?, self.y_pred.convert(&y_pred)?, weight, None)?;
        Ok(array(found))
    }

    /// Returns the loss of a batch, and its derivative with respect to `y_pred`; without reduction, that of the sum of
    /// the weighted values.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if the loss has no gradient, or if the plug-in fails.
    pub fn value_and_gradient(
        &mut self,
        y_true: &Array,
        y_pred: &Array,
        weight: Option<&Array>,
    ) -> Result<(Array, Array)> {
        match self.loss.is_float64() {
            true => self.with_gradient(y_true, y_pred, weight, Array::f64),
            false => self.with_gradient(y_true, y_pred, weight, Array::f32),
        }
    }

    fn with_gradient<F: Float>(
        &mut self,
        y_true: &Array,
        y_pred: &Array,
        weight: Option<&Array>,
        array_of: fn(Vec<F>, &[usize]) -> Array,
    ) -> Result<(Array, Array)> {
        let shape = &y_pred.shape;
        let (y_true, y_pred, weight) = (y_true.values(), y_pred.values(), weight.map(Array::values));
        let mut gradient = vec![F::ZERO; shape.iter().product()];
        let weight = weight.as_ref().map(|weight| self.weight.convert(weight)).transpose()?;
        let (y_true, lengths) = (self.y_true.convert(&y_true)?, y_pred.shape());
        let target = &mut TensorMut::new(&mut gradient, lengths);
        let value = self.loss.value_and_gradient(y_true, self.y_pred.convert(&y_pred)?, weight, None, 1.0, target)?;
        Ok((array(value), array_of(gradient, shape)))
    }
}

fn array(value: LossValue<'_>) -> Array {
    let shape = |lengths: &[i64]| lengths.iter().map(|&length| length as usize).collect::<Vec<_>>();
    match value {
        LossValue::Scalar(value) => Array::f64(vec![value], &[]),
        LossValue::Array { shape: lengths, values } => Array::f32(values.to_vec(), &shape(lengths)),
        LossValue::Array64 { shape: lengths, values } => Array::f64(values.to_vec(), &shape(lengths)),
    }
}

/// A metric that the plug-in computes.
#[derive(Debug)]
pub struct NativeMetric {
    metric: Metric,
    y_true: Argument,
    y_pred: Argument,
    weight: Argument,
}

impl NativeMetric {
    /// Creates the metric.
    pub fn new(metric: Metric) -> Self {
        let info = metric.info();
        let takes_values = info.inputs == ["values"];
        let declared = |name| Accepted::declared(name, &info.inputs, &info.dtypes, &["float32", "float64"]);
        let (y_true, y_pred) = (declared("y_true"), declared(if takes_values { "values" } else { "y_pred" }));
        NativeMetric {
            metric,
            y_true: Argument::new("y_true", y_true),
            y_pred: Argument::new("y_pred", y_pred),
            weight: Argument::new("sample_weight", Accepted::f32()),
        }
    }

    /// Returns the metric.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// Updates the state with a batch. A metric of values alone, such as Mean, takes them as `y_pred` and ignores
    /// `y_true`.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if the plug-in fails.
    pub fn update(&mut self, y_true: &Array, y_pred: &Array, weight: Option<&Array>) -> Result<()> {
        let (y_true, y_pred, weight) = (y_true.values(), y_pred.values(), weight.map(Array::values));
        let weight = weight.as_ref().map(|weight| self.weight.convert(weight)).transpose()?;
        let y_pred = self.y_pred.convert(&y_pred)?;
        if self.metric.info().inputs == ["values"] {
            return self.metric.update_values(y_pred, weight, None);
        }
        self.metric.update_state(self.y_true.convert(&y_true)?, y_pred, weight, None)
    }

    /// Returns the result since the last reset.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn result(&self) -> Result<Outcome> {
        self.metric.result()
    }

    /// Resets the state.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn reset(&mut self) -> Result<()> {
        self.metric.reset_state()
    }
}
