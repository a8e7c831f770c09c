//! Segmentation losses for images that are mostly background.
use plugfit_api::{
    loss::{LossTotals, Targets},
    prelude::*,
};

/// Focal Tversky: `(1 - TP / (TP + alpha FP + beta FN))^gamma` along the last axis. Abraham & Khan 2019.
#[derive(Clone, Debug, Config)]
pub struct FocalTversky {
    /// The weight of false positives.
    #[config(default = 0.3, range = 0.0..)]
    alpha: f64,
    /// The weight of false negatives.
    #[config(default = 0.7, range = 0.0..)]
    beta: f64,
    /// The exponent; below 1 the gradient of nearly correct rows is larger.
    #[config(default = 0.75, above = 0.0)]
    gamma: f64,
    /// Added to numerator and denominator, so that rows without a region have a finite value.
    #[config(default = 1e-6, above = 0.0)]
    smooth: f64,
}

impl FocalTversky {
    /// Returns the value, the factor `derivative`, and `ratio`. The derivative with respect to `y_pred[i]` is
    /// `derivative (ratio (t + alpha (1 - t) - beta t) - t)` with `t = y_true[i]`.
    fn parts(&self, y_true: &[f32], y_pred: &[f32]) -> (f64, f64, f64) {
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            y_true.iter().zip(y_pred).map(|(&t, &p)| f(f64::from(t), f64::from(p))).sum()
        };
        let both = sum(&|t, p| t * p) + self.smooth;
        let wrong = self.alpha * sum(&|t, p| (1.0 - t) * p) + self.beta * sum(&|t, p| t * (1.0 - p));
        let size = both + wrong;
        // Not `1 - ratio`, which cancels when the ratio is close to 1.
        let missing = wrong / size;
        // Not `max`, which turns NaN into 0.
        let missing = if missing < 0.0 { 0.0 } else { missing };
        // With gamma below 1 the derivative of the power is unbounded at 0.
        let derivative = if missing > 0.0 { self.gamma * missing.max(1e-7).powf(self.gamma - 1.0) / size } else { 0.0 };
        (missing.powf(self.gamma), derivative, both / size)
    }
}

impl Loss for FocalTversky {
    fn info(&self) -> LossInfo {
        LossInfo::targets(Targets::Binary)
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        rows(inputs, output, |y_true, y_pred, gradient| {
            let (value, derivative, ratio) = self.parts(y_true, y_pred);
            if let Some(gradient) = gradient {
                for (target, &t) in gradient.iter_mut().zip(y_true) {
                    let t = f64::from(t);
                    // d size / dp = t + alpha (1 - t) - beta t; d both / dp = t.
                    *target = (derivative * (ratio * (t + self.alpha * (1.0 - t) - self.beta * t) - t)) as f32;
                }
            }
            value
        })
    }
}

/// Lovász hinge: a convex surrogate of the Jaccard loss of logits, along the last axis. Berman, Triki & Blaschko 2018.
#[derive(Clone, Debug, Config)]
pub struct LovaszHinge;

impl Loss for LovaszHinge {
    fn info(&self) -> LossInfo {
        LossInfo { from_logits: true, ..LossInfo::targets(Targets::Binary) }
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let mut order: Vec<usize> = Vec::new();
        rows(inputs, output, |y_true, y_pred, mut gradient| {
            let error = |i: usize| 1.0 - y_pred[i] * (2.0 * y_true[i] - 1.0);
            order.clear();
            order.extend(0..y_pred.len());
            order.sort_by(|&a, &b| error(b).total_cmp(&error(a)));
            let positives: f64 = y_true.iter().map(|&t| f64::from(t)).sum();
            let (mut remaining, mut others, mut previous, mut value) = (positives, 0.0, 0.0, 0.0);
            for &i in &order {
                let t = f64::from(y_true[i]);
                (remaining, others) = (remaining - t, others + 1.0 - t);
                let jaccard = 1.0 - remaining / (positives + others).max(f64::MIN_POSITIVE);
                let share = jaccard - previous;
                previous = jaccard;
                let wrong = error(i) > 0.0;
                value += share * f64::from(if error(i) < 0.0 { 0.0 } else { error(i) });
                if let Some(gradient) = gradient.as_deref_mut() {
                    gradient[i] = if wrong { (-share * (2.0 * t - 1.0)) as f32 } else { 0.0 };
                }
            }
            value
        })
    }
}

