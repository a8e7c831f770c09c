//! What holds for losses.

use super::{
    data::{batches, weights, Array, Batch, Task, COLUMNS, ROWS},
    made::{back, with_raw, Described, Made},
    report::{said, Report, PANICS},
    trial::{or_report, Tests, Trial},
};
use crate::{
    loss::{LossInfo, Targets},
    Error, Inputs, Result, Tensor, TensorMut,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RSlice},
};

pub const TESTS: Tests = &[
    ("gradient", "the gradient is that of the values, by differences at every place", gradient),
    ("edges", "at ties, at bounds and beyond them a slope lies between those of its two sides", edges),
    ("line", "along a line the values change by the sum of the slopes, without a jump", line),
    ("fused", "values and gradients are the same whether asked for together or alone", fused),
    ("weights", "weights and the scale multiply gradients, and the sums are those of the values", weighted),
    ("rows", "a row's value doesn't depend on the others, where it says so", rows),
    ("large", "many wide rows give what few give, and their slopes are those of the values", large),
    ("leading", "axes before the last are rows, however many there are, where a value is of a row", leading),
    ("finite", "values are finite at 0, at 1, at ties and for logits of 1e30, and no slope is NaN there", finite),
    ("truth", "nothing is better than the truth, unless it declares that something is", truth),
    ("odd", "no number makes it panic: NaN, infinity, a class that isn't there", odd),
    ("shapes", "inputs that don't fit are refused", shapes),
    ("empty", "a batch without rows has no values, and one without columns doesn't make it panic", empty),
];

/// What a call gave.
struct Output {
    shape: Vec<i64>,
    values: Vec<f32>,
    gradient: Vec<f32>,
    totals: abi::LossTotals,
}

/// What is asked of a call.
struct Ask<'a> {
    upstream: Option<&'a Array>,
    scale: f64,
    values: bool,
    gradient: bool,
}

impl Ask<'_> {
    const VALUES: Ask<'static> = Ask { upstream: None, scale: 1.0, values: true, gradient: false };

    fn all(info: &LossInfo) -> Ask<'static> {
        Ask { gradient: info.differentiable, ..Ask::VALUES }
    }
}

fn call(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, ask: &Ask<'_>) -> Result<Output> {
    let (y_pred, shape) = (batch.y_pred.len(), batch.y_pred.shape());
    batch.with_inputs(&info.inputs, &info.dtypes, None, |inputs| call_on(made, info, inputs, y_pred, shape, ask))
}

/// Values of inputs of any names, and where it is wanted the gradient for `y_pred`.
pub fn values_of(
    made: &Made<abi::LossV1>,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    gradient: bool,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
    let output = match gradient {
        true => call_on(made, info, inputs, inputs.y_pred()?.len(), inputs.y_pred()?.shape(), &Ask::all(info))?,
        false => call_on(made, info, inputs, 0, &[0], &Ask::VALUES)?,
    };
    Ok((wide(output.values), wide(output.gradient)))
}

fn output_shape(made: &Made<abi::LossV1>, raw: &abi::Inputs<'_>) -> Result<Vec<i64>> {
    // SAFETY: the handle belongs to this table.
    Ok(back(unsafe { (made.table.output_shape)(made.handle, raw) })?.into())
}

