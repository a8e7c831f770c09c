//! Tests that derivatives match the values.

use super::{
    super::{
        data::Batch,
        report::Report,
        tested::{or_report, Tested},
    },
    call, each, each_usual, near, same, Ask, Output, Ready,
};
use crate::Result;

/// The note if a loss has no derivatives.
const NO_GRADIENT: &str = "not tried: as it declares, it has no gradient";

/// Returns the places of a batch to test: all of a small batch, and fewer of a large one, for which each call takes
/// longer.
fn places(cells: usize, most: usize) -> impl Iterator<Item = usize> {
    let most = most.min(600_000 / cells.max(1)).max(4);
    // An odd stride, so that the places include even and odd columns.
    (0..cells).step_by(cells.div_ceil(most) | 1)
}

/// The maximum number of places to test.
const MAX_PLACES: usize = 200;

/// Compares derivatives with central differences of the sum. A place where two step sizes disagree is near a kink and
/// is skipped.
pub(super) fn gradient(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let Ready { info, batch, output, .. } = ready;
        if !info.differentiable {
            return report.note(NO_GRADIENT);
        }
        if let Some(index) = output.gradient.iter().position(|derivative| !derivative.is_finite()) {
            let (found, at) = (output.gradient[index], batch.y_pred.numbers()[index]);
            return report
                .fail(format!("gives the derivative {found} for y_pred[{index}] = {at:.4}, or doesn't give it"));
        }
        let sum = |index: usize, by: f64| ready.sum(&batch.predicting(batch.y_pred.with_added(index, by)));
        let here = ready.sum(batch);
        let (mut tried, mut compared) = (0, 0);
        for index in places(output.gradient.len(), MAX_PLACES) {
            let (found, at) = (f64::from(output.gradient[index]), batch.y_pred.numbers()[index]);
            let (before, after) = (sum(index, -4e-3), sum(index, 4e-3));
            let wide = (sum(index, 8e-3) - sum(index, -8e-3)) / 16e-3;
            let narrow = (after - before) / 8e-3;
            tried += 1;
            if !near(wide, narrow, 2e-2) {
                continue;
            }
            compared += 1;
            // Richardson extrapolation cancels the error of second order.
            let best = (4.0 * narrow - wide) / 3.0;
            // At a kink, any derivative between the one-sided derivatives is correct.
            let (left, right) = ((here - before) / 4e-3, (after - here) / 4e-3);
            let kink = !near(left, right, 0.2);
            // The rounding error of a difference in float32.
            let noise = 4.0 * f64::from(f32::EPSILON) * here.abs() / 4e-3;
            let between = left.min(right) - 1e-3 <= found && found <= left.max(right) + 1e-3;
            if !(near(found, best, 5e-3) || (found - best).abs() <= noise || kink && between) {
                return report.fail(format!(
                    "gives the derivative {found} for y_pred[{index}] = {at:.4}; differences say {best:.4}"
                ));
            }
        }
        report.check(compared * 2 >= tried, || {
            format!("has derivatives that differences can't confirm, for {} of {tried}", tried - compared)
        });
    });
}

pub(super) fn edges(tested: &Tested<'_>, report: &mut Report) {
    each_usual(tested, report, |ready, report| {
        if !ready.info.differentiable {
            return report.note(NO_GRADIENT);
        }
        for (what, batch) in ready.edges() {
            let Ok(output) = ready.call(&batch) else { continue };
            if let Some(wrong) = outside_one_sided_derivatives(ready, &batch, &output) {
                return report.fail(format!("{wrong}, where {what}"));
            }
        }
    });
}

/// Describes the first derivative that isn't between the one-sided derivatives, where these can be measured.
fn outside_one_sided_derivatives(ready: &Ready, batch: &Batch, output: &Output) -> Option<String> {
    let here = ready.sum(batch);
    if !here.is_finite() {
        return None;
    }
    for index in places(output.gradient.len(), MAX_PLACES) {
        let sides = [-1.0, 1.0].map(|side| one_sided_derivative(ready, batch, here, index, side));
        let [Some(left), Some(right)] = sides else { continue };
        let (found, allowed) = (f64::from(output.gradient[index]), 1e-2 * (1.0 + left.abs().max(right.abs())));
        // Negated, so that NaN fails too.
        if !(left.min(right) - allowed <= found && found <= left.max(right) + allowed) {
            return Some(format!(
                "gives the derivative {found} for y_pred[{index}], with {left:.4} before and {right:.4} behind"
            ));
        }
    }
    None
}

