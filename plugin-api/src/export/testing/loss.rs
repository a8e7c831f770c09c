//! What holds for losses.

use super::{
    data::{batches, Array, Batch},
    made::{back, with_raw, Made},
    Findings,
};
use crate::{loss::LossInfo, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RSlice},
};

/// What a call gave.
struct Output {
    shape: Vec<i64>,
    values: Vec<f32>,
    gradient: Vec<f32>,
    totals: abi::LossTotals,
}

fn call(
    made: &Made<abi::LossV1>,
    info: &LossInfo,
    batch: &Batch,
    upstream: Option<&Array>,
    wants_gradient: bool,
) -> Result<Output> {
    batch.with_inputs(&info.inputs, &info.dtypes, None, |inputs| {
        with_raw(inputs, |raw| {
            // SAFETY: the handle belongs to this table; so below.
            let shape: Vec<i64> = back(unsafe { (made.table.output_shape)(made.handle, raw) })?.into();
            let count = shape.iter().product::<i64>().max(0) as usize;
            let mut values = vec![f32::NAN; count];
            let mut valid = vec![1.0f32; count];
            let mut gradient = vec![f32::NAN; batch.y_pred.len()];
            let pred_shape = batch.y_pred.shape();
            let target = |gradient: &mut Vec<f32>| ROption::RSome(TensorMut::new(gradient, pred_shape).raw());
            let gradients: Vec<ROption<abi::Tensor>> = info
                .inputs
                .iter()
                .map(|name| if name == "y_pred" && wants_gradient { target(&mut gradient) } else { ROption::RNone })
                .collect();
            let upstream = upstream.map(|upstream| upstream.numbers().iter().map(|&u| u as f32).collect::<Vec<f32>>());
            let output = abi::LossOutput {
                values: ROption::RSome(TensorMut::new(&mut values, &shape).raw()),
                valid: if info.own_mask {
                    ROption::RSome(TensorMut::new(&mut valid, &shape).raw())
                } else {
                    ROption::RNone
                },
                gradients: RSlice::from_slice(&gradients),
                upstream: upstream
                    .as_ref()
                    .map_or(ROption::RNone, |upstream| ROption::RSome(Tensor::new(upstream, &shape).raw())),
                scale: 1.0,
            };
            // SAFETY: as above; the targets are written by nobody else meanwhile.
            let totals = back(unsafe { (made.table.call)(made.handle, &made.host(), raw, &output) })?;
            values.iter_mut().zip(&valid).for_each(|(value, valid)| *value *= valid);
            Ok(Output { shape, values, gradient, totals })
        })
    })
}

pub fn check(made: &Made<abi::LossV1>, findings: &mut Findings) {
    let info: LossInfo = match made.info().map(serde_json::from_value) {
        Ok(Ok(info)) => info,
        Ok(Err(error)) => return findings.add(format!("describes itself wrongly: {error}")),
        Err(error) => return findings.add(format!("can't describe itself: {}", error.message())),
    };
    findings.exception(info.rows_independent, "a row's value depends on the others");
    findings.exception(info.differentiable, "it has no gradient");
    if info.inputs != ["y_true", "y_pred"] {
        return; // Only its author knows what these must be.
    }
    let batches = batches(info.targets);
    let outputs: Vec<_> = batches.iter().map(|batch| call(made, &info, batch, None, info.differentiable)).collect();
    // The first that it can be meant for; where it is defined for none, the first that it takes.
    let finite = |output: &Result<Output>| {
        output.as_ref().is_ok_and(|output| output.values.iter().all(|value| value.is_finite()))
    };
    let chosen = outputs.iter().position(finite).or_else(|| outputs.iter().position(Result::is_ok));
    match (chosen, outputs.first()) {
        (Some(chosen), _) => {
            if let Ok(output) = &outputs[chosen] {
                values(made, &info, &batches[chosen], output, findings);
            }
        }
        (None, Some(Err(error))) => findings.add(format!("takes no batch of its task: {}", error.message())),
        (None, _) => {}
    }
}

