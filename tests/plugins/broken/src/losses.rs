//! Losses, most of which violate a law.

use plugfit_api::{
    config::ComponentSpec,
    loss::LossTotals,
    prelude::*,
    serde_json::{Map, Value},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Computes the mean square of each row and its gradient, correctly.
pub fn squares(inputs: &Inputs<'_>, output: &mut LossOutput<'_>) -> Result<LossTotals> {
    let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
    if y_true.shape() != y_pred.shape() {
        return Err(Error::input("y_true and y_pred have the same shape"));
    }
    let (rows, columns) = y_pred.rows_and_columns();
    let (y_true, y_pred) = (y_true.f32s("y_true")?, y_pred.f32s("y_pred")?);
    let mut totals = LossTotals { count: rows as f64, ..LossTotals::default() };
    for row in 0..rows {
        let cells = row * columns..(row + 1) * columns;
        let value = cells.clone().map(|i| (y_pred[i] - y_true[i]).powi(2)).sum::<f32>() / columns as f32;
        let weight = output.upstream(row);
        totals.value += f64::from(value * weight);
        totals.weight += f64::from(weight);
        if let Some(values) = output.values.as_deref_mut() {
            values[row] = value;
        }
        let factor = 2.0 * weight * output.scale / columns as f32;
        if let Some(gradient) = output.gradient(1)? {
            cells.for_each(|i| gradient[i] = factor * (y_pred[i] - y_true[i]));
        }
    }
    Ok(totals)
}

/// Computes [`squares`] and applies `change` to each derivative.
fn with_gradient(inputs: &Inputs<'_>, output: &mut LossOutput<'_>, change: impl Fn(&mut f32)) -> Result<LossTotals> {
    let totals = squares(inputs, output)?;
    if let Some(gradient) = output.gradient(1)? {
        gradient.iter_mut().for_each(change);
    }
    Ok(totals)
}

/// Satisfies every law.
#[derive(Config)]
pub struct GoodLoss;

impl Loss for GoodLoss {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Negates its gradient.
#[derive(Config)]
pub struct WrongSign;

impl Loss for WrongSign {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        with_gradient(inputs, output, |derivative| *derivative = -*derivative)
    }
}

/// Omits the factor 2 in its gradient.
#[derive(Config)]
pub struct WrongScale;

impl Loss for WrongScale {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        with_gradient(inputs, output, |derivative| *derivative /= 2.0)
    }
}

/// Declares a gradient but doesn't write it.
#[derive(Config)]
pub struct WritesNoGradient;

impl Loss for WritesNoGradient {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let values = output.values.take();
        let mut without = LossOutput { values, valid: None, gradients: &mut [], ..*output };
        squares(inputs, &mut without)
    }
}

/// Adds the mean of the batch, and declares that its rows are independent.
#[derive(Config)]
pub struct DependentRows;

impl Loss for DependentRows {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let mut totals = squares(inputs, output)?;
        if let Some(values) = output.values.as_deref_mut() {
            let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
            values.iter_mut().for_each(|value| *value += mean);
            totals.value *= 2.0;
        }
        Ok(totals)
    }
}

/// The logarithm of numbers that may be negative.
#[derive(Config)]
pub struct NanValues;

impl Loss for NanValues {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let totals = squares(inputs, output)?;
        if let Some(values) = output.values.as_deref_mut() {
            values.iter_mut().for_each(|value| *value = (*value - 10.0).ln());
        }
        Ok(totals)
    }
}

/// Reports one value more than there are rows.
#[derive(Config)]
pub struct MoreRows;

