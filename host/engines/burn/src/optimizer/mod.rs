//! Optimizers.

mod formula;
mod module;
mod native;
mod record;

use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, LearningRate, MultiGradientsParams};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{FloatDType, Tensor};
use plugfit::{Error, Host, Identifier, Result, component};
use plugfit_emit::Value;
use serde_json::Value as Json;

use crate::labels::compute_dtype;
use formula::{Formula, Step, clipped};
use module::Found;
use native::Native;
pub use record::OptimizerRecord;

/// An optimizer of a plug-in for the modules of burn.
///
/// If the plug-in gives a formula, burn computes it, on any backend. Slots have the dtype of their parameter, and
/// those of bfloat16 and float16 parameters are float32. Otherwise, or with `use_ema` or
/// `gradient_accumulation_steps`, the plug-in computes the update in memory and in float32.
///
/// Clipping and weight decay are those of the plug-in's configuration. A step gets the learning rate as an argument:
/// [`learning_rate`](Self::learning_rate) is that of the configuration, or of its schedule.
///
/// A step panics if the plug-in fails, or if the learning rate is negative or not finite, since burn's trait has no
/// errors.
///
/// ```
/// use burn::backend::{Autodiff, NdArray};
/// use burn::module::{Module, Param};
/// use burn::optim::{GradientsParams, Optimizer as _};
/// use burn::tensor::{Tensor, backend::Backend};
/// use plugfit_burn::Optimizer;
///
/// #[derive(Debug, Module)]
/// struct Point<B: Backend> {
///     x: Param<Tensor<B, 1>>,
/// }
///
/// let mut optimizer = Optimizer::new(&plugfit::Host::new(), "SGD(learning_rate=0.25)")?;
/// let point = Point::<Autodiff<NdArray>> { x: Param::from_data([1.0, -2.0], &Default::default()) };
/// let value = point.x.val().powi_scalar(2).sum();
/// let gradients = GradientsParams::from_grads(value.backward(), &point);
/// let point = optimizer.step(optimizer.learning_rate()?, point, gradients);
/// assert_eq!(point.x.val().into_data().to_vec::<f32>().unwrap(), [0.5, -1.0]);
/// # Ok::<(), plugfit::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer<B: AutodiffBackend> {
    host: Host,
    identifier: Json,
    excluded: Vec<String>,
    optimizer: component::Optimizer,
    update: Update<B>,
    steps: u64,
}

#[derive(Debug)]
enum Update<B: AutodiffBackend> {
    Formula(Formula<B::InnerBackend>),
    Native(Box<Native>),
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// Creates an optimizer from its identifier, by its formula if there is one.
    ///
    /// # Errors
    /// Returns an error if there is no such optimizer, or its configuration or its formula is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        Self::with(host, host.optimizer(identifier)?.serialize()?, Vec::new(), true)
    }

    /// Creates an optimizer that the plug-in computes, even if there is a formula.
    ///
    /// # Errors
    /// Returns an error if there is no such optimizer, or if its configuration is invalid.
    pub fn native(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        Self::with(host, host.optimizer(identifier)?.serialize()?, Vec::new(), false)
    }

    fn with(host: &Host, identifier: Json, excluded: Vec<String>, by_formula: bool) -> Result<Self> {
        let make = || -> Result<component::Optimizer> {
            let mut optimizer = host.optimizer(identifier.clone())?;
            optimizer.exclude_from_weight_decay(excluded.iter().cloned())?;
            Ok(optimizer)
        };
        let optimizer = make()?;
        let settings = optimizer.settings();
        let is_plain = !settings.has_averages && settings.accumulation_steps == 1;
        let update = match optimizer.formula()? {
            Ok(formula) if by_formula && is_plain => Update::Formula(Formula::new(&formula)),
            _ => Update::Native(Box::new(Native::new(make()?))),
        };
        Ok(Optimizer { host: host.clone(), identifier, excluded, optimizer, update, steps: 0 })
    }

    /// Excludes parameters from weight decay if one of these regular expressions matches a part of their name, the
    /// last part of their path, such as `bias`. Call it before the first step.
    ///
    /// # Errors
    /// Returns an error if an expression is invalid.
    pub fn exclude_from_weight_decay(self, words: impl IntoIterator<Item = String>) -> Result<Self> {
        let excluded = self.excluded.iter().cloned().chain(words).collect();
        Self::with(&self.host, self.identifier.clone(), excluded, self.has_formula())
    }

    /// Returns whether burn computes the update by the formula.
    pub fn has_formula(&self) -> bool {
        matches!(self.update, Update::Formula(_))
    }

    /// Returns the learning rate of the next step.
    ///
    /// # Errors
    /// Returns an error if its schedule fails.
    pub fn learning_rate(&self) -> Result<LearningRate> {
        self.optimizer.learning_rate_at(self.steps)
    }

    /// Returns the number of steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the module with the values at which its parameters are evaluated, such as their averages with
    /// `use_ema`. Call it once, after training.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn finalize<M: AutodiffModule<B>>(&mut self, module: M) -> Result<M> {
        match &mut self.update {
            Update::Native(native) if self.steps > 0 => {
                let found = module::parameters::<M, B>(&module, &mut GradientsParams::new());
                let new = native.finalize(found)?;
                Ok(module::replaced::<M, B>(module, new))
            }
            _ => Ok(module),
        }
    }

    fn try_step<M: AutodiffModule<B>>(
        &mut self,
        rate: LearningRate,
        module: M,
        gradients: &mut GradientsParams,
    ) -> Result<M> {
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(Error::usage(format!("{rate} can't be a learning rate")));
        }
        let mut found = module::parameters::<M, B>(&module, gradients);
        let new = match &mut self.update {
            Update::Native(native) => native.step(found, rate)?,
            Update::Formula(formula) => {
                let settings = self.optimizer.settings();
                let gradient = |found: &mut Found<B>| {
                    let gradient = found.gradient.take()?;
                    let trainable = self.optimizer.settings_of(&found.parameter).trainable;
                    trainable.then(|| gradient.cast(compute_dtype(found.value.dtype())))
                };
                let gradients = found.iter_mut().map(gradient).collect();
                let gradients = clipped(gradients, settings.clip, settings.gradient_scale);
                let number = (self.steps + 1) as f64;
                let update = |(found, gradient): (Found<B>, Option<Tensor<B::InnerBackend, 2>>)| {
                    let (gradient, dtype) = (gradient?, FloatDType::from(found.value.dtype()));
                    let settings = self.optimizer.settings_of(&found.parameter);
                    let learning_rate = rate * settings.learning_rate_factor;
                    let value = found.value.cast(compute_dtype(dtype.into()));
                    let value = match settings.weight_decay * learning_rate {
                        0.0 => value,
                        decay => value.mul_scalar(1.0 - decay),
                    };
                    let step = Step { learning_rate, number };
                    Some(formula.update(&found.parameter.path, value, gradient, &step).cast(dtype))
                };
                found.into_iter().zip(gradients).map(update).collect()
            }
        };
        self.steps += 1;
        Ok(module::replaced::<M, B>(module, new))
    }
}