fn values(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, output: &Output, findings: &mut Findings) {
    let sum: f64 = output.values.iter().map(|&value| f64::from(value)).sum();
    findings.that(output.values.iter().all(|value| value.is_finite()), || {
        format!("gives values that aren't finite, or doesn't give all: {:?}", output.values)
    });
    findings.that(near(output.totals.value, sum, 1e-4), || {
        format!("says that its values sum to {}, and they do to {sum}", output.totals.value)
    });
    match call(made, info, batch, None, info.differentiable) {
        Ok(again) => findings.that(again.values == output.values && again.gradient == output.gradient, || {
            "gives other values for the same batch the second time".into()
        }),
        Err(error) => findings.add(format!("fails the second time: {}", error.message())),
    }
    if output.shape.first() == batch.y_pred.shape().first() && info.rows_independent {
        rows_alone(made, info, batch, output, findings);
    }
    if info.differentiable {
        gradient(made, info, batch, output, findings);
        weighted(made, info, batch, output, findings);
    }
}

fn near(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * (1.0 + expected.abs())
}

fn rows_alone(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, output: &Output, findings: &mut Findings) {
    let half = call(made, info, &batch.rows(0, 5), None, false);
    let values = half.map(|half| half.values);
    findings.that(
        values.as_ref().is_ok_and(|values| {
            values.iter().zip(&output.values).all(|(a, b)| near(f64::from(*a), f64::from(*b), 1e-5))
        }),
        || "says that rows are independent, and gives other values for fewer of them".into(),
    );
}

/// Against differences of the sum. Where two step sizes disagree there is a kink, and nothing to compare with.
fn gradient(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, output: &Output, findings: &mut Findings) {
    let sum = |index: usize, by: f64| {
        let moved = Batch { y_true: batch.y_true.copied(), y_pred: batch.y_pred.moved(index, by) };
        let values = call(made, info, &moved, None, false).map(|output| output.values);
        values.map_or(f64::NAN, |values| values.iter().map(|&value| f64::from(value)).sum())
    };
    let slope = |index: usize, step: f64| (sum(index, step) - sum(index, -step)) / (2.0 * step);
    let mut compared = 0;
    for (index, &found) in output.gradient.iter().enumerate() {
        if !found.is_finite() {
            return findings.add(format!("gives the slope {found} for y_pred[{index}], or doesn't give it"));
        }
        let (wide, narrow) = (slope(index, 8e-3), slope(index, 4e-3));
        if !near(wide, narrow, 2e-2) {
            continue;
        }
        compared += 1;
        // At a kink that lies here, any slope between those of its sides is right.
        let (left, right) = ((sum(index, 0.0) - sum(index, -4e-3)) / 4e-3, (sum(index, 4e-3) - sum(index, 0.0)) / 4e-3);
        let between = left.min(right) - 1e-3 <= f64::from(found) && f64::from(found) <= left.max(right) + 1e-3;
        if !between && !near(f64::from(found), narrow, 3e-2) {
            let at = batch.y_pred.numbers()[index];
            return findings
                .add(format!("gives the slope {found} for y_pred[{index}] = {at:.4}; differences say {narrow:.4}"));
        }
    }
    findings.that(compared * 2 >= output.gradient.len(), || {
        format!(
            "has slopes that differences can't confirm, for {} of {}",
            output.gradient.len() - compared,
            output.gradient.len()
        )
    });
}

fn weighted(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, output: &Output, findings: &mut Findings) {
    let upstream = super::data::weights((0..output.values.len()).map(|i| 0.25 * i as f64));
    let Ok(weighted) = call(made, info, batch, Some(&upstream), true) else {
        return findings.add("fails with weights");
    };
    let pairs = output.values.iter().zip(upstream.numbers());
    let sum: f64 = pairs.map(|(&value, &weight)| f64::from(value) * weight).sum();
    findings.that(near(weighted.totals.value, sum, 1e-4), || {
        format!("says that its weighted values sum to {}, and they do to {sum}", weighted.totals.value)
    });
    findings.that(weighted.gradient.iter().all(|slope| slope.is_finite()), || {
        "gives slopes that aren't finite with weights".into()
    });
}
