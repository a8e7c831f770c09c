//! A loss or a metric at its place: its component, its column, and how a batch is handed to it.

use std::sync::OnceLock;

use plugfit_api::metric::Outcome;
use plugfit_api::{Tensor, TensorMut};

use super::convert::{Accepted, Conversions};
use super::mean::Mean;
use super::values::{Output, Values};
use crate::component;
use crate::error::ErrorKind;
use crate::{Error, Result};

/// A loss of one output.
#[derive(Debug)]
pub(super) struct LossPart {
    pub loss: component::Loss,
    /// Where its identifier stands in the compile configuration.
    pub place: String,
    /// The index of its output.
    pub output: usize,
    /// Multiplies it in the total.
    pub weight: f64,
    /// Its column, where each loss has one; without "_loss".
    pub label: String,
    /// Whether it is part of the total; see `Plan`.
    pub counts: bool,
    /// Its mean, without `weight`.
    pub mean: Mean,
    /// Its value in the batch at hand, without `weight`.
    pub value: Option<f64>,
    y_true: Accepted,
    y_pred: Accepted,
}

/// A metric of one output.
#[derive(Debug)]
pub(super) struct MetricPart {
    pub metric: component::Metric,
    pub output: usize,
    pub weighted: bool,
    /// Its column.
    pub column: String,
    takes_values: bool,
    y_true: Accepted,
    y_pred: Accepted,
    /// Whether a crash of it ends it alone.
    goes_on: bool,
    /// How it crashed. From then on it isn't called, and its result is undefined.
    crash: OnceLock<Error>,
    told: bool,
}

/// The arrays of one output in the dtypes that its components take.
#[derive(Debug, Default)]
pub(super) struct Lent {
    y_true: Conversions,
    y_pred: Conversions,
    weight: Conversions,
    mask: Conversions,
}

/// What a component is called with.
struct Arguments<'l> {
    y_true: Option<Tensor<'l>>,
    y_pred: Tensor<'l>,
    weight: Option<Tensor<'l>>,
    mask: Option<Tensor<'l>>,
}

impl Lent {
    /// Another batch.
    pub fn forget(&mut self) {
        for conversions in [&mut self.y_true, &mut self.y_pred, &mut self.weight, &mut self.mask] {
            conversions.forget();
        }
    }

    fn arguments<'l>(
        &'l mut self,
        output: &'l Output<'_>,
        weighted: bool,
        y_true: &Accepted,
        y_pred: &Accepted,
    ) -> Result<Arguments<'l>> {
        let floats = Accepted::f32();
        let bytes = Accepted::u8();
        let weight = output.sample_weight.as_ref().filter(|_| weighted);
        if let Some(values) = &output.y_true {
            self.y_true.prepare(values, y_true);
        }
        self.y_pred.prepare(&output.y_pred, y_pred);
        if let Some(values) = weight {
            self.weight.prepare(values, &floats);
        }
        if let Some(values) = &output.mask {
            self.mask.prepare_mask(values);
        }
        let get = |conversions: &'l Conversions, values: &'l Values<'_>, accepted: &Accepted, name: &str| {
            conversions.get(values, accepted).ok_or_else(|| Error::usage(format!("{name} can't be lent")))
        };
        Ok(Arguments {
            y_true: output.y_true.as_ref().map(|values| get(&self.y_true, values, y_true, "y_true")).transpose()?,
            y_pred: get(&self.y_pred, &output.y_pred, y_pred, "y_pred")?,
            weight: weight.map(|values| get(&self.weight, values, &floats, "sample_weight")).transpose()?,
            mask: output.mask.as_ref().map(|values| get(&self.mask, values, &bytes, "the mask")).transpose()?,
        })
    }
}

impl LossPart {
    pub fn new(loss: component::Loss, place: String, output: usize, weight: Option<f64>, label: String) -> Self {
        let info = loss.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32"]);
        let (y_true, y_pred) = (declared("y_true"), declared("y_pred"));
        LossPart {
            loss,
            place,
            output,
            weight: weight.unwrap_or(1.0),
            label,
            counts: true,
            mean: Mean::default(),
            value: None,
            y_true,
            y_pred,
        }
    }