/// Returns the one-sided derivative of the sum, if two step sizes agree. At 0 a logarithm has none, or one that only
/// small steps show.
fn one_sided_derivative(ready: &Ready, batch: &Batch, here: f64, index: usize, side: f64) -> Option<f64> {
    for step in [4e-3, 2e-5, 1e-7, 1e-9] {
        let derivative = |step: f64| (ready.sum(&batch.predicting(batch.y_pred.with_added(index, step))) - here) / step;
        let (narrow, wide) = (derivative(side * step), derivative(side * 2.0 * step));
        // A small step must change the sum by more than the rounding error of float32.
        let shows = step > 1e-3 || (narrow * step).abs() > 1e-4 * (1.0 + here.abs());
        if shows && near(narrow, wide, 2e-2) {
            return Some(narrow);
        }
    }
    None
}

/// The number of steps along a line.
const POINTS: usize = 96;

pub(super) fn line(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        if !ready.info.differentiable {
            return report.note(NO_GRADIENT);
        }
        let (batch, (low, high)) = (&ready.batch, ready.batch.range);
        let step = (high - low) / POINTS as f64;
        for index in places(batch.y_pred.len(), 7) {
            let at = |point: usize| -> Result<(f64, f64)> {
                let batch = batch.predicting(batch.y_pred.with_replaced(index, low + point as f64 * step));
                let output = ready.call(&batch)?;
                let sum = output.values.iter().map(|&value| f64::from(value)).sum();
                Ok((sum, f64::from(output.gradient[index])))
            };
            let Some(mut last) = or_report(report, "fails", at(0)) else { return };
            for point in 1..=POINTS {
                let Some(next) = or_report(report, "fails", at(point)) else { return };
                let (change, expected) = (next.0 - last.0, step * (last.1 + next.1) / 2.0);
                // A kink within the step may change the derivative from one one-sided value to the other.
                let allowed = step * ((next.1 - last.1).abs() + 1e-2 * last.1.abs().max(next.1.abs()));
                let noise = 4e-6 * (1.0 + last.0.abs().max(next.0.abs()));
                if (change - expected).abs() > allowed + noise {
                    let here = low + point as f64 * step;
                    return report.fail(format!(
                        "changes by {change:.5} just before y_pred[{index}] = {here:.4}, where its derivatives say {expected:.5}"
                    ));
                }
                last = next;
            }
        }
    });
}

pub(super) fn fused(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let Ready { instance, info, batch, output, .. } = ready;
        let alone = Ask { values: false, ..Ask::all(info) };
        for (ask, what, without) in
            [(Ask::VALUES, "other values", "gradient is"), (alone, "another gradient", "values are")]
        {
            let fails = format!("fails without {}", if ask.values { "a gradient" } else { "values" });
            let Some(part) = or_report(report, fails, call(instance, info, batch, &ask)) else { continue };
            // What isn't wanted is empty.
            let same = same(&part.values, &output.values, 1e-6) && same(&part.gradient, &output.gradient, 1e-6);
            report.check(same, || format!("gives {what} where no {without} wanted"));
            let (sum, whole) = (part.totals.value, output.totals.value);
            report.check(near(sum, whole, 1e-6), || {
                format!("sums to {sum} where no {without} wanted, and to {whole} else")
            });
        }
        for (what, edge) in ready.edges() {
            let both = [Ask::all(info), Ask::VALUES].map(|ask| call(instance, info, &edge, &ask));
            if let [Ok(with), Ok(without)] = both {
                report.check(same(&with.values, &without.values, 1e-5), || {
                    format!("gives other values with a gradient than without, where {what}")
                });
            }
        }
    });
}