impl Loss for MoreRows {
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        Ok(vec![inputs.y_pred()?.shape()[0] + 1])
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Reports a negative shape for its values.
#[derive(Config)]
pub struct NegativeShape;

impl Loss for NegativeShape {
    fn output_shape(&self, _: &Inputs<'_>) -> Result<Vec<i64>> {
        Ok(vec![-1])
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Accepts labels and predictions of different shapes, and returns zeros for them.
#[derive(Config)]
pub struct AnyShapes;

impl Loss for AnyShapes {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        if inputs.y_true()?.shape() == inputs.y_pred()?.shape() {
            return squares(inputs, output);
        }
        Ok(LossTotals::default())
    }
}

/// Ignores weights.
#[derive(Config)]
pub struct Unweighted;

impl Loss for Unweighted {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        output.upstream = None;
        squares(inputs, output)
    }
}

/// The factor of the instance that was created last.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Uses the factor of the instance that was created last, in all instances.
#[derive(Config)]
pub struct SharedSetting {
    /// Factor of the values.
    #[config(default = 1.0, above = 0.0)]
    factor: f64,
}

impl Loss for SharedSetting {
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        LAST.store(self.factor.to_bits(), Ordering::Relaxed);
        Ok(())
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let factor = f64::from_bits(LAST.load(Ordering::Relaxed)) as f32;
        let mut totals = with_gradient(inputs, output, |derivative| *derivative *= factor)?;
        totals.value *= f64::from(factor);
        if let Some(values) = output.values.as_deref_mut() {
            values.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(totals)
    }
}

/// The sum that all threads share.
static mut SUM: f64 = 0.0;

/// Adds up in a variable that all threads share.
#[derive(Config)]
pub struct SharedScratch;

impl Loss for SharedScratch {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let totals = squares(inputs, output)?;
        let sum = &raw mut SUM;
        // SAFETY: none. The data race is intended: other threads write `SUM` at the same time.
        unsafe { sum.write_volatile(0.0) };
        for _ in 0..100 {
            std::thread::yield_now();
            // SAFETY: as above.
            unsafe { sum.write_volatile(sum.read_volatile() + totals.value / 100.0) };
        }
        // SAFETY: as above.
        let value = unsafe { sum.read_volatile() };
        Ok(LossTotals { value, ..totals })
    }
}

#[derive(Config)]
struct Hidden {
    /// Has no effect.
    #[config(default = 1.0)]
    factor: f64,
}

/// Accepts a setting that it doesn't write into its configuration.
pub struct KeepsASettingToItself(Hidden);

impl plugfit_api::Config for KeepsASettingToItself {
    const SPEC: ComponentSpec = ComponentSpec {
        name: "KeepsASettingToItself",
        aliases: &[],
        doc: "Takes a setting that it doesn't write.",
        ..Hidden::SPEC
    };
    fn from_json(config: &Map<String, Value>) -> Result<Self> {
        Hidden::from_json(config).map(KeepsASettingToItself)
    }
    fn to_json(&self) -> Map<String, Value> {
        let mut config = self.0.to_json();
        config.remove("factor").filter(|_| self.0.factor.is_nan());
        config
    }
}

impl Loss for KeepsASettingToItself {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Accepts any configuration and reports a fixed one.
pub struct TakesAnything;

impl plugfit_api::Config for TakesAnything {
    const SPEC: ComponentSpec =
        ComponentSpec { name: "TakesAnything", aliases: &[], doc: "Takes any configuration.", ..Hidden::SPEC };
    fn from_json(_: &Map<String, Value>) -> Result<Self> {
        Ok(TakesAnything)
    }
    fn to_json(&self) -> Map<String, Value> {
        Map::from_iter([("factor".to_owned(), Value::from(2.0))])
    }
}

impl Loss for TakesAnything {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// Returns different values in float64 and in float32.
#[derive(Config)]
pub struct OtherInDouble;

impl Loss for OtherInDouble {
    fn info(&self) -> LossInfo {
        LossInfo { float64: true, ..LossInfo::default() }
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, _: &Host<'_>) -> Result<LossTotals> {
        let (rows, columns) = inputs.y_pred()?.rows_and_columns();
        if let Some(values) = output.values.as_deref_mut() {
            values.fill(0.5);
        }
        if let Some(gradient) = output.gradient(1)? {
            gradient[..rows * columns].fill(0.0);
        }
        Ok(LossTotals { value: 0.5 * rows as f64, weight: rows as f64, count: rows as f64 })
    }
}