fn call_on(
    made: &Made<abi::LossV1>,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    y_pred: usize,
    pred_shape: &[i64],
    ask: &Ask<'_>,
) -> Result<Output> {
    with_raw(inputs, |raw| {
        let shape = output_shape(made, raw)?;
        let count = shape.iter().try_fold(
            1_i64,
            |product, &length| {
                if length < 0 {
                    None
                } else {
                    product.checked_mul(length)
                }
            },
        );
        let count = count.filter(|&count| count < 1 << 20);
        let count =
            count.ok_or_else(|| Error::other(format!("it says that its values have the shape {shape:?}")))? as usize;
        // What isn't written is seen.
        let mut values = vec![f32::NAN; if ask.values { count } else { 0 }];
        let mut valid = vec![1.0f32; count];
        let mut gradient = vec![f32::NAN; if ask.gradient { y_pred } else { 0 }];
        let gradients: Vec<ROption<abi::Tensor>> = info
            .inputs
            .iter()
            .map(|name| match name == "y_pred" && ask.gradient {
                true => ROption::RSome(TensorMut::new(&mut gradient, pred_shape).raw()),
                false => ROption::RNone,
            })
            .collect();
        let upstream: Option<Vec<f32>> =
            ask.upstream.map(|upstream| upstream.numbers().iter().map(|&weight| weight as f32).collect());
        let some = |wanted: bool, target: &mut [f32]| match wanted {
            true => ROption::RSome(TensorMut::new(target, &shape).raw()),
            false => ROption::RNone,
        };
        let output = abi::LossOutput {
            values: some(ask.values, &mut values),
            valid: some(info.own_mask, &mut valid),
            gradients: RSlice::from_slice(&gradients),
            upstream: match &upstream {
                Some(upstream) => ROption::RSome(Tensor::new(upstream, &shape).raw()),
                None => ROption::RNone,
            },
            scale: ask.scale,
        };
        // SAFETY: the handle belongs to this table; the targets are written by nobody else meanwhile.
        let totals = back(unsafe { (made.table.call)(made.handle, &made.host, raw, &output) })?;
        values.iter_mut().zip(&valid).for_each(|(value, valid)| *value *= valid);
        Ok(Output { shape, values, gradient, totals })
    })
}

pub fn info(made: &Made<abi::LossV1>) -> Result<LossInfo> {
    serde_json::from_value(made.info()?).map_err(|error| Error::other(format!("it describes itself wrongly: {error}")))
}

fn task(info: &LossInfo, columns: usize, seed: u64) -> Task {
    Task { targets: info.targets, from_logits: info.from_logits, columns, seed }
}

/// The first batch that it can be meant for; where it is defined for none, the first that it takes.
fn fitting(made: &Made<abi::LossV1>, info: &LossInfo, task: &Task) -> Result<Batch> {
    let mut taken = None;
    let mut refusal = Error::input("there is no batch of its task");
    for batch in batches(task) {
        match call(made, info, &batch, &Ask::all(info)) {
            Ok(output) if output.values.iter().chain(&output.gradient).all(|value| value.is_finite()) => {
                return Ok(batch)
            }
            Ok(_) => taken = taken.or(Some(batch)),
            Err(error) if error.kind() == abi::ERROR_PANIC => return Err(error),
            Err(error) => refusal = error,
        }
    }
    taken.ok_or(refusal)
}

/// A loss that can be called, and a batch for it.
struct Ready {
    made: Made<abi::LossV1>,
    info: LossInfo,
    batch: Batch,
    output: Output,
}

impl Ready {
    fn values(&self, batch: &Batch) -> Result<Vec<f64>> {
        let output = call(&self.made, &self.info, batch, &Ask::VALUES)?;
        Ok(output.values.iter().map(|&value| f64::from(value)).collect())
    }

    fn sum(&self, batch: &Batch) -> f64 {
        self.values(batch).map_or(f64::NAN, |values| values.iter().sum())
    }

    /// Batches at ties, at bounds and beyond them, each with what it is.
    fn edges(&self) -> Vec<(String, Batch)> {
        let again = |array: &Array, numbers: &[f64]| {
            array.with((0..array.len()).map(|cell| numbers[cell % numbers.len()]).collect())
        };
        let of = |numbers: &&[f64]| {
            let what = format!("y_pred is {numbers:?}, again and again");
            (what, self.batch.predicting(again(&self.batch.y_pred, numbers)))
        };
        let mut edges: Vec<(String, Batch)> =
            [&[0.0][..], &[0.5], &[1.0], &[-0.5], &[1.5], &[1.5, -0.5, 0.5]].iter().map(of).collect();
        // Labels that nobody means have slopes all the same.
        if self.batch.truth().is_some() {
            let labels = [0.25, 1.5, -0.5];
            let y_true = again(&self.batch.y_true, &labels);
            let batch = Batch { y_true, ..self.batch.predicting(self.batch.y_pred.copied()) };
            edges.push((format!("y_true is {labels:?}, again and again"), batch));
        }
        edges
    }

    fn has_rows(&self) -> bool {
        self.info.rows_independent && self.output.shape.first() == self.batch.y_pred.shape().first()
    }

