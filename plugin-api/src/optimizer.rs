//! The traits of optimizers, at two levels, and the types that they use.

use crate::{formula::Formula, Config, Element, Error, Host, Real, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RSlice, RStr},
};

pub(crate) mod recorded;
pub(crate) mod update;

pub use crate::formula::FormulaStep;

/// A parameter of a model, without its values.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// The name, such as `kernel`.
    pub name: &'a str,
    /// The path, such as `dense_1/kernel`.
    pub path: &'a str,
    /// The shape.
    pub shape: &'a [i64],
    /// Whether the parameter belongs to an embedding layer.
    pub embedding: bool,
    /// Whether the parameter is trained.
    pub trainable: bool,
    /// Whether a weight decay in the optimizer's own settings applies to the parameter. (The host applies its own
    /// weight decay before the update.)
    pub decays: bool,
}

impl<'a> Parameter<'a> {
    /// Returns the parameter as the ABI has it.
    #[doc(hidden)]
    pub fn raw(&self) -> abi::Parameter<'a> {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        abi::Parameter {
            name: RStr::from_str(self.name),
            path: RStr::from_str(self.path),
            shape: RSlice::from_slice(self.shape),
            dtype: f32::DTYPE,
            flags: flag(self.trainable, abi::PARAMETER_TRAINABLE)
                | flag(self.embedding, abi::PARAMETER_EMBEDDING)
                | flag(!self.decays, abi::PARAMETER_WITHOUT_DECAY),
        }
    }
}

/// The initial value of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Every element is this number.
    Constant(f64),
    /// A copy of the slot's parameter.
    Copy,
    /// [`Optimizer::fill_slot`] writes the value.
    Filled,
}

/// A float32 tensor of optimizer state, which the host stores between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The index of the slot's parameter, or `None` if the slot belongs to the optimizer as a whole.
    pub parameter: Option<usize>,
    /// The name, such as `momentum`.
    pub name: String,
    /// The shape.
    pub shape: Vec<i64>,
    /// The initial value.
    pub start: Start,
}

impl Slot {
    /// Creates a slot of zeros in the shape of parameter number `index`.
    pub fn like(index: usize, parameter: &Parameter<'_>, name: impl Into<String>) -> Self {
        Slot { parameter: Some(index), name: name.into(), shape: parameter.shape.to_vec(), start: Start::Constant(0.0) }
    }

    /// Creates a slot for one number that belongs to the optimizer as a whole.
    pub fn scalar(name: impl Into<String>, start: f64) -> Self {
        Slot { parameter: None, name: name.into(), shape: Vec::new(), start: Start::Constant(start) }
    }
}

/// The position of a step in the training, and its learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The number of updates before this one: 0 at the first.
    pub iteration: u64,
    /// The number of steps before this one; greater than `iteration` if gradients are accumulated.
    pub step: u64,
    /// The learning rate of this parameter in this step.
    pub learning_rate: f64,
    /// A seed for random numbers. It differs between steps and is the same when a run is repeated.
    pub seed: u64,
}

impl Step {
    /// Returns the number of this update, counted from 1, as bias corrections need it.
    pub fn number(&self) -> f64 {
        self.iteration as f64 + 1.0
    }
}

/// Level 1: the update formula for one element, with up to `N` slots of the parameter's shape and `M` numbers that all
/// elements of a step share.
///
/// [`numbers`](Self::numbers) is computed in float64, [`update`](Self::update) in float32. Both are generic over
/// [`Real`], so that other engines can run the formula too.
///
/// The loop around the formula uses SIMD and threads. In the same pass over memory it does what Keras's base class does
/// for every optimizer: clipping, weight decay and EMA. Write [`#[formula]`](macro@crate::formula) before the `impl`.
pub trait ElementwiseOptimizer<const N: usize, const M: usize>: Config + Send + Sync + 'static {
    /// Returns the properties that depend on the configuration.
    fn info(&self) -> OptimizerInfo {
        OptimizerInfo::default()
    }

    /// Returns the names and initial values of the slots in use, at most `N`. For an unused slot
    /// [`update`](Self::update) receives 0, and the value that it returns is ignored.
    fn slots(&self) -> Vec<(&'static str, f64)>;

    /// Computes the numbers that all elements share in this step: the learning rate, bias corrections.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; M];

    /// Returns the parameter and the slots after the step.
    fn update<R: Real>(&self, numbers: &[R; M], parameter: R, gradient: R, slots: [R; N]) -> (R, [R; N]);
}

/// Properties of an optimizer that depend on its configuration.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OptimizerInfo {
    /// The initial factor of the loss, for an optimizer that scales the loss itself. Later factors are read from its
    /// own slot `loss_scale`. The gradients that the optimizer receives are those of the scaled loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Whether parameters keep their initial values if all gradients are zero.
    pub still_at_zero: bool,
}

impl Default for OptimizerInfo {
    fn default() -> Self {
        OptimizerInfo { loss_scale: None, still_at_zero: true }
    }
}

/// Level 2: the whole tensors of all parameters at once.
pub trait Optimizer: Config + Send + Sync + 'static {
    /// Resolves nested components. The host calls it once, before any other method.
    ///
    /// # Errors
    /// Returns an error if the host can't provide a nested component.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// Returns the properties that depend on the configuration.
    fn info(&self) -> OptimizerInfo {
        OptimizerInfo::default()
    }

    /// Returns the slots for these parameters. [`update`](Self::update) receives the slots of one parameter in this
    /// order, and so those of the optimizer as a whole.
    ///
    /// # Errors
    /// Returns an error if this optimizer can't train one of the parameters.
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>>;

    /// Writes the initial value of slot number `slot`, whose start is [`Start::Filled`].
    ///
    /// # Errors
    /// Returns an error if it isn't implemented or can't compute the value.
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

    /// Updates all parameters by one step. Parameters without a gradient stay unchanged.
    ///
    /// The host scales and clips [`Entry::gradient`] and applies weight decay before the call, and updates the EMA
    /// after it.
    ///
    /// # Errors
    /// Returns an error if the update fails.
    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()>;

    /// Returns the update of one parameter as a formula, for engines that compute it themselves: see
    /// [`Formula::of_parameter`].
    ///
    /// # Errors
    /// Returns an error if the optimizer has no formula; the default does.
    fn formula(&self) -> Result<Formula> {
        Err(Error::unsupported("it is a function of whole tensors"))
    }

    /// Moves the parameters to the values at which they are evaluated. The host calls it once, after training.
    ///
    /// # Errors
    /// Returns an error if the parameters can't be moved.
    fn finalize(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let _ = (update, host);
        Ok(())
    }
}

/// One step of all parameters.
pub struct Update<'u, 'a> {
    /// The step, with the learning rate before any factor.
    pub step: Step,
    /// The parameters, in the order in which `slots` received them.
    pub entries: &'u mut [Entry<'a>],
    /// The slots of the optimizer as a whole.
    pub slots: &'u mut [TensorMut<'a>],
    /// Gradient scale still to be applied, for an update that is passed to a nested optimizer. The host passes 1.
    pub gradient_scale: f64,
}

/// One parameter in an update.
pub struct Entry<'a> {
    /// The parameter.
    pub parameter: Parameter<'a>,
    /// The values to update.
    pub value: TensorMut<'a>,
    /// The gradient, scaled and clipped. If it is `None`, the parameter must stay unchanged.
    pub gradient: Option<Tensor<'a>>,
    /// The slots of the parameter.
    pub slots: Vec<TensorMut<'a>>,
    /// The learning rate of this parameter: that of the step times the parameter's factor.
    pub learning_rate: f64,
}
