//! Optimizers, at two levels.

use crate::{Config, Error, Host, Result, Tensor, TensorMut};

/// What is trained, without its values.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// Such as `kernel`.
    pub name: &'a str,
    /// Such as `dense_1/kernel`.
    pub path: &'a str,
    /// Its shape.
    pub shape: &'a [i64],
    /// Whether it belongs to an embedding layer.
    pub embedding: bool,
    /// Whether it shall be trained.
    pub trainable: bool,
    /// Whether a weight decay among the optimizer's own settings applies to it. (The host's has been applied before the update.)
    pub decays: bool,
}

/// How a slot starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// This number everywhere.
    Constant(f64),
    /// A copy of its parameter.
    Copy,
    /// [`Optimizer::fill_slot`] fills it.
    Filled,
}

/// A float32 tensor that the optimizer wants to have kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The index of its parameter; `None`: it is the optimizer's as a whole.
    pub parameter: Option<usize>,
    /// Such as `momentum`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// How it starts.
    pub start: Start,
}

impl Slot {
    /// A slot of zeros in the shape of parameter number `index`.
    pub fn like(index: usize, parameter: &Parameter<'_>, name: impl Into<String>) -> Self {
        Slot { parameter: Some(index), name: name.into(), shape: parameter.shape.to_vec(), start: Start::Constant(0.0) }
    }

    /// One number of the optimizer as a whole.
    pub fn scalar(name: impl Into<String>, start: f64) -> Self {
        Slot { parameter: None, name: name.into(), shape: Vec::new(), start: Start::Constant(start) }
    }
}

/// Which step it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Updates made before this one: 0 at the first.
    pub iteration: u64,
    /// Steps made before this one; more than `iteration` where gradients are accumulated.
    pub step: u64,
    /// The learning rate of this parameter in this step.
    pub learning_rate: f64,
    /// For randomness: differs from step to step, the same when a run is repeated.
    pub seed: u64,
}

impl Step {
    /// The number of this update, from 1, as bias corrections count.
    pub fn number(&self) -> f64 {
        self.iteration as f64 + 1.0
    }
}

/// Level 1: the formula for one element with up to `N` slots of the parameter's shape.
///
/// One pass over memory, SIMD and threads come with it, and what Keras's base class gives to every optimizer: clipping,
/// weight decay, EMA, in the same pass. Write [`#[formula]`](macro@crate::formula) before the `impl`.
pub trait ElementwiseOptimizer<const N: usize>: Config + Send + Sync + 'static {
    /// Numbers that a step computes once: bias corrections, the learning rate.
    type Numbers: Copy + Send + Sync;

    /// See [`OptimizerInfo`].
    fn info(&self) -> OptimizerInfo {
        OptimizerInfo::default()
    }

    /// The names of the slots in use and the value each starts at, `N` at most; of those not in use the formula sees 0, and what
    /// it gives is dropped.
    fn slots(&self) -> Vec<(&'static str, f64)>;

    /// See [`Numbers`](Self::Numbers).
    fn numbers(&self, step: &Step) -> Self::Numbers;

    /// The parameter and the slots after the step.
    fn update(&self, numbers: &Self::Numbers, parameter: f32, gradient: f32, slots: [f32; N]) -> (f32, [f32; N]);
}

/// What depends on an optimizer's configuration and a host wants to know.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OptimizerInfo {
    /// By what the loss shall be multiplied at first, for an optimizer that scales it itself; later by what its own slot `loss_scale`
    /// holds. The gradients that come are of the scaled loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Whether gradients of zeros alone leave parameters where they started.
    pub still_at_zero: bool,
}

impl Default for OptimizerInfo {
    fn default() -> Self {
        OptimizerInfo { loss_scale: None, still_at_zero: true }
    }
}

/// Level 2: whole tensors, and all of them at once.
pub trait Optimizer: Config + Send + Sync + 'static {
    /// Called once, before anything else: where nested components are resolved.
    ///
    /// # Errors
    /// The host doesn't have what is asked of it.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// See [`OptimizerInfo`].
    fn info(&self) -> OptimizerInfo {
        OptimizerInfo::default()
    }

    /// The slots for these parameters. Those of one parameter come to `update` in this order, and so do the optimizer's own.
    ///
    /// # Errors
    /// A parameter can't be trained by this optimizer.
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>>;

    /// Fills slot number `slot`, whose start is [`Start::Filled`].
    ///
    /// # Errors
    /// Not implemented, or it can't be.
    fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        slot: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut TensorMut<'_>,
        host: &Host<'_>,
    ) -> Result<()> {
        let _ = (parameters, parameter, seed, target, host);
        Err(Error::unsupported(format!("slot {slot} has no start")))
    }

    /// One step of all parameters. Those without a gradient stay as they are.
    ///
    /// [`Entry::gradient`] has been scaled and clipped, weight decay has been applied before the call, and EMA follows after it.
    ///
    /// # Errors
    /// The update can't be made.
    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()>;

    /// Moves the parameters to where they shall be evaluated, once, when training is over.
    ///
    /// # Errors
    /// It can't be done.
    fn finalize(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let _ = (update, host);
        Ok(())
    }
}

/// One step of all parameters.
pub struct Update<'u, 'a> {
    /// Which step, with the learning rate before any factor.
    pub step: Step,
    /// The parameters, in the order that `slots` saw.
    pub entries: &'u mut [Entry<'a>],
    /// The slots of the optimizer as a whole.
    pub slots: &'u mut [TensorMut<'a>],
    /// By what gradients are multiplied yet, where the update is passed on to a nested optimizer; 1 in what the host gives.
    pub gradient_scale: f64,
}

/// One parameter in an update.
pub struct Entry<'a> {
    /// Which.
    pub parameter: Parameter<'a>,
    /// The values to change.
    pub value: TensorMut<'a>,
    /// The gradient, scaled and clipped; `None`: leave the parameter as it is.
    pub gradient: Option<Tensor<'a>>,
    /// Its slots.
    pub slots: Vec<TensorMut<'a>>,
    /// The learning rate for this parameter: the step's times the parameter's factor.
    pub learning_rate: f64,
}