    fn keep(&self, report: &mut Report) {
        let wide = |array: &[f32]| array.iter().map(|&value| f64::from(value)).collect();
        report.keep(&[
            ("y_true", self.batch.y_true.shape(), self.batch.y_true.numbers().to_vec()),
            ("y_pred", self.batch.y_pred.shape(), self.batch.y_pred.numbers().to_vec()),
            ("values", &self.output.shape, wide(&self.output.values)),
            ("gradient", &[self.output.gradient.len() as i64], wide(&self.output.gradient)),
        ]);
    }
}

fn ready(trial: &Trial<'_>, config: &serde_json::Value, columns: usize, report: &mut Report) -> Option<Ready> {
    let made: Made<abi::LossV1> = or_report(report, "can't be made", trial.made(config))?;
    let info = or_report(report, "can't describe itself", info(&made))?;
    if info.inputs != ["y_true", "y_pred"] {
        report.note(format!("not tried: only its author knows what its inputs {:?} must be", info.inputs));
        return None;
    }
    let batch = fitting(&made, &info, &task(&info, columns, trial.subject.seed));
    let batch = or_report(report, "takes no batch of its task", batch)?;
    let output = or_report(report, "fails", call(&made, &info, &batch, &Ask::all(&info)))?;
    Some(Ready { made, info, batch, output })
}

/// Runs `f` with every configuration that can be called.
fn each(trial: &Trial<'_>, report: &mut Report, f: fn(&Ready, &mut Report)) {
    trial.each(report, |config, report| {
        if let Some(ready) = ready(trial, config, COLUMNS, report) {
            f(&ready, report);
            ready.keep(report);
        }
    });
    report.notes.dedup();
}

pub fn bits(made: &Made<abi::LossV1>, seed: u64) -> Result<Vec<u64>> {
    let info = info(made)?;
    if info.inputs != ["y_true", "y_pred"] {
        return Ok(Vec::new());
    }
    let batch = fitting(made, &info, &task(&info, COLUMNS, seed))?;
    let output = call(made, &info, &batch, &Ask::all(&info))?;
    let numbers = output.values.iter().chain(&output.gradient).map(|value| u64::from(value.to_bits()));
    Ok(numbers.chain([output.totals.value.to_bits(), output.totals.weight.to_bits()]).collect())
}

fn near(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * (1.0 + expected.abs())
}

/// Of what isn't a number another test tells.
fn same(a: &[f32], b: &[f32], relative: f64) -> bool {
    let same = |(&a, &b): (&f32, &f32)| near(f64::from(a), f64::from(b), relative) || a.is_nan() && b.is_nan();
    a.iter().zip(b).all(same)
}

/// Against differences of the sum. Where two step sizes disagree there is a kink, and nothing to compare with.
fn gradient(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let Ready { info, batch, output, .. } = ready;
        if !info.differentiable {
            return report.note("as it declares: it has no gradient");
        }
        let sum = |index: usize, by: f64| ready.sum(&batch.predicting(batch.y_pred.moved(index, by)));
        let slope = |index: usize, step: f64| (sum(index, step) - sum(index, -step)) / (2.0 * step);
        let mut compared = 0;
        for (index, &found) in output.gradient.iter().enumerate() {
            let at = batch.y_pred.numbers()[index];
            if !found.is_finite() {
                return report
                    .fail(format!("gives the slope {found} for y_pred[{index}] = {at:.4}, or doesn't give it"));
            }
            let (found, wide, narrow) = (f64::from(found), slope(index, 8e-3), slope(index, 4e-3));
            if !near(wide, narrow, 2e-2) {
                continue;
            }
            compared += 1;
            // What is left of a smooth function's error when the step's square is taken out.
            let best = (4.0 * narrow - wide) / 3.0;
            // At a kink that lies here, any slope between those of its sides is right.
            let (left, right) =
                ((sum(index, 0.0) - sum(index, -4e-3)) / 4e-3, (sum(index, 4e-3) - sum(index, 0.0)) / 4e-3);
            let kink = !near(left, right, 0.2);
            // What float32 leaves of a difference.
            let noise = 4.0 * f64::from(f32::EPSILON) * sum(index, 0.0).abs() / 4e-3;
            let between = left.min(right) - 1e-3 <= found && found <= left.max(right) + 1e-3;
            if !(near(found, best, 5e-3) || (found - best).abs() <= noise || kink && between) {
                return report
                    .fail(format!("gives the slope {found} for y_pred[{index}] = {at:.4}; differences say {best:.4}"));
            }
        }
        let open = output.gradient.len() - compared;
        report.that(compared * 2 >= output.gradient.len(), || {
            format!("has slopes that differences can't confirm, for {open} of {}", output.gradient.len())
        });
    });
}

