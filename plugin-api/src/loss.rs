//! The traits of losses, at three levels. Each level is more general than the one before it.

use crate::{formula::Formula, Config, Dual, Error, Float, Host, Inputs, Plain, Real, Result, Row, TensorMut};
use serde::{Deserialize, Serialize};

mod elementwise;
pub(crate) mod recorded;
mod rowwise;
mod run;

pub use crate::labels::ROUNDING;
pub use elementwise::elementwise;
pub use plugfit_abi::LossTotals;
pub use rowwise::rowwise;
pub use run::rows_shape;

/// Properties of a loss that depend on its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossInfo {
    /// The meaning of `y_true`, which decides what `"accuracy"` means beside this loss. `None`: the host decides by the
    /// shapes.
    pub targets: Option<Targets>,
    /// Whether `y_pred` are logits.
    pub from_logits: bool,
    /// Whether the value of a row depends only on that row.
    pub rows_independent: bool,
    /// Whether the loss marks invalid values ([`LossOutput::valid`]).
    pub own_mask: bool,
    /// Whether the loss has a gradient.
    pub differentiable: bool,
    /// Whether the loss is minimal if `y_pred` is the truth.
    pub least_at_truth: bool,
    /// The names of the inputs, in order.
    pub inputs: Vec<String>,
    /// The range of valid labels. `None`: any. A host may refuse other labels before it trains. Levels 1 and 2 refuse
    /// them with an error that names the row ([`ElementwiseLoss::labels`]).
    pub labels: Option<(f64, f64)>,
    /// Whether the loss can compute in float64 ([`Loss::call_f64`]). Losses of levels 1 and 2 can.
    pub float64: bool,
    /// The dtypes that each input supports, best first (`"float32"`, `"float64"`, `"int32"`, `"int64"`, `"uint64"`,
    /// `"uint8"`). The host converts any other dtype to the first. Empty: float32.
    pub dtypes: Vec<Vec<String>>,
}

impl Default for LossInfo {
    fn default() -> Self {
        LossInfo {
            targets: None,
            from_logits: false,
            rows_independent: true,
            own_mask: false,
            differentiable: true,
            least_at_truth: true,
            inputs: vec!["y_true".into(), "y_pred".into()],
            labels: None,
            float64: false,
            dtypes: Vec::new(),
        }
    }
}

impl LossInfo {
    /// Describes a loss with these targets.
    pub fn targets(targets: Targets) -> Self {
        LossInfo { targets: Some(targets), ..Self::default() }
    }

    /// Adapts `rows_independent` to a loss whose rows lie along `axis`. Rows of the batch are dependent if it is 0, or
    /// if it is `None`, which means that the whole batch is one row.
    pub fn along(self, axis: Option<i64>) -> Self {
        LossInfo { rows_independent: self.rows_independent && axis.is_some_and(|axis| axis != 0), ..self }
    }
}

/// The meaning of `y_true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// 0 or 1, one for each output.
    Binary,
    /// One-hot rows, or probabilities.
    Categorical,
    /// Class ids.
    Sparse,
    /// Real numbers.
    Regression,
}

/// Level 1: the formula for one element. The value of a sample is its mean over the last axis.
///
/// The derivative is computed from the formula ([`Real`]), or by [`derivative`](Self::derivative) if it is overridden.
/// Rank matching, weights, SIMD and threads are provided. Write [`#[formula]`](macro@crate::formula) before the `impl`;
/// without it the loop is slow.
///
/// Listed under `metrics`, the loss is a metric: the weighted mean of its values, in float64 for float64 predictions.
pub trait ElementwiseLoss: Config + Send + Sync + 'static {
    /// Computes the loss of one element.
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R;

    /// Computes the value and its derivative with respect to `y_pred`. Override it if an explicit formula is faster or
    /// more accurate.
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let dual = self.value(Dual::constant(y_true), Dual::variable(y_pred));
        (dual.value, dual.derivative)
    }

    /// Returns the axis over which the mean is taken.
    fn axis(&self) -> i64 {
        -1
    }

    /// Returns the range of valid labels. A label outside of it is an error that names the row, unless the row has
    /// weight 0 or the distance is at most [`ROUNDING`] (1e-3, a step of float16).
    fn labels(&self) -> Option<(f64, f64)> {
        None
    }

    /// Returns the properties that depend on the configuration.
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }
}