impl<B: AutodiffBackend> Clone for Optimizer<B> {
    fn clone(&self) -> Self {
        let made = Self::with(&self.host, self.identifier.clone(), self.excluded.clone(), self.has_formula());
        let mut made = made.unwrap_or_else(|error| panic!("{error}"));
        made.steps = self.steps;
        match (&mut made.update, &self.update) {
            (Update::Formula(made), Update::Formula(formula)) => *made = formula.clone(),
            (Update::Native(made), Update::Native(native)) => made.load(native.state()),
            _ => unreachable!("both have a formula or none"),
        }
        made
    }
}

impl<B: AutodiffBackend, M: AutodiffModule<B>> burn::optim::Optimizer<M, B> for Optimizer<B> {
    type Record = OptimizerRecord<B>;

    fn step(&mut self, lr: LearningRate, module: M, mut grads: GradientsParams) -> M {
        self.try_step(lr, module, &mut grads).unwrap_or_else(|error| panic!("{error}"))
    }

    /// # Panics
    /// Panics if the gradients come from several devices.
    fn step_multi(&mut self, lr: LearningRate, module: M, mut grads: MultiGradientsParams) -> M {
        match (grads.grads.pop(), grads.grads.is_empty()) {
            (Some((grads, _)), true) => self.step(lr, module, grads),
            (None, _) => module,
            _ => panic!("plugfit's optimizers take gradients of one device: add those of all devices before the step"),
        }
    }

    fn to_record(&self) -> OptimizerRecord<B> {
        let mut record = OptimizerRecord {
            steps: self.steps,
            tensor_names: Vec::new(),
            tensors: Vec::new(),
            number_names: Vec::new(),
            numbers: Vec::new(),
        };
        match &self.update {
            Update::Native(native) => native.save(&mut record),
            Update::Formula(formula) => {
                for (name, slot) in formula.named() {
                    match slot {
                        Value::Tensor(tensor) => {
                            let count = tensor.shape().num_elements();
                            record.tensor_names.push(name);
                            record.tensors.push(Tensor::from_inner(tensor.reshape([count])));
                        }
                        Value::Number(number) => {
                            record.number_names.push(name);
                            record.numbers.push(vec![number]);
                        }
                        Value::Truth(_) | Value::Mask(_) => unreachable!("a slot has numbers"),
                    }
                }
            }
        }
        record
    }

    fn load_record(mut self, record: OptimizerRecord<B>) -> Self {
        self.steps = record.steps;
        match &mut self.update {
            Update::Native(native) => native.load_record(record),
            Update::Formula(formula) => {
                let flat = |tensor: Tensor<B, 1>| {
                    let count = tensor.dims()[0];
                    Value::Tensor(tensor.inner().reshape([1, count]))
                };
                let tensors = record.tensor_names.into_iter().zip(record.tensors.into_iter().map(flat));
                let numbers =
                    record.numbers.iter().map(|numbers| Value::Number(numbers.first().copied().unwrap_or(0.0)));
                formula.load(tensors.chain(record.number_names.into_iter().zip(numbers)).collect());
            }
        }
        self
    }
}