fn edges(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        if !ready.info.differentiable {
            return;
        }
        for (what, batch) in ready.edges() {
            let Ok(output) = call(&ready.made, &ready.info, &batch, &Ask::all(&ready.info)) else { continue };
            if let Some(wrong) = beyond_both_sides(ready, &batch, &output) {
                return report.fail(format!("{wrong}, where {what}"));
            }
        }
    });
}

/// The first slope that isn't between those of its two sides, as far as these can be told.
fn beyond_both_sides(ready: &Ready, batch: &Batch, output: &Output) -> Option<String> {
    let here = ready.sum(batch);
    if !here.is_finite() {
        return None;
    }
    for (index, &found) in output.gradient.iter().enumerate() {
        let sides = [-1.0, 1.0].map(|side| slope_to_a_side(ready, batch, here, index, side));
        let [Some(left), Some(right)] = sides else { continue };
        let (found, allowed) = (f64::from(found), 1e-2 * (1.0 + left.abs().max(right.abs())));
        // NaN is neither.
        if !(left.min(right) - allowed <= found && found <= left.max(right) + allowed) {
            return Some(format!(
                "gives the slope {found} for y_pred[{index}], with {left:.4} before and {right:.4} behind"
            ));
        }
    }
    None
}

/// How the sum changes to one side of a number, where that can be told: a logarithm at 0 has no slope, or one that only small steps
/// show.
fn slope_to_a_side(ready: &Ready, batch: &Batch, here: f64, index: usize, side: f64) -> Option<f64> {
    for step in [4e-3, 2e-5, 1e-7, 1e-9] {
        let slope = |step: f64| (ready.sum(&batch.predicting(batch.y_pred.moved(index, step))) - here) / step;
        let (narrow, wide) = (slope(side * step), slope(side * 2.0 * step));
        // Of a small step float32 must show something.
        let shows = step > 1e-3 || (narrow * step).abs() > 1e-4 * (1.0 + here.abs());
        if shows && near(narrow, wide, 2e-2) {
            return Some(narrow);
        }
    }
    None
}

/// Points on a line.
const POINTS: usize = 96;

fn line(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        if !ready.info.differentiable {
            return;
        }
        let (batch, (low, high)) = (&ready.batch, ready.batch.range);
        let step = (high - low) / POINTS as f64;
        for index in (0..batch.y_pred.len()).step_by(7) {
            let at = |point: usize| -> Result<(f64, f64)> {
                let batch = batch.predicting(batch.y_pred.put(index, low + point as f64 * step));
                let output = call(&ready.made, &ready.info, &batch, &Ask::all(&ready.info))?;
                let sum = output.values.iter().map(|&value| f64::from(value)).sum();
                Ok((sum, f64::from(output.gradient[index])))
            };
            let Some(mut last) = or_report(report, "fails", at(0)) else { return };
            for point in 1..=POINTS {
                let Some(next) = or_report(report, "fails", at(point)) else { return };
                let (change, expected) = (next.0 - last.0, step * (last.1 + next.1) / 2.0);
                // A kink within the step may turn the slope from one side's to the other's.
                let allowed = step * ((next.1 - last.1).abs() + 1e-2 * last.1.abs().max(next.1.abs()));
                let noise = 4e-6 * (1.0 + last.0.abs().max(next.0.abs()));
                if (change - expected).abs() > allowed + noise {
                    let here = low + point as f64 * step;
                    return report.fail(format!(
                        "changes by {change:.5} just before y_pred[{index}] = {here:.4}, where its slopes say {expected:.5}"
                    ));
                }
                last = next;
            }
        }
    });
}

