//! A compiled loss or metric: its component, its log column, and how it is called with a batch.

use std::sync::OnceLock;

use plugfit_api::metric::Outcome;
use plugfit_api::{Tensor, TensorMut};

use super::convert::{Accepted, Conversions};
use super::mean::Mean;
use super::values::{Output, Values};
use crate::component;
use crate::error::ErrorKind;
use crate::{Error, Result};

/// A loss compiled for one output.
#[derive(Debug)]
pub(super) struct CompiledLoss {
    pub loss: component::Loss,
    /// The position of its identifier in the compile configuration.
    pub place: String,
    /// The index of its output.
    pub output: usize,
    /// Its factor in the total.
    pub weight: f64,
    /// The name of its column without "_loss", used if each loss has a column.
    pub label: String,
    /// Whether it is part of the total; see `Plan`.
    pub counts: bool,
    /// The mean of its values, without `weight`.
    pub mean: Mean,
    /// Its value in the current batch, without `weight`.
    pub value: Option<f64>,
    y_true: Accepted,
    y_pred: Accepted,
}

/// A metric compiled for one output.
#[derive(Debug)]
pub(super) struct MetricPart {
    pub metric: component::Metric,
    pub output: usize,
    pub weighted: bool,
    /// The name of its column.
    pub column: String,
    takes_values: bool,
    y_true: Accepted,
    y_pred: Accepted,
    /// Whether training continues without it after a crash.
    continue_on_crash: bool,
    /// The crash, if any. After a crash the metric isn't called, and its result is undefined.
    crash: OnceLock<Error>,
    reported: bool,
}

/// The arrays of one output, converted to the dtypes that its components accept.
#[derive(Debug, Default)]
pub(super) struct DtypeCache {
    y_true: Conversions,
    y_pred: Conversions,
    weight: Conversions,
    mask: Conversions,
}

/// The arguments of a component.
struct Arguments<'l> {
    y_true: Option<Tensor<'l>>,
    y_pred: Tensor<'l>,
    weight: Option<Tensor<'l>>,
    mask: Option<Tensor<'l>>,
}

impl DtypeCache {
    /// Marks the conversions as outdated, because a new batch begins.
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
            conversions
                .get(values, accepted)
                .ok_or_else(|| Error::usage(format!("{name} can't be passed to a plug-in")))
        };
        Ok(Arguments {
            y_true: output.y_true.as_ref().map(|values| get(&self.y_true, values, y_true, "y_true")).transpose()?,
            y_pred: get(&self.y_pred, &output.y_pred, y_pred, "y_pred")?,
            weight: weight.map(|values| get(&self.weight, values, &floats, "sample_weight")).transpose()?,
            mask: output.mask.as_ref().map(|values| get(&self.mask, values, &bytes, "the mask")).transpose()?,
        })
    }
}

impl CompiledLoss {
    pub fn new(loss: component::Loss, place: String, output: usize, weight: Option<f64>, label: String) -> Self {
        let info = loss.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32"]);
        let (y_true, y_pred) = (declared("y_true"), declared("y_pred"));
        CompiledLoss {
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

    /// Returns the value of a batch. With `gradient`, overwrites it with the derivative of `weight * value * scale`
    /// with respect to `y_pred`.
    pub fn call(
        &mut self,
        output: &Output<'_>,
        cache: &mut DtypeCache,
        gradient: Option<&mut [f32]>,
        scale: f64,
    ) -> Result<f64> {
        let arguments = cache.arguments(output, true, &self.y_true, &self.y_pred)?;
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

    /// Returns its part of the total: 0 if the weight is 0, even if the value is NaN.
    pub fn weighted(&self, value: f64) -> f64 {
        if self.weight == 0.0 { 0.0 } else { value * self.weight }
    }

    /// Returns the error for training with a loss that has no gradient.
    pub fn no_gradient(&self) -> Error {
        Error::usage(format!("cannot train with {}: it has no gradient", self.loss.name()))
            .with("in", &self.place)
            .hint("use it as a metric, or give it a gradient")
    }
}

impl MetricPart {
    pub fn new(metric: component::Metric, output: usize, weighted: bool, continue_on_crash: bool) -> Self {
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
            continue_on_crash,
            crash: OnceLock::new(),
            reported: false,
        }
    }

    /// Updates the metric with a batch. A metric that takes only `values` gets the predictions.
    pub fn update(&mut self, output: &Output<'_>, cache: &mut DtypeCache) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        let result = self.update_metric(output, cache);
        self.absorb_crash(result).map(drop)
    }

    /// Returns the result.
    pub fn result(&self) -> Result<Outcome> {
        if self.crash.get().is_some() {
            return Ok(Outcome::Undefined);
        }
        Ok(self.absorb_crash(self.metric.result())?.unwrap_or(Outcome::Undefined))
    }

    /// Resets the state.
    pub fn reset(&mut self) -> Result<()> {
        if self.crash.get().is_some() {
            return Ok(());
        }
        let result = self.metric.reset_state();
        self.absorb_crash(result).map(drop)
    }

    /// Returns its crash the first time it is called after the crash.
    pub fn take_crash(&mut self) -> Option<Error> {
        let crash = self.crash.get().filter(|_| !self.reported)?;
        self.reported = true;
        Some(crash.clone())
    }

    /// Returns `None` for a crash that doesn't end the training.
    fn absorb_crash<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(error) if self.continue_on_crash && error.kind() == ErrorKind::Crash => {
                let _ = self.crash.set(error.hint("the run goes on without this metric"));
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn update_metric(&mut self, output: &Output<'_>, cache: &mut DtypeCache) -> Result<()> {
        let arguments = cache.arguments(output, self.weighted, &self.y_true, &self.y_pred)?;
        let Arguments { y_true, y_pred, weight, mask } = arguments;
        if self.takes_values {
            return self.metric.update_values(y_pred, weight, mask);
        }
        let y_true = y_true.ok_or_else(|| Error::usage(format!("the metric {} needs targets", self.column)))?;
        self.metric.update_state(y_true, y_pred, weight, mask)
    }
}
