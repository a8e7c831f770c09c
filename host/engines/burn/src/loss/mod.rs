//! Losses.

mod formula;
mod native;
mod surrogate;

use burn::tensor::{FloatDType, Tensor, backend::Backend};
use plugfit::component::{self, Reduction};
use plugfit::{Error, Host, Identifier, Result};
use plugfit_emit::weight_shape;

use crate::labels::{Labels, compute_dtype, tensor};
use crate::reduction::{fitting, reduced};
use formula::Formula;
use native::Native;

/// A loss of a plug-in as a function of tensors.
///
/// If the plug-in gives a formula, burn computes it, on any backend. Otherwise the plug-in computes values and
/// gradients in memory, to which tensors of other devices are copied.
///
/// The gradient with respect to a prediction that is infinite or NaN is 0, and an infinite gradient is the greatest
/// finite number.
///
/// ```
/// use burn::backend::{Autodiff, NdArray};
/// use burn::tensor::Tensor;
/// use plugfit_burn::Loss;
///
/// type Backend = Autodiff<NdArray>;
///
/// let loss = Loss::new(&plugfit::Host::new(), "Huber(delta=2)")?;
/// let device = Default::default();
/// let y_true = Tensor::<Backend, 2>::from_data([[0.0], [1.0]], &device);
/// let y_pred = Tensor::<Backend, 2>::from_data([[0.5], [4.0]], &device).require_grad();
/// let gradients = loss.forward(y_true, y_pred.clone())?.backward();
/// assert_eq!(y_pred.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap(), [0.25, 1.0]);
/// # Ok::<(), plugfit::Error>(())
/// ```
#[derive(Debug)]
pub struct Loss {
    name: String,
    reduction: Reduction,
    is_float64: bool,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Formula(Formula),
    Native(Box<Native>),
}

impl Loss {
    /// Creates a loss from its identifier, by its formula if there is one.
    ///
    /// # Errors
    /// Returns an error if there is no such loss, or its configuration or its formula is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        let loss = host.loss(identifier)?;
        match loss.formula()? {
            Ok(formula) => Ok(Loss::with(&loss, Engine::Formula(Formula::new(&formula)?))),
            Err(_) => Loss::of_native(host, loss),
        }
    }

    /// Creates a loss that the plug-in computes, even if there is a formula.
    ///
    /// # Errors
    /// Returns an error if there is no such loss, or if its configuration is invalid.
    pub fn native(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        Loss::of_native(host, host.loss(identifier)?)
    }

    fn of_native(host: &Host, loss: component::Loss) -> Result<Self> {
        let (name, reduction, is_float64) = (loss.name().to_owned(), loss.reduction(), loss.is_float64());
        Ok(Loss { name, reduction, is_float64, engine: Engine::Native(Box::new(Native::new(host, loss)?)) })
    }

    fn with(loss: &component::Loss, engine: Engine) -> Self {
        Loss { name: loss.name().to_owned(), reduction: loss.reduction(), is_float64: loss.is_float64(), engine }
    }

    /// Returns the name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the reduction of the values to one number.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// Returns whether burn computes the loss by its formula.
    pub fn has_formula(&self) -> bool {
        matches!(self.engine, Engine::Formula(_))
    }

    /// Returns the loss of a batch, with the shape `[1]`; with the reduction "none", one value for each row, in C
    /// order. It is differentiable with respect to `y_pred`, and by formula also with respect to a `y_true` of
    /// floating-point numbers that aren't class ids; otherwise `y_true` is a constant.
    ///
    /// `y_true` has the shape of `y_pred`; for a loss of class ids it has one number for each row of `y_pred`. The
    /// result is float64 if `y_pred` or the dtype of the loss is, else float32, in which bfloat16 and float16 are
    /// computed.
    ///
    /// # Errors
    /// Returns an error if the shapes don't fit, if the plug-in fails, if the loss isn't differentiable and the
    /// backend is, or if the loss has no derivative with respect to a `y_true` that requires one.
    pub fn forward<B: Backend, const D: usize>(
        &self,
        y_true: impl Labels<B>,
        y_pred: Tensor<B, D>,
    ) -> Result<Tensor<B, 1>> {
        self.compute(y_true, y_pred, None::<Tensor<B, 1>>)
    }

    /// Returns the loss of a batch like [`forward`](Self::forward), with values multiplied by weights, which broadcast
    /// to the shape of the values. A value with weight 0 is ignored, even if it is NaN.
    ///
    /// # Errors
    /// Returns an error under the same conditions, or if the weights don't fit.
    pub fn forward_weighted<B: Backend, const D: usize, const W: usize>(
        &self,
        y_true: impl Labels<B>,
        y_pred: Tensor<B, D>,
        sample_weight: Tensor<B, W>,
    ) -> Result<Tensor<B, 1>> {
        self.compute(y_true, y_pred, Some(sample_weight))
    }

    fn compute<B: Backend, L: Labels<B>, const D: usize, const W: usize>(
        &self,
        y_true: L,
        y_pred: Tensor<B, D>,
        weight: Option<Tensor<B, W>>,
    ) -> Result<Tensor<B, 1>> {
        let is_differentiated = B::ad_enabled(&y_pred.device());
        let without_derivative = |argument: &str| {
            let message = format!("{} has no derivative with respect to {argument}", self.name);
            Err(Error::usage(message).hint(format!("pass {argument}.set_require_grad(false)")))
        };
        match &self.engine {
            Engine::Formula(formula) => {
                if is_differentiated && !formula.is_differentiable() {
                    return Err(Error::usage(format!("{} isn't differentiable", self.name))
                        .hint("pass tensors of the inner backend, as y_pred.inner() gives them"));
                }
                if y_true.is_require_grad() && !formula.is_differentiable_by_y_true() {
                    return without_derivative("y_true");
                }
                let dtype = if self.is_float64 { FloatDType::F64 } else { compute_dtype(y_pred.dtype()) };
                let rows = formula.rows(&y_true.lengths(), &y_pred.dims())?;
                let reduction = if rows.values.is_empty() { Reduction::Sum } else { self.reduction };
                if rows.rows * rows.columns == 0 {
                    weight.map(|weight| weight_shape(&weight.dims(), &rows.values)).transpose()?;
                    let count = if reduction == Reduction::None { rows.rows } else { 1 };
                    return Ok(tensor(vec![0.0; count], [count], &y_pred.device(), dtype));
                }
                let weight = weight.map(|weight| fitting(weight, &rows.values, dtype)).transpose()?;
                let values = formula.values(&rows, y_true, y_pred, weight.as_ref().map(|weight| &weight.each), dtype);
                Ok(reduced(values, weight, reduction))
            }
            Engine::Native(_) if y_true.is_require_grad() => without_derivative("y_true"),
            Engine::Native(_) if weight.as_ref().is_some_and(Tensor::is_require_grad) => {
                without_derivative("sample_weight")
            }
            Engine::Native(_) if is_differentiated && self.reduction == Reduction::None => Err(Error::usage(format!(
                "{} is computed by the plug-in: burn can't differentiate its values one by one",
                self.name
            ))
            .hint("use the reduction \"sum\" and weights")),
            Engine::Native(native) => native.value(y_true, y_pred, weight),
        }
    }
}