fn fused(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let Ready { made, info, batch, output } = ready;
        if let Some(values) = or_report(report, "fails without a gradient", call(made, info, batch, &Ask::VALUES)) {
            report.that(same(&values.values, &output.values, 1e-6), || {
                "gives other values where no gradient is wanted".into()
            });
            report.that(near(values.totals.value, output.totals.value, 1e-6), || {
                format!(
                    "sums to {} where no gradient is wanted, and to {} else",
                    values.totals.value, output.totals.value
                )
            });
        }
        let alone = Ask { values: false, ..Ask::all(info) };
        if let Some(alone) = or_report(report, "fails without values", call(made, info, batch, &alone)) {
            report.that(same(&alone.gradient, &output.gradient, 1e-6), || {
                "gives another gradient where no values are wanted".into()
            });
            report.that(near(alone.totals.value, output.totals.value, 1e-6), || {
                format!(
                    "sums to {} where no values are wanted, and to {} else",
                    alone.totals.value, output.totals.value
                )
            });
        }
        for (what, edge) in ready.edges() {
            let both = [Ask::all(info), Ask::VALUES].map(|ask| call(made, info, &edge, &ask));
            if let [Ok(with), Ok(without)] = both {
                report.that(same(&with.values, &without.values, 1e-5), || {
                    format!("gives other values with a gradient than without, where {what}")
                });
            }
        }
    });
}

fn weighted(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let Ready { made, info, batch, output } = ready;
        let sum: f64 = output.values.iter().map(|&value| f64::from(value)).sum();
        report.that(output.values.iter().all(|value| value.is_finite()), || {
            format!("gives values that aren't finite, or doesn't give all: {:?}", output.values)
        });
        report.that(near(output.totals.value, sum, 1e-4), || {
            format!("says that its values sum to {}, and they do to {sum}", output.totals.value)
        });
        let count = output.values.len() as f64;
        report.that(info.own_mask || output.totals.count == count && output.totals.weight == count, || {
            let abi::LossTotals { count: said, weight, .. } = output.totals;
            format!("says that {said} values of weight {weight} count, and there are {count}")
        });
        let upstream = weights((0..output.values.len()).map(|i| 0.25 * i as f64));
        let ask = Ask { upstream: Some(&upstream), scale: 3.0, ..Ask::all(info) };
        let Some(weighted) = or_report(report, "fails with weights", call(made, info, batch, &ask)) else { return };
        let pairs = || output.values.iter().zip(upstream.numbers());
        let sum: f64 = pairs().map(|(&value, &weight)| f64::from(value) * weight).sum();
        report.that(near(weighted.totals.value, sum, 1e-4), || {
            format!("says that its weighted values sum to {}, and they do to {sum}", weighted.totals.value)
        });
        let total: f64 = upstream.numbers().iter().sum();
        report.that(info.own_mask || near(weighted.totals.weight, total, 1e-5), || {
            format!("says that its weights sum to {}, and they do to {total}", weighted.totals.weight)
        });
        if !info.differentiable || output.values.is_empty() {
            return;
        }
        let each = output.gradient.len() / output.values.len().max(1);
        let last = output.shape == batch.y_pred.shape()[..batch.y_pred.shape().len() - 1];
        for (index, (&found, &slope)) in weighted.gradient.iter().zip(&output.gradient).enumerate() {
            if !found.is_finite() {
                return report.fail(format!("gives the slope {found} for y_pred[{index}] with weights"));
            }
            // Where a value is of the last axis, its weight is that of all slopes along it.
            let row = index / each.max(1);
            if ready.has_rows() && last {
                let expected = f64::from(slope) * upstream.numbers()[row] * 3.0;
                if !near(f64::from(found), expected, 1e-4) {
                    return report.fail(format!(
                        "gives the slope {found} for y_pred[{index}] with a weight of {} and a scale of 3, and {slope} without",
                        upstream.numbers()[row]
                    ));
                }
            }
        }
    });
}