/// Level 2: a function of one row of `y_true` and `y_pred`. All leading axes are rows.
///
/// Other axes than the last, weights and threads are provided. Write [`#[formula]`](macro@crate::formula) before the
/// `impl`. Listed under `metrics`, the loss is a metric.
pub trait RowLoss: Config + Send + Sync + 'static {
    /// Computes the loss of a row.
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R;

    /// Computes the loss of a row, and writes its derivative with respect to each element of `y_pred`.
    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32;

    /// Computes loss and gradient in float64. The default uses dual numbers, with one pass over the row for each
    /// element.
    fn gradient_f64(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        let constants = |row: &[f64]| row.iter().map(|&x| Dual::constant(Plain(x))).collect::<Vec<_>>();
        let (y_true_row, mut y_pred_row) = (constants(y_true), constants(y_pred));
        for (i, derivative) in gradient.iter_mut().enumerate() {
            y_pred_row[i].derivative = Plain(1.0);
            *derivative = self.value(Row::new(&y_true_row), Row::new(&y_pred_row)).derivative.0;
            y_pred_row[i].derivative = Plain(0.0);
        }
        self.value(Row::new(Plain::slice(y_true)), Row::new(Plain::slice(y_pred))).0
    }

    /// Returns the loss as a formula, for engines that compute it themselves. The default records
    /// [`value`](Self::value), from which its derivative is computed operation by operation. Override it to record a
    /// shorter derivative ([`Formula::of_rows_with_derivative`]).
    ///
    /// # Errors
    /// Returns an error if the formula can't be recorded.
    fn formula(&self) -> Result<Formula> {
        Formula::of_rows(self.axis(), |y_true, y_pred| self.value(y_true, y_pred))
    }

    /// Returns the axis along which rows lie. If it is `None`, the whole batch is one row and the loss is a scalar.
    fn axis(&self) -> Option<i64> {
        Some(-1)
    }

    /// Returns the range of valid labels, as [`ElementwiseLoss::labels`] does.
    fn labels(&self) -> Option<(f64, f64)> {
        None
    }

    /// Returns the properties that depend on the configuration.
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }
}

/// Level 3: a function of whole arrays, for losses across the batch, or with their own inputs or mask.
pub trait Loss: Config + Send + Sync + 'static {
    /// Returns the properties that depend on the configuration.
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }

    /// Resolves nested components. The host calls it once, before any other method.
    ///
    /// # Errors
    /// Returns an error if the host can't provide a nested component.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// Returns the shape of the values. The default is the shape of `y_pred` without the last axis.
    ///
    /// # Errors
    /// Returns an error if the inputs are invalid.
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        match inputs.y_pred()?.shape().split_last() {
            Some((_, leading)) => Ok(leading.to_vec()),
            None => Err(Error::input("y_pred is a single number; it needs at least one axis")),
        }
    }

    /// Computes the values, the gradients or both, depending on which of them `output` has memory for. Returns the same
    /// sums in each case.
    ///
    /// # Errors
    /// Returns an error if the inputs are invalid.
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals>;

    /// Returns the loss as a formula, for engines that compute it themselves: see [`Formula`].
    ///
    /// # Errors
    /// Returns an error if the loss has no formula; the default does.
    fn formula(&self) -> Result<Formula> {
        Err(Error::unsupported("it is a function of whole arrays"))
    }

    /// Does the same as [`call`](Self::call) in float64, if the loss declares [`LossInfo::float64`]. All inputs that
    /// aren't integers, and all outputs, are float64.
    ///
    /// # Errors
    /// Returns an error if the inputs are invalid, or if the loss computes only in float32.
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        let _ = (inputs, output, host);
        Err(Error::unsupported("computes only in float32"))
    }
}

/// The outputs of a loss and the factors of its gradients, in float32 or float64.
pub struct LossOutput<'a, F = f32> {
    /// Memory for the unreduced values, in the shape that `output_shape` returned.
    pub values: Option<&'a mut [F]>,
    /// Memory for the mask of a loss that declares `own_mask`: 1 if a value is valid, else 0.
    pub valid: Option<&'a mut [F]>,
    /// Memory for the gradient with respect to each input, in order.
    pub gradients: &'a mut [Option<TensorMut<'a>>],
    /// The weight of each value, which multiplies its gradient; `None`: ones.
    pub upstream: Option<&'a [F]>,
    /// A further factor of every gradient.
    pub scale: F,
}

impl<F: Float> LossOutput<'_, F> {
    /// Returns the weight of value `i`.
    pub fn upstream(&self, i: usize) -> F {
        self.upstream.map_or(F::ONE, |upstream| upstream[i])
    }

    /// Returns the memory for the gradient with respect to input number `input`, or `None` if it isn't requested. If
    /// the inputs are `y_true` and `y_pred`, 1 is `y_pred`.
    ///
    /// # Errors
    /// Returns an error if the host passed memory of another dtype.
    pub fn gradient(&mut self, input: usize) -> Result<Option<&mut [F]>> {
        match self.gradients.get_mut(input) {
            Some(Some(tensor)) => tensor.floats_mut("the gradient").map(Some),
            _ => Ok(None),
        }
    }
}
