//! A loss with a third input and a loss with its own mask.

use plugfit_api::{
    loss::{LossTotals, Targets},
    prelude::*,
};

/// The negative log-likelihood of a Gaussian without its constant term. Both mean and variance are predicted and have
/// gradients.
#[derive(Config)]
pub struct GaussianNll {
    /// Lower bound of the variance.
    #[config(default = 1e-6, above = 0.0)]
    least: f64,
}

impl Loss for GaussianNll {
    fn info(&self) -> LossInfo {
        let inputs = ["y_true", "y_pred", "variance"].map(str::to_owned).to_vec();
        LossInfo { inputs, ..LossInfo::targets(Targets::Regression) }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        Ok(inputs.y_pred()?.shape().to_vec())
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let y_true = inputs.y_true()?.f32s("y_true")?;
        let y_pred = inputs.y_pred()?.f32s("y_pred")?;
        let variance = inputs.get("variance")?.f32s("variance")?;
        if y_true.len() != y_pred.len() || variance.len() != y_pred.len() {
            return Err(Error::input("y_true, y_pred and variance have the same shape"));
        }
        let mut totals = LossTotals { count: y_pred.len() as f64, ..LossTotals::default() };
        for i in 0..y_pred.len() {
            let (error, weight) = (y_pred[i] - y_true[i], output.upstream(i));
            let v = variance[i].max(self.least as f32);
            let value = 0.5 * (v.ln() + error * error / v);
            totals.value += f64::from(weight * value);
            totals.weight += f64::from(weight);
            if let Some(values) = output.values.as_deref_mut() {
                values[i] = value;
            }
            let scale = weight * output.scale;
            if let Some(gradient) = output.gradient(1)? {
                gradient[i] = scale * error / v;
            }
            if let Some(gradient) = output.gradient(2)? {
                gradient[i] =
                    if variance[i] > self.least as f32 { scale * 0.5 * (1.0 - error * error / v) / v } else { 0.0 };
            }
        }
        Ok(totals)
    }
}

/// The cross-entropy of a class id at each time. A negative id means that the time has no label.
#[derive(Config)]
pub struct MaskedTemporalCrossentropy;

impl Loss for MaskedTemporalCrossentropy {
    fn info(&self) -> LossInfo {
        let dtypes = vec![vec!["int32".into(), "float32".into()], vec!["float32".into()]];
        LossInfo { own_mask: true, dtypes, ..LossInfo::targets(Targets::Sparse) }
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let (y_true, tensor) = (inputs.y_true()?, inputs.y_pred()?);
        let (rows, classes) = tensor.rows_and_columns();
        let y_pred = tensor.f32s("y_pred")?;
        if y_true.len() != rows {
            return Err(Error::input(format!("{} class ids for {rows} times", y_true.len())));
        }
        let mut totals = LossTotals::default();
        for (row, scores) in y_pred.chunks_exact(classes).enumerate() {
            let id = y_true.get_f64(row);
            let has_label = id >= 0.0 && (id as usize) < classes;
            let value = if has_label { -scores[id as usize].max(1e-7).ln() } else { 0.0 };
            let weight = if has_label { output.upstream(row) } else { 0.0 };
            totals.value += f64::from(weight * value);
            totals.weight += f64::from(weight);
            totals.count += f64::from(u8::from(has_label));
            if let Some(values) = output.values.as_deref_mut() {
                values[row] = value;
            }
            if let Some(valid) = output.valid.as_deref_mut() {
                valid[row] = f32::from(u8::from(has_label));
            }
            let scale = weight * output.scale;
            if let Some(gradient) = output.gradient(1)? {
                let derivatives = &mut gradient[row * classes..(row + 1) * classes];
                derivatives.fill(0.0);
                if has_label {
                    derivatives[id as usize] = -scale / scores[id as usize].max(1e-7);
                }
            }
        }
        Ok(totals)
    }
}
