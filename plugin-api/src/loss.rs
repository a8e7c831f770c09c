//! Losses, at three levels, each with the one below as a way out.

use crate::{Config, Dual, Error, Float, Host, Inputs, Plain, Real, Result, TensorMut};
use serde::{Deserialize, Serialize};

pub use crate::labels::ROUNDING;
pub use crate::lanes::formulas::{elementwise, rows_shape, rowwise};
pub use plugfit_abi::LossTotals;

/// What depends on a loss's configuration and a host wants to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossInfo {
    /// What `y_true` holds: decides what `"accuracy"` means beside this loss. None: judged by the shapes.
    pub targets: Option<Targets>,
    /// Whether `y_pred` are logits.
    pub from_logits: bool,
    /// Whether a row's value depends on that row alone.
    pub rows_independent: bool,
    /// Whether it marks values that don't count ([`LossOutput::valid`]).
    pub own_mask: bool,
    /// Whether it has a gradient.
    pub differentiable: bool,
    /// Whether no prediction has a smaller value than the right one.
    pub least_at_truth: bool,
    /// The inputs, in order.
    pub inputs: Vec<String>,
    /// Between which numbers labels lie. None: any. A host may refuse others before it trains; the first two levels refuse them with
    /// their row ([`ElementwiseLoss::labels`]).
    pub labels: Option<(f64, f64)>,
    /// Whether it computes in float64 too ([`Loss::call_f64`]); losses of the first two levels do.
    pub float64: bool,
    /// For each input the dtypes taken, best first (`"float32"`, `"float64"`, `"int32"`, `"int64"`, `"uint64"`, `"uint8"`); the host
    /// converts what isn't among them to the first. Empty: float32.
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
    /// With these targets.
    pub fn targets(targets: Targets) -> Self {
        LossInfo { targets: Some(targets), ..Self::default() }
    }

    /// Where a value is of what lies along this axis; `None`: of the whole batch. Along the first axis it is of all rows.
    pub fn along(self, axis: Option<i64>) -> Self {
        LossInfo { rows_independent: self.rows_independent && axis.is_some_and(|axis| axis != 0), ..self }
    }
}

/// What `y_true` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// 0 or 1, one for each output.
    Binary,
    /// One-hot rows, or probabilities.
    Categorical,
    /// Class ids.
    Sparse,
    /// Numbers.
    Regression,
}

/// Level 1: the formula for one element; its mean over the last axis is a sample's value.
///
/// The derivative comes from the formula itself ([`Real`]), or by hand from [`derivative`](Self::derivative). Rank handling,
/// weights, SIMD and threads come with it. Write [`#[formula]`](macro@crate::formula) before the `impl`, without which
/// the loop is slow.
///
/// Listed under `metrics` it is a metric too: the weighted mean of its values, in float64 for float64 predictions.
pub trait ElementwiseLoss: Config + Send + Sync + 'static {
    /// The loss of one element.
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R;

    /// Value and derivative with respect to `y_pred`, where a formula by hand is faster or more exact.
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let dual = self.value(Dual::constant(y_true), Dual::variable(y_pred));
        (dual.value, dual.slope)
    }

    /// The axis that the mean is over.
    fn axis(&self) -> i64 {
        -1
    }

    /// Between which numbers labels lie: one further outside than rounding explains (1e-3, a step of float16) is refused with its row, if
    /// the row has weight.
    fn labels(&self) -> Option<(f64, f64)> {
        None
    }

    /// See [`LossInfo`].
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }
}

/// Level 2: one row of `y_true` and `y_pred` (all leading axes folded) gives one value.
///
/// Other axes than the last, weights and threads come with it; write [`#[formula]`](macro@crate::formula) before the `impl`.
/// Listed under `metrics` it is a metric too.
pub trait RowLoss: Config + Send + Sync + 'static {
    /// The loss of a row.
    fn value<R: Real>(&self, y_true: &[R], y_pred: &[R]) -> R;

    /// The loss of a row, and its derivative with respect to each element of `y_pred`.
    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32;

    /// The same in float64: by dual numbers, one pass over the row for each of its elements, unless it is written.
    fn gradient_f64(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        let constants = |row: &[f64]| row.iter().map(|&x| Dual::constant(Plain(x))).collect::<Vec<_>>();
        let (y_true_row, mut y_pred_row) = (constants(y_true), constants(y_pred));
        for (i, slope) in gradient.iter_mut().enumerate() {
            y_pred_row[i].slope = Plain(1.0);
            *slope = self.value(&y_true_row, &y_pred_row).slope.0;
            y_pred_row[i].slope = Plain(0.0);
        }
        self.value(crate::lanes::simd::plain(y_true), crate::lanes::simd::plain(y_pred)).0
    }

    /// The axis that a row lies along; `None`: the whole batch is one row, and the loss a scalar.
    fn axis(&self) -> Option<i64> {
        Some(-1)
    }

    /// As [`ElementwiseLoss::labels`].
    fn labels(&self) -> Option<(f64, f64)> {
        None
    }

    /// See [`LossInfo`].
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }
}

/// Level 3: whole arrays. For losses across the batch, with inputs of their own, or with a mask of their own.
pub trait Loss: Config + Send + Sync + 'static {
    /// See [`LossInfo`].
    fn info(&self) -> LossInfo {
        LossInfo::default()
    }

    /// Called once, before anything else: where nested components are resolved.
    ///
    /// # Errors
    /// The host doesn't have what is asked of it.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// The shape of the values: `y_pred`'s without the last axis, unless it is implemented otherwise.
    ///
    /// # Errors
    /// The inputs don't fit.
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        match inputs.y_pred()?.shape().split_last() {
            Some((_, leading)) => Ok(leading.to_vec()),
            None => Err(Error::input("y_pred is a single number; it needs at least one axis")),
        }
    }

    /// Values, gradients, or both, whichever `output` has room for; the sums of both calls agree.
    ///
    /// # Errors
    /// The inputs don't fit.
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals>;

    /// The same in float64, for a loss that says so ([`LossInfo::float64`]): what isn't of integers among the inputs is float64, and so
    /// is all of the output.
    ///
    /// # Errors
    /// The inputs don't fit, or the loss computes in float32 alone.
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        let _ = (inputs, output, host);
        Err(Error::unsupported("computes in float32 alone"))
    }
}

/// Where a loss writes, and by what it multiplies: in float32, or in float64.
pub struct LossOutput<'a, F = f32> {
    /// Unreduced values, in the shape that `output_shape` gave.
    pub values: Option<&'a mut [F]>,
    /// 1 where a value counts, else 0: for a loss that declares `own_mask`.
    pub valid: Option<&'a mut [F]>,
    /// For each input, in order, where its derivative goes.
    pub gradients: &'a mut [Option<TensorMut<'a>>],
    /// A weight for each value; `None`: ones.
    pub upstream: Option<&'a [F]>,
    /// Multiplies every gradient besides `upstream`.
    pub scale: F,
}

impl<F: Float> LossOutput<'_, F> {
    /// The weight of value `i`.
    pub fn upstream(&self, i: usize) -> F {
        self.upstream.map_or(F::ONE, |upstream| upstream[i])
    }

    /// Where the derivative with respect to input number `input` goes, if it is asked for: 1 is `y_pred`, where the inputs are `y_true` and `y_pred`.
    ///
    /// # Errors
    /// The host gave memory of another dtype.
    pub fn gradient(&mut self, input: usize) -> Result<Option<&mut [F]>> {
        match self.gradients.get_mut(input) {
            Some(Some(tensor)) => tensor.floats_mut("the gradient").map(Some),
            _ => Ok(None),
        }
    }
}