fn rows(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    for columns in [COLUMNS, 1, 19, 67] {
        let ready = match columns {
            COLUMNS => ready(trial, &config, columns, report),
            _ => ready_unless_refused(trial, &config, columns, report),
        };
        let Some(ready) = ready else { continue };
        if !ready.info.rows_independent {
            return report.note("as it declares: a row's value depends on the others");
        }
        if !ready.has_rows() {
            continue;
        }
        let each = ready.output.values.len() / ready.batch.y_pred.shape()[0] as usize;
        for picked in [vec![0], vec![3, 1], (0..5).collect(), (0..12).rev().collect()] {
            let part = ready.batch.picked(picked.iter().copied());
            let Some(values) = or_report(report, "fails with fewer rows", ready.values(&part)) else { return };
            let expected = picked.iter().flat_map(|row| &ready.output.values[row * each..(row + 1) * each]);
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            let same = same(&values, &expected.copied().collect::<Vec<f32>>(), 1e-5);
            report.that(same, || format!("gives other values where only the rows {picked:?} of 12 are there"));
        }
        ready.keep(report);
    }
}

/// As [`ready`], where not every loss is of this number of columns; but a panic is none's right.
fn ready_unless_refused(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    columns: usize,
    report: &mut Report,
) -> Option<Ready> {
    let mut quiet = Report::default();
    let ready = ready(trial, config, columns, &mut quiet);
    let panics = quiet.failures.into_iter().filter(|failure| failure.contains(PANICS));
    panics.for_each(|failure| report.fail(format!("with {columns} columns, {failure}")));
    ready
}

/// Elements of a batch that is worth sharing between threads, and columns that no register holds.
const MANY: usize = 40_000;
const WIDE: usize = 67;

fn large(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    let wide = ready_unless_refused(trial, &config, WIDE, report);
    let Some(few) = wide.or_else(|| ready(trial, &config, COLUMNS, report)) else { return };
    let each = few.batch.y_pred.len() / ROWS;
    let count = MANY.div_ceil(each.max(1));
    // Where each row looks at all others, there are as many pairs as that squared.
    let count = if few.info.rows_independent { count } else { count.min(MANY / WIDE) };
    let batch = few.batch.picked((0..count).map(|row| row % ROWS));
    let Some(output) =
        or_report(report, "fails with many rows", call(&few.made, &few.info, &batch, &Ask::all(&few.info)))
    else {
        return;
    };
    if few.has_rows() {
        let other = |many: &[f32], few: &[f32]| {
            let differs = |(a, b): (&f32, &f32)| !near(f64::from(*a), f64::from(*b), 1e-5);
            many.iter().zip(few.iter().cycle()).position(differs)
        };
        if let Some(index) = other(&output.values, &few.output.values) {
            report.fail(format!("gives another value {index} of {count} rows than of {ROWS} of the same"));
        }
        if let Some(index) = other(&output.gradient, &few.output.gradient) {
            report.fail(format!("gives another slope {index} of {count} rows than of {ROWS} of the same"));
        }
    }
    let sum = output.values.iter().map(|&value| f64::from(value)).sum();
    report.that(near(output.totals.value, sum, 1e-4), || {
        format!("says that {} values sum to {}, and they do to {sum}", output.values.len(), output.totals.value)
    });
    let abi::LossTotals { count: said, weight, .. } = output.totals;
    let values = output.values.len() as f64;
    report.that(few.info.own_mask || said == values && weight == values, || {
        format!("says that {said} values of weight {weight} count, and there are {values}")
    });
    if few.info.differentiable {
        towards(&few, &batch, &output, report);
    }
}