    /// The value of a batch, and with `gradient` the derivative of weight times value times `scale` with respect to
    /// `y_pred`, written over what is there.
    pub fn call(
        &mut self,
        output: &Output<'_>,
        lent: &mut Lent,
        gradient: Option<&mut [f32]>,
        scale: f64,
    ) -> Result<f64> {
        let arguments = lent.arguments(output, true, &self.y_true, &self.y_pred)?;
        let y_true = arguments.y_true.ok_or_else(|| {
            Error::usage(format!("the output \"{}\" has a loss and no targets", self.label))
                .hint("give it y_true, or null as its loss")
        })?;
        let Arguments { y_pred, weight, mask, .. } = arguments;
        let value = match gradient {
            None => self.loss.value(y_true, y_pred, weight, mask)?.scalar()?,
            Some(gradient) => {
                let shape = output.y_pred.shape();
                if shape.iter().product::<i64>() != gradient.len() as i64 {
                    let message = format!("a gradient of {} numbers for y_pred of shape {shape:?}", gradient.len());
                    return Err(Error::usage(message));
                }
                if !self.loss.info().differentiable {
                    return Err(self.no_gradient());
                }
                let mut target = TensorMut::new(gradient, shape);
                self.loss
                    .value_and_gradient(y_true, y_pred, weight, mask, self.weight * scale, &mut target)?
                    .scalar()?
            }
        };
        self.value = Some(value);
        Ok(value)
    }

    /// Its part of the total; nothing with a weight of 0, even if the value is NaN.
    pub fn weighted(&self, value: f64) -> f64 {
        if self.weight == 0.0 { 0.0 } else { value * self.weight }
    }

    /// The error for training with a loss that can only be evaluated.
    pub fn no_gradient(&self) -> Error {
        Error::usage(format!("cannot train with {}: it has no gradient", self.loss.name()))
            .with("in", &self.place)
            .hint("use it as a metric, or give it a gradient")
    }
}

impl MetricPart {
    pub fn new(metric: component::Metric, output: usize, weighted: bool, goes_on: bool) -> Self {
        let info = metric.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32", "float64"]);
        let takes_values = info.inputs == ["values"];
        let y_pred = declared(if takes_values { "values" } else { "y_pred" });
        let y_true = declared("y_true");
        MetricPart {
            metric,
            output,
            weighted,
            column: String::new(),
            takes_values,
            y_true,
            y_pred,
            goes_on,
            crash: OnceLock::new(),
            told: false,
        }
    }

    /// Takes in a batch; a metric of `values` alone is given the predictions.
    pub fn update(&mut self, output: &Output<'_>, lent: &mut Lent) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        let result = self.update_metric(output, lent);
        self.survived(result).map(drop)
    }

    /// What it has come to.
    pub fn result(&self) -> Result<Outcome> {
        if self.crash.get().is_some() {
            return Ok(Outcome::Undefined);
        }
        Ok(self.survived(self.metric.result())?.unwrap_or(Outcome::Undefined))
    }

    /// Forgets what it has seen.
    pub fn reset(&mut self) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        let result = self.metric.reset_state();
        self.survived(result).map(drop)
    }

    /// How it crashed, once.
    pub fn take_crash(&mut self) -> Option<Error> {
        let crash = self.crash.get().filter(|_| !self.told)?;
        self.told = true;
        Some(crash.clone())
    }

    /// None after a crash that ends this metric alone.
    fn survived<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(error) if self.goes_on && error.kind() == ErrorKind::Crash => {
                let _ = self.crash.set(error.hint("the run goes on without this metric"));
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn update_metric(&mut self, output: &Output<'_>, lent: &mut Lent) -> Result<()> {
        let arguments = lent.arguments(output, self.weighted, &self.y_true, &self.y_pred)?;
        let Arguments { y_true, y_pred, weight, mask } = arguments;
        if self.takes_values {
            return self.metric.update_values(y_pred, weight, mask);
        }
        let y_true = y_true.ok_or_else(|| Error::usage(format!("the metric {} needs targets", self.column)))?;
        self.metric.update_state(y_true, y_pred, weight, mask)
    }
}
