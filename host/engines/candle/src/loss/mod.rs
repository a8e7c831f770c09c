//! Losses.

mod formula;
mod native;

use candle_core::{DType, Error, Result, Tensor};
use plugfit::component::Reduction;
use plugfit::{Host, Identifier, component};

use crate::arrays::compute_dtype;
use crate::reduction::{fitting, reduced};
use formula::Formula;
use native::Native;

/// A loss of a plug-in as a function of tensors.
///
/// If the plug-in gives a formula, candle computes it, on any device. Otherwise the plug-in computes values and gradients
/// in memory, to which tensors of other devices are copied.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use plugfit_candle::Loss;
///
/// let host = plugfit::Host::new();
/// let loss = Loss::new(&host, "Huber(delta=2)")?;
/// let y_true = Tensor::new(&[[0.0_f32], [1.0]], &Device::Cpu)?;
/// let y_pred = Var::new(&[[0.5_f32], [4.0]], &Device::Cpu)?;
/// let value = loss.forward(&y_true, &y_pred)?;
/// let gradients = value.backward()?;
/// assert_eq!(gradients.get(&y_pred).unwrap().to_vec2::<f32>()?, [[0.25], [1.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    Native(Native),
}

impl Loss {
    /// Creates a loss from its identifier, by its formula if there is one.
    ///
    /// # Errors
    /// Returns an error if there is no such loss, or its configuration or its formula is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> plugfit::Result<Self> {
        let loss = host.loss(identifier)?;
        match loss.formula()? {
            Ok(formula) => Ok(Loss::with(&loss, Engine::Formula(Formula::new(loss.name(), &formula)?))),
            Err(_) => Loss::of_native(host, loss),
        }
    }

    /// Creates a loss that the plug-in computes, even if there is a formula.
    ///
    /// # Errors
    /// Returns an error if there is no such loss, or if its configuration is invalid.
    pub fn native(host: &Host, identifier: impl Into<Identifier>) -> plugfit::Result<Self> {
        Loss::of_native(host, host.loss(identifier)?)
    }

    fn of_native(host: &Host, loss: component::Loss) -> plugfit::Result<Self> {
        let (name, reduction, is_float64) = (loss.name().to_owned(), loss.reduction(), loss.is_float64());
        Ok(Loss { name, reduction, is_float64, engine: Engine::Native(Native::new(host, loss)?) })
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

    /// Returns whether candle computes the loss by its formula.
    pub fn has_formula(&self) -> bool {
        matches!(self.engine, Engine::Formula(_))
    }

    /// Returns the loss of a batch: a tensor without axes, or, with the reduction "none", one value for each row. It is
    /// differentiable with respect to `y_pred`, and by formula also with respect to `y_true`, if the plug-in gives this
    /// derivative.
    ///
    /// `y_true` has the shape of `y_pred`; for a loss of class ids it has one number, of any dtype, for each row of
    /// `y_pred`. The result is float64 if `y_pred` or the dtype of the loss is, else float32, in which bfloat16 and
    /// float16 are computed.
    ///
    /// # Errors
    /// Returns an error if the shapes don't fit, if the plug-in fails, or candle's.
    pub fn forward(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        self.compute(y_true, y_pred, None)
    }

    /// Returns the loss of a batch like [`forward`](Self::forward), with values multiplied by weights, which broadcast
    /// to the shape of the values. One of both may have a last axis of length 1 that the other doesn't have. A value with
    /// weight 0 is ignored, even if it is NaN.
    ///
    /// # Errors
    /// Returns an error under the same conditions, or if the weights don't fit.
    pub fn forward_weighted(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: &Tensor) -> Result<Tensor> {
        self.compute(y_true, y_pred, Some(sample_weight))
    }

    fn compute(&self, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        match &self.engine {
            Engine::Native(_) if y_true.track_op() => {
                Err(Error::Msg(format!("{} has no derivative with respect to y_true: pass y_true.detach()", self.name)))
            }
            Engine::Native(_) if weight.is_some_and(|weight| weight.track_op()) => Err(Error::Msg(format!(
                "{} has no derivative with respect to sample_weight: pass sample_weight.detach()",
                self.name
            ))),
            Engine::Native(native) => native.value(y_true, y_pred, weight),
            Engine::Formula(formula) => {
                let dtype = if self.is_float64 { DType::F64 } else { compute_dtype(y_pred) };
                let rows = formula.rows(y_true, y_pred)?;
                let given = weight.map_or(0, Tensor::rank);
                let weight = weight.map(|weight| fitting(weight, &rows.values)?.to_dtype(dtype)).transpose()?;
                let values =
                    formula.values(&rows, &y_true.to_dtype(dtype)?, &y_pred.to_dtype(dtype)?, weight.as_ref())?;
                let value = reduced(&values, weight.as_ref(), self.reduction)?;
                // As in Keras, values lose a last axis that weights of several axes don't have.
                if given > 1 && value.rank() == given + 1 { value.squeeze(given) } else { Ok(value) }
            }
        }
    }
}