/// The slope from each row towards the next, all at once.
fn towards(ready: &Ready, batch: &Batch, output: &Output, report: &mut Report) {
    let next = ready.batch.picked((0..batch.y_pred.shape()[0] as usize).map(|row| (row + 1) % ROWS));
    let steps: Vec<f64> =
        next.y_pred.numbers().iter().zip(batch.y_pred.numbers()).map(|(next, here)| next - here).collect();
    let sum = |share: f64| {
        let moved = batch.y_pred.numbers().iter().zip(&steps).map(|(here, step)| here + share * step).collect();
        ready.sum(&batch.predicting(batch.y_pred.with(moved)))
    };
    let slope = |share: f64| (sum(share) - sum(-share)) / (2.0 * share);
    let (wide, narrow) = (slope(8e-3), slope(4e-3));
    let products = || output.gradient.iter().zip(&steps).map(|(&slope, step)| f64::from(slope) * step);
    let (found, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    // Where two step sizes disagree there are kinks, and nothing to compare with.
    let here = sum(0.0);
    let (left, right) = ((here - sum(-4e-3)) / 4e-3, (sum(4e-3) - here) / 4e-3);
    // A smooth function's sides differ by little, and by half of it at half of the step.
    if (wide - narrow).abs() > 1e-2 * (1e-3 + size) || (left - right).abs() > 5e-2 * (1e-3 + size) {
        return;
    }
    let best = (4.0 * narrow - wide) / 3.0;
    report.that((found - best).abs() <= 5e-3 * (1e-2 + size), || {
        format!("has slopes that come to {found} for a step in all of {} elements; differences say {best}", steps.len())
    });
}

fn leading(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let Ready { made, info, batch, output } = ready;
        if batch.y_pred.shape().len() != 2 || !ready.has_rows() {
            return;
        }
        let halved = |array: &Array| {
            let rest = array.shape()[1..].iter().map(|&length| length as usize);
            let shape: Vec<usize> = [ROWS / 2, 2].into_iter().chain(rest).collect();
            Array::new(&shape, array.numbers().to_vec())
        };
        let folded = Batch { y_true: halved(&batch.y_true), ..batch.predicting(halved(&batch.y_pred)) };
        let shape = folded
            .with_inputs(&info.inputs, &info.dtypes, None, |inputs| with_raw(inputs, |raw| output_shape(made, raw)));
        // It may take no more than two axes, or mean something else by them.
        if shape.ok().is_none_or(|shape| shape != [ROWS as i64 / 2, 2]) {
            return;
        }
        let Some(found) = or_report(report, "fails with three axes", call(made, info, &folded, &Ask::all(info))) else {
            return;
        };
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(&a, &b)| near(f64::from(a), f64::from(b), 1e-5));
        report.that(same(&found.values, &output.values) && same(&found.gradient, &output.gradient), || {
            let (three, two) = (folded.y_pred.shape(), batch.y_pred.shape());
            format!("gives other values or slopes where y_pred has the shape {three:?} than where it has {two:?}")
        });
    });
}

fn finite(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let Ready { info, batch, .. } = ready;
        let cells = batch.y_pred.len();
        let all = |number: f64| batch.y_pred.with(vec![number; cells]);
        let mut edges = vec![("all 1", all(1.0)), ("all one number", all(0.5))];
        if matches!(info.targets, Some(Targets::Categorical | Targets::Sparse)) {
            // A row of zeros is no distribution; one that is sure of a single class is.
            let columns = *batch.y_pred.shape().last().unwrap_or(&1) as usize;
            let sure = (0..cells).map(|i| f64::from(u8::from(i % columns == (i / columns) % columns))).collect();
            edges.push(("sure of one class", batch.y_pred.with(sure)));
        } else {
            edges.push(("all 0", all(0.0)));
        }
        if info.from_logits {
            let huge = (0..cells).map(|i| if i % 3 == 0 { 1e30 } else { -1e30 }).collect();
            edges.push(("1e30 and -1e30", batch.y_pred.with(huge)));
        }
        if let Some(truth) = batch.truth() {
            edges.push(("y_true itself", truth.y_pred));
        }
        for (what, y_pred) in edges {
            let edge = batch.predicting(y_pred);
            match call(&ready.made, info, &edge, &Ask::all(info)) {
                Ok(output) => {
                    let odd = |numbers: &[f32]| numbers.iter().find(|number| !number.is_finite()).copied();
                    if let Some(odd) = odd(&output.values) {
                        report.fail(format!("gives {odd} where y_pred is {what}"));
                    }
                    // A slope may be as steep as a root's at 0.
                    if let Some(odd) = odd(&output.gradient).filter(|odd| odd.is_nan()) {
                        report.fail(format!("gives the slope {odd} where y_pred is {what}"));
                    }
                }
                Err(error) => report.fail(format!("fails where y_pred is {what}: {}", said(&error))),
            }
        }
    });
    finite_wherever_the_greatest_is(trial, report);
}

/// Columns of more than a register holds.
const PAST_REGISTERS: usize = 19;

