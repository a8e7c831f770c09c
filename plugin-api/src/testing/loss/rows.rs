//! Tests of rows: their number, their axes and their weights.

use super::{
    super::{
        data::{weights, Array, Batch, ROWS},
        report::Report,
        tested::{or_report, Tested},
    },
    call, each, each_usual, near, output_shape, ready, ready_unless_refused, same, Ask, Output, Ready,
};
use plugfit_abi as abi;

pub(super) fn weighted(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let Ready { instance, info, batch, output, .. } = ready;
        let sum: f64 = output.values.iter().map(|&value| f64::from(value)).sum();
        report.check(output.values.iter().all(|value| value.is_finite()), || {
            format!("gives values that aren't finite, or doesn't give all: {:?}", output.values)
        });
        report.check(near(output.totals.value, sum, 1e-4), || {
            format!("says that its values sum to {}, and they do to {sum}", output.totals.value)
        });
        let count = output.values.len() as f64;
        report.check(info.own_mask || output.totals.count == count && output.totals.weight == count, || {
            let abi::LossTotals { count: said, weight, .. } = output.totals;
            format!("says that {said} values of weight {weight} count, and there are {count}")
        });
        let upstream = weights((0..output.values.len()).map(|i| 0.25 * i as f64));
        let ask = Ask { upstream: Some(&upstream), scale: 3.0, ..Ask::all(info) };
        let Some(weighted) = or_report(report, "fails with weights", call(instance, info, batch, &ask)) else { return };
        let pairs = || output.values.iter().zip(upstream.numbers());
        let sum: f64 = pairs().map(|(&value, &weight)| f64::from(value) * weight).sum();
        report.check(near(weighted.totals.value, sum, 1e-4), || {
            format!("says that its weighted values sum to {}, and they do to {sum}", weighted.totals.value)
        });
        let total: f64 = upstream.numbers().iter().sum();
        report.check(info.own_mask || near(weighted.totals.weight, total, 1e-5), || {
            format!("says that its weights sum to {}, and they do to {total}", weighted.totals.weight)
        });
        if !info.differentiable || output.values.is_empty() {
            return;
        }
        let each = output.gradient.len() / output.values.len().max(1);
        let last = batch.y_pred.shape().split_last().is_some_and(|(_, leading)| output.shape == leading);
        for (index, (&found, &derivative)) in weighted.gradient.iter().zip(&output.gradient).enumerate() {
            if !found.is_finite() {
                return report.fail(format!("gives the derivative {found} for y_pred[{index}] with weights"));
            }
            // If each row of the last axis has one value, its weight multiplies all derivatives of the row.
            let row = index / each.max(1);
            if ready.has_rows() && last {
                let expected = f64::from(derivative) * upstream.numbers()[row] * 3.0;
                if !near(f64::from(found), expected, 1e-4) {
                    return report.fail(format!(
                        "gives the derivative {found} for y_pred[{index}] with a weight of {} and a scale of 3, and {derivative} without",
                        upstream.numbers()[row]
                    ));
                }
            }
        }
    });
}

pub(super) fn rows(tested: &Tested<'_>, report: &mut Report) {
    let Some(config) = tested.config() else { return };
    for columns in [tested.columns(), 1, 19, 67] {
        let ready = match columns == tested.columns() {
            true => ready(tested, &config, columns, report),
            false => ready_unless_refused(tested, &config, columns, report),
        };
        let Some(ready) = ready else { continue };
        if !ready.info.rows_independent {
            return report.note("as it declares: a row's value depends on the others");
        }
        if !ready.has_rows() {
            continue;
        }
        let each = ready.output.values.len() / ready.batch.count;
        for picked in [vec![0], vec![3, 1], (0..5).collect(), (0..12).rev().collect()] {
            let part = ready.batch.picked(picked.iter().copied());
            let Some(values) = or_report(report, "fails with fewer rows", ready.values(&part)) else { return };
            let expected = picked.iter().flat_map(|row| &ready.output.values[row * each..(row + 1) * each]);
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            let same = same(&values, &expected.copied().collect::<Vec<f32>>(), 1e-5);
            report.check(same, || format!("gives other values where only the rows {picked:?} of 12 are there"));
        }
        ready.save_arrays(report);
    }
}

/// The elements of a batch that is large enough for several threads.
const MANY: usize = 40_000;
/// A number of columns that exceeds the lanes of a register.
const WIDE: usize = 67;