/// Calls `f` for each row and sums the values; `f` returns the row's value and writes its gradient if one is requested.
fn rows(
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_>,
    mut f: impl FnMut(&[f32], &[f32], Option<&mut [f32]>) -> f64,
) -> Result<LossTotals> {
    let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
    if y_true.shape() != y_pred.shape() {
        let shapes = (y_true.shape(), y_pred.shape());
        return Err(Error::input(format!("y_true of shape {:?} doesn't fit y_pred of shape {:?}", shapes.0, shapes.1)));
    }
    let (rows, columns) = y_pred.rows_and_columns();
    let (y_true, y_pred) = (y_true.f32s("y_true")?, y_pred.f32s("y_pred")?);
    let mut totals = LossTotals::default();
    for row in 0..rows {
        let range = row * columns..(row + 1) * columns;
        let (y_true, y_pred) = (&y_true[range.clone()], &y_pred[range.clone()]);
        let weight = output.upstream(row);
        totals.count += 1.0;
        if weight == 0.0 {
            // Not multiplied by the weight: 0 times NaN is NaN.
            if let Some(gradient) = output.gradient(1)? {
                gradient[range].fill(0.0);
            }
            if let Some(values) = output.values.as_deref_mut() {
                values[row] = f(y_true, y_pred, None) as f32;
            }
            continue;
        }
        let scale = weight * output.scale;
        let value = match output.gradient(1)? {
            None => f(y_true, y_pred, None),
            Some(gradient) => {
                let gradient = &mut gradient[range];
                let value = f(y_true, y_pred, Some(gradient));
                gradient.iter_mut().for_each(|derivative| *derivative *= scale);
                value
            }
        };
        totals.value += f64::from(weight) * value;
        totals.weight += f64::from(weight);
        if let Some(values) = output.values.as_deref_mut() {
            values[row] = value as f32;
        }
    }
    Ok(totals)
}

export_plugin! { losses: [FocalTversky, LovaszHinge] }

#[test]
fn follows_the_rules_for_plugins() {
    plugfit_api::testing::check(plugin());
}

#[test]
fn derivatives_are_finite_for_nearly_perfect_regions() {
    for gamma in [0.01, 0.5, 0.75, 1.0, 2.0] {
        let loss = FocalTversky { alpha: 0.3, beta: 0.7, gamma, smooth: 1e-6 };
        for p in [0.0f32, 1e-45, 1e-30, 1e-10, 1e-7, 1e-3, 0.5, 1.0, 1e30] {
            let (value, derivative, ratio) = loss.parts(&[1.0, 0.0], &[1.0, p]);
            assert!(
                value.is_finite() && derivative.is_finite() && ratio.is_finite(),
                "{gamma} {p}: {value} {derivative} {ratio}"
            );
            let nearly = loss.parts(&[1.0, 0.0], &[1.0 - p.min(1.0), 0.0]);
            assert!(nearly.0 >= 0.0 && (nearly.1 as f32).is_finite(), "{gamma} {p}: {nearly:?}");
        }
    }
    let loss = FocalTversky { alpha: 0.3, beta: 0.7, gamma: 0.5, smooth: 1e-6 };
    let (value, ..) = loss.parts(&[1.0, 0.0], &[1.0, 1e-20]);
    assert!((value / 5.4772e-11 - 1.0).abs() < 1e-4, "{value}");
}

#[test]
fn a_perfect_prediction_costs_0() {
    let value = |loss: &dyn Fn(&Inputs<'_>, &mut LossOutput<'_>) -> Result<LossTotals>, y_pred: &[f32]| {
        let y_true = [1.0_f32, 1.0, 0.0, 0.0];
        let tensors = [("y_true", Tensor::new(&y_true, &[1, 4])), ("y_pred", Tensor::new(y_pred, &[1, 4]))];
        let mut output = LossOutput { values: None, valid: None, gradients: &mut [], upstream: None, scale: 1.0 };
        loss(&Inputs::new(&tensors, None, None), &mut output).unwrap().value
    };
    let tversky = FocalTversky { alpha: 0.5, beta: 0.5, gamma: 1.0, smooth: 1e-9 };
    let tversky = |inputs: &Inputs<'_>, output: &mut LossOutput<'_>| tversky.call(inputs, output, &Host::none());
    let lovasz = |inputs: &Inputs<'_>, output: &mut LossOutput<'_>| LovaszHinge.call(inputs, output, &Host::none());
    assert!(value(&tversky, &[1.0, 1.0, 0.0, 0.0]).abs() < 1e-6);
    assert!((value(&tversky, &[1.0, 0.0, 1.0, 0.0]) - 0.5).abs() < 1e-6);
    assert_eq!(value(&lovasz, &[2.0, 3.0, -1.0, -4.0]), 0.0);
    // Every logit is wrong by 2: twice the full Jaccard loss.
    assert!((value(&lovasz, &[-1.0, -1.0, 1.0, 1.0]) - 2.0).abs() < 1e-6);
}

#[test]
fn a_row_of_weight_0_may_hold_nan() {
    let y_pred = [f32::NAN, 0.5, 0.5, 0.5];
    let tensors =
        [("y_true", Tensor::new(&[1.0_f32, 0.0, 1.0, 0.0], &[2, 2])), ("y_pred", Tensor::new(&y_pred, &[2, 2]))];
    let (mut values, mut gradient) = ([0.0; 2], [f32::NAN; 4]);
    let mut gradients = [None, Some(TensorMut::new(&mut gradient, &[2, 2]))];
    let mut output = LossOutput {
        values: Some(&mut values),
        valid: None,
        gradients: &mut gradients,
        upstream: Some(&[0.0, 1.0]),
        scale: 1.0,
    };
    let totals = LovaszHinge.call(&Inputs::new(&tensors, None, None), &mut output, &Host::none()).unwrap();
    assert_eq!(totals, LossTotals { value: f64::from(values[1]), weight: 1.0, count: 2.0 });
    assert!(values[0].is_nan() && gradient[..2] == [0.0; 2] && gradient[2] != 0.0, "{values:?} {gradient:?}");
}