/// Of logits, of which the greatest is taken off before they are exponents.
fn finite_wherever_the_greatest_is(trial: &Trial<'_>, report: &mut Report) {
    trial.each(report, |config, report| {
        let Some(ready) = ready_unless_refused(trial, config, PAST_REGISTERS, report) else { return };
        let columns = PAST_REGISTERS as i64;
        if !ready.info.from_logits || ready.batch.y_pred.shape() != [ROWS as i64, columns] {
            return;
        }
        let batch = ready.batch.picked((0..PAST_REGISTERS).map(|row| row % ROWS));
        let cells = 0..PAST_REGISTERS * PAST_REGISTERS;
        let sure = cells.map(|i| if i % PAST_REGISTERS == i / PAST_REGISTERS { 1e30 } else { 0.0 }).collect();
        let Ok(values) = ready.values(&batch.predicting(batch.y_pred.with(sure))) else { return };
        if let Some(column) = values.iter().position(|value| !value.is_finite()) {
            report.fail(format!("gives {} where of {columns} logits only number {column} is 1e30", values[column]));
        }
    });
}

fn truth(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    let Some(ready) = ready(trial, &config, COLUMNS, report) else { return };
    if !ready.info.least_at_truth {
        return report.note("as it declares: its least value isn't at the truth");
    }
    let truth = ready.batch.truth().filter(|_| !ready.info.from_logits);
    let Some(truth) = truth else { return };
    let Some(best) = or_report(report, "fails at the truth", ready.values(&truth)) else { return };
    for share in [1.0, 0.5, 0.05] {
        let moved = |(truth, pred): (&f64, &f64)| truth + share * (pred - truth);
        let pairs = ready.batch.y_true.numbers().iter().zip(ready.batch.y_pred.numbers());
        let away = truth.predicting(truth.y_pred.with(pairs.map(moved).collect()));
        let Some(values) = or_report(report, "fails", ready.values(&away)) else { return };
        let better = values.iter().zip(&best).position(|(value, best)| value < &(best - 1e-5 * (1.0 + best.abs())));
        if let Some(row) = better {
            report.fail(format!(
                "gives {} for value {row} of predictions that are wrong, and {} where they are right (a loss may declare least_at_truth: false)",
                values[row], best[row]
            ));
            break;
        }
    }
    ready.keep(report);
}

fn odd(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        for (what, batch) in ready.batch.odd() {
            match call(&ready.made, &ready.info, &batch, &Ask::all(&ready.info)) {
                Err(error) if error.kind() == abi::ERROR_PANIC => {
                    return report.error(format!("where {what}"), &error);
                }
                _ => {}
            }
        }
    });
}

fn shapes(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    let Some(ready) = ready(trial, &config, COLUMNS, report) else { return };
    let Ready { made, info, batch, .. } = &ready;
    let cut = |array: &Array| {
        let mut shape: Vec<usize> = array.shape().iter().map(|&length| length as usize).collect();
        let last = shape.len() - 1;
        shape[last] -= 1;
        let count = shape.iter().product();
        Array::new(&shape, array.numbers()[..count].to_vec())
    };
    let mut wrong = vec![Batch { y_true: batch.y_true.rows(0..5), ..batch.picked(0..12) }];
    if batch.y_true.shape() == batch.y_pred.shape() {
        wrong.push(Batch { y_true: cut(&batch.y_true), ..batch.picked(0..12) });
    }
    for batch in wrong {
        let (y_true, y_pred) = (batch.y_true.shape(), batch.y_pred.shape());
        match call(made, info, &batch, &Ask::all(info)) {
            Ok(_) => report.fail(format!("takes y_true of the shape {y_true:?} with y_pred of {y_pred:?}")),
            Err(error) if error.kind() == abi::ERROR_PANIC => {
                report.error(format!("with y_true of the shape {y_true:?} and y_pred of {y_pred:?}"), &error);
            }
            Err(_) => {}
        }
    }
}

fn empty(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        match ready.values(&ready.batch.rows(0, 0)) {
            Ok(values) => report
                .that(values.is_empty() || !ready.has_rows(), || format!("gives {} values for no rows", values.len())),
            Err(error) if error.kind() == abi::ERROR_INPUT => {}
            Err(error) => report.error("fails with no rows", &error),
        }
        let none = ready.batch.without_columns();
        if let Err(error) = call(&ready.made, &ready.info, &none, &Ask::all(&ready.info)) {
            if error.kind() == abi::ERROR_PANIC {
                report.error("with no columns", &error);
            }
        }
    });
}