pub(super) fn large(tested: &Tested<'_>, report: &mut Report) {
    let Some(config) = tested.config() else { return };
    let wide = ready_unless_refused(tested, &config, WIDE, report);
    let Some(few) = wide.or_else(|| ready(tested, &config, tested.columns(), report)) else { return };
    let each = few.batch.y_pred.len() / ROWS;
    let count = MANY.div_ceil(each.max(1));
    // If rows depend on each other, the cost may be quadratic in the number of rows.
    let count = if few.info.rows_independent { count } else { count.min(MANY / WIDE) };
    let batch = few.batch.picked((0..count).map(|row| row % ROWS));
    let Some(output) = or_report(report, "fails with many rows", few.call(&batch)) else {
        return;
    };
    if few.has_rows() {
        let first_difference = |many: &[f32], few: &[f32]| {
            let differs = |(a, b): (&f32, &f32)| !near(f64::from(*a), f64::from(*b), 1e-5);
            many.iter().zip(few.iter().cycle()).position(differs)
        };
        if let Some(index) = first_difference(&output.values, &few.output.values) {
            report.fail(format!("gives another value {index} of {count} rows than of {ROWS} of the same"));
        }
        if let Some(index) = first_difference(&output.gradient, &few.output.gradient) {
            report.fail(format!("gives another derivative {index} of {count} rows than of {ROWS} of the same"));
        }
    }
    let sum = output.values.iter().map(|&value| f64::from(value)).sum();
    report.check(near(output.totals.value, sum, 1e-4), || {
        format!("says that {} values sum to {}, and they do to {sum}", output.values.len(), output.totals.value)
    });
    let abi::LossTotals { count: said, weight, .. } = output.totals;
    let values = output.values.len() as f64;
    report.check(few.info.own_mask || said == values && weight == values, || {
        format!("says that {said} values of weight {weight} count, and there are {values}")
    });
    if few.info.differentiable {
        check_directional_derivative(&few, &batch, &output, report);
    }
}

/// Compares a directional derivative with differences of the sum. The direction moves each row towards the next.
fn check_directional_derivative(ready: &Ready, batch: &Batch, output: &Output, report: &mut Report) {
    let next = ready.batch.picked((0..batch.count).map(|row| (row + 1) % ROWS));
    let steps: Vec<f64> =
        next.y_pred.numbers().iter().zip(batch.y_pred.numbers()).map(|(next, here)| next - here).collect();
    let sum = |share: f64| {
        let moved = batch.y_pred.numbers().iter().zip(&steps).map(|(here, step)| here + share * step).collect();
        ready.sum(&batch.predicting(batch.y_pred.with(moved)))
    };
    let derivative = |share: f64| (sum(share) - sum(-share)) / (2.0 * share);
    let (wide, narrow) = (derivative(8e-3), derivative(4e-3));
    let products = || output.gradient.iter().zip(&steps).map(|(&derivative, step)| f64::from(derivative) * step);
    let (found, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    let here = sum(0.0);
    let (left, right) = ((here - sum(-4e-3)) / 4e-3, (sum(4e-3) - here) / 4e-3);
    // Skip the check at kinks, where two step sizes or the one-sided differences disagree.
    if (wide - narrow).abs() > 1e-2 * (1e-3 + size) || (left - right).abs() > 5e-2 * (1e-3 + size) {
        return;
    }
    let best = (4.0 * narrow - wide) / 3.0;
    report.check((found - best).abs() <= 5e-3 * (1e-2 + size), || {
        format!(
            "has derivatives that come to {found} for a step in all of {} elements; differences say {best}",
            steps.len()
        )
    });
}

pub(super) fn leading(tested: &Tested<'_>, report: &mut Report) {
    each_usual(tested, report, |ready, report| {
        let Ready { instance, info, batch, output, .. } = ready;
        if batch.y_pred.shape().len() != 2 || !ready.has_rows() {
            return;
        }
        let fold = |array: &Array| {
            let rest = array.shape()[1..].iter().map(|&length| length as usize);
            let shape: Vec<usize> = [ROWS / 2, 2].into_iter().chain(rest).collect();
            Array::new(&shape, array.numbers().to_vec())
        };
        let folded = Batch { y_true: fold(&batch.y_true), ..batch.predicting(fold(&batch.y_pred)) };
        let shape = folded.with_inputs(&info.inputs, &info.dtypes, None, |inputs| {
            instance.with_raw(inputs, |raw| output_shape(instance, raw))
        });
        // The loss may accept only two axes, or treat them differently.
        if shape.ok().is_none_or(|shape| shape != [ROWS as i64 / 2, 2]) {
            return;
        }
        let Some(found) = or_report(report, "fails with three axes", ready.call(&folded)) else {
            return;
        };
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(&a, &b)| near(f64::from(a), f64::from(b), 1e-5));
        report.check(same(&found.values, &output.values) && same(&found.gradient, &output.gradient), || {
            let (three, two) = (folded.y_pred.shape(), batch.y_pred.shape());
            format!("gives other values or derivatives where y_pred has the shape {three:?} than where it has {two:?}")
        });
    });
}
