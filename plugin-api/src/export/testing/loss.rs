//! What holds for losses.

mod extremes;
mod float64;
mod rows;
mod slopes;

use super::{
    data::{batches, weights, Array, Batch, Task, ROWS},
    made::{back, Described, Made},
    own,
    report::{Report, PANICS},
    trial::{or_report, Extent, Tests, Trial},
};
use crate::{loss::LossInfo, Error, Float, Inputs, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RResult, RSlice},
    Handle,
};

pub const TESTS: Tests = &[
    ("gradient", "the gradient is that of the values, by differences at every place", slopes::gradient),
    ("edges", "at ties, at bounds and beyond them a slope lies between those of its two sides", slopes::edges),
    ("line", "along a line the values change by the sum of the slopes, without a jump", slopes::line),
    ("fused", "values and gradients are the same whether asked for together or alone", slopes::fused),
    ("float64", "in float64 it gives what it gives in float32, to the digits of that", float64::same_as_single),
    ("weights", "weights and the scale multiply gradients, and the sums are those of the values", rows::weighted),
    ("rows", "a row's value doesn't depend on the others, where it says so", rows::rows),
    ("large", "many wide rows give what few give, and their slopes are those of the values", rows::large),
    ("leading", "axes before the last are rows, however many there are, where a value is of a row", rows::leading),
    (
        "finite",
        "values are finite at 0, at 1, at ties and for logits of 1e30, and no slope is NaN there",
        extremes::finite,
    ),
    ("truth", "nothing is better than the truth, unless it declares that something is", extremes::truth),
    ("odd", "no number makes it panic: NaN, infinity, a class that isn't there", extremes::odd),
    ("shapes", "inputs that don't fit are refused", extremes::shapes),
    ("empty", "a batch without rows has no values, and one without columns doesn't make it panic", extremes::empty),
];

/// What a call gave.
struct Output<F = f32> {
    shape: Vec<i64>,
    values: Vec<F>,
    gradient: Vec<F>,
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

/// A function of a table that computes values and gradients.
type Call = unsafe extern "C" fn(
    Handle,
    &abi::Host,
    &abi::Inputs<'_>,
    &abi::LossOutput<'_>,
) -> RResult<abi::LossTotals, abi::Error>;

fn call(made: &Made<abi::LossV1>, info: &LossInfo, batch: &Batch, ask: &Ask<'_>) -> Result<Output> {
    call_in(made, made.table.call, info, batch, ask)
}

/// The same in the dtype of the function.
fn call_in<F: Float>(
    made: &Made<abi::LossV1>,
    function: Call,
    info: &LossInfo,
    batch: &Batch,
    ask: &Ask<'_>,
) -> Result<Output<F>> {
    let (y_pred, shape) = (batch.y_pred.len(), batch.y_pred.shape());
    batch.with_inputs(&info.inputs, &info.dtypes, None, |inputs| {
        call_on(made, function, info, inputs, (y_pred, shape), ask)
    })
}

/// Values of inputs of any names, and where it is wanted the gradient for `y_pred`.
pub fn values_of(
    made: &Made<abi::LossV1>,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    gradient: bool,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
    let function: Call = made.table.call;
    let output = match gradient {
        true => {
            let y_pred = inputs.y_pred()?;
            call_on(made, function, info, inputs, (y_pred.len(), y_pred.shape()), &Ask::all(info))?
        }
        false => call_on(made, function, info, inputs, (0, &[0]), &Ask::VALUES)?,
    };
    Ok((wide(output.values), wide(output.gradient)))
}

fn output_shape(made: &Made<abi::LossV1>, raw: &abi::Inputs<'_>) -> Result<Vec<i64>> {
    // SAFETY: the handle belongs to this table.
    Ok(back(unsafe { (made.table.output_shape)(made.handle, raw) })?.into())
}

fn call_on<F: Float>(
    made: &Made<abi::LossV1>,
    function: Call,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    (y_pred, pred_shape): (usize, &[i64]),
    ask: &Ask<'_>,
) -> Result<Output<F>> {
    made.with_raw(inputs, |raw| {
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
        let unwritten = F::rounded(f64::NAN);
        let mut values = vec![unwritten; if ask.values { count } else { 0 }];
        let mut valid = vec![F::ONE; count];
        let mut gradient = vec![unwritten; if ask.gradient { y_pred } else { 0 }];
        let mut borders = made.borders();
        let gradients: Vec<ROption<abi::Tensor>> = info
            .inputs
            .iter()
            .map(|name| match name == "y_pred" && ask.gradient {
                true => ROption::RSome(borders.output("the gradient", TensorMut::new(&mut gradient, pred_shape).raw())),
                false => ROption::RNone,
            })
            .collect();
        let upstream: Option<Vec<F>> =
            ask.upstream.map(|upstream| upstream.numbers().iter().map(|&weight| F::rounded(weight)).collect());
        let mut some = |wanted: bool, name: &str, target: &mut [F]| match wanted {
            true => ROption::RSome(borders.output(name, TensorMut::new(target, &shape).raw())),
            false => ROption::RNone,
        };
        let output = abi::LossOutput {
            values: some(ask.values, "the values", &mut values),
            valid: some(info.own_mask, "the mask", &mut valid),
            gradients: RSlice::from_slice(&gradients),
            upstream: match &upstream {
                Some(upstream) => ROption::RSome(borders.input("upstream", Tensor::new(upstream, &shape).raw())),
                None => ROption::RNone,
            },
            scale: ask.scale,
        };
        // SAFETY: the handle belongs to this table; the targets are written by nobody else meanwhile.
        let totals = back(unsafe { function(made.handle, &made.host, raw, &output) });
        // What was written into copies is what was given.
        drop(borders);
        let totals = totals?;
        values.iter_mut().zip(&valid).for_each(|(value, valid)| *value *= *valid);
        Ok(Output { shape, values, gradient, totals })
    })
}

pub fn info(made: &Made<abi::LossV1>) -> Result<LossInfo> {
    serde_json::from_value(made.info()?).map_err(|error| Error::other(format!("it describes itself wrongly: {error}")))
}

const USUAL: [&str; 2] = ["y_true", "y_pred"];

/// A batch for a loss of this configuration, and what it says of itself as far as the batch goes.
fn batch_for(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    made: &Made<abi::LossV1>,
    columns: usize,
) -> Result<(LossInfo, own::Found)> {
    let mut info = info(made)?;
    if info.inputs == USUAL {
        let batch = fitting(made, &info, &trial.task(info.targets, info.from_logits, columns))?;
        return Ok((info, own::Found::Rows(batch)));
    }
    // Slopes are tried for y_pred alone.
    info.differentiable &= info.inputs.iter().any(|name| name == "y_pred");
    if columns != trial.columns() {
        return Ok((info, own::Found::Unknown));
    }
    let found = own::batch(trial, config, &info.inputs, |rows| {
        let parts = [rows, &rows.rows(0, 5), &rows.rows(5, ROWS)];
        parts.iter().try_for_each(|part| call(made, &info, part, &Ask::all(&info)).map(drop))
    });
    Ok((info, found))
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
    /// Whether it may be given a batch without columns.
    takes_no_columns: bool,
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
            let labels = match self.info.labels {
                Some((low, high)) => [low + 0.25 * (high - low), high, low],
                None => [0.25, 1.5, -0.5],
            };
            let y_true = again(&self.batch.y_true, &labels);
            let batch = Batch { y_true, ..self.batch.predicting(self.batch.y_pred.copied()) };
            edges.push((format!("y_true is {labels:?}, again and again"), batch));
        }
        edges
    }

    fn has_rows(&self) -> bool {
        let count = Some(&(self.batch.count as i64));
        self.info.rows_independent && self.output.shape.first() == count && self.batch.y_pred.shape().first() == count
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
    let found = batch_for(trial, config, &made, columns);
    let (info, batch) = or_report(report, "takes no batch of its task", found)?;
    let batch = batch.rows(report)?;
    let output = or_report(report, "fails", call(&made, &info, &batch, &Ask::all(&info)))?;
    Some(Ready { made, info, batch, output, takes_no_columns: trial.may_have(0) })
}

/// Runs `f` with every configuration that can be called.
fn each(trial: &Trial<'_>, report: &mut Report, f: fn(&Ready, &mut Report)) {
    trial.each(report, |config, report| {
        if let Some(ready) = ready(trial, config, trial.columns(), report) {
            f(&ready, report);
            ready.keep(report);
        }
    });
    report.notes.dedup();
}

/// The same for y_true and y_pred alone, of which it is known what numbers may come.
fn each_usual(trial: &Trial<'_>, report: &mut Report, f: fn(&Ready, &mut Report)) {
    trial.each(report, |config, report| {
        let Some(ready) = ready(trial, config, trial.columns(), report) else { return };
        if ready.info.inputs != USUAL {
            return report.note(own::OTHER);
        }
        f(&ready, report);
        ready.keep(report);
    });
    report.notes.dedup();
}

pub fn bits(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    made: &Made<abi::LossV1>,
    extent: Extent,
) -> Result<Vec<u64>> {
    let mut bits = Vec::new();
    let mut add = |output: Output| {
        let numbers = output.values.iter().chain(&output.gradient).map(|value| u64::from(value.to_bits()));
        bits.extend(numbers.chain([output.totals.value.to_bits(), output.totals.weight.to_bits()]));
    };
    let (info, batch) = match batch_for(trial, config, made, trial.columns())? {
        (info, own::Found::Rows(batch) | own::Found::Whole(batch)) => (info, batch),
        (_, own::Found::Unknown) => return Ok(Vec::new()),
    };
    let output = call(made, &info, &batch, &Ask::all(&info))?;
    let count = output.values.len();
    add(output);
    if extent == Extent::Thorough {
        let upstream = weights((0..count).map(|i| 0.5 + i as f64));
        call(made, &info, &batch, &Ask { upstream: Some(&upstream), ..Ask::all(&info) }).map(&mut add)?;
        // Not every loss is of other columns.
        for columns in [PAST_REGISTERS, 1].into_iter().filter(|&columns| trial.may_have(columns)) {
            if let Ok((info, own::Found::Rows(batch))) = batch_for(trial, config, made, columns) {
                let _ = call(made, &info, &batch, &Ask::all(&info)).map(&mut add);
            }
        }
    }
    Ok(bits)
}

/// Columns of more than a register holds.
const PAST_REGISTERS: usize = 19;

fn near(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * (1.0 + expected.abs())
}

/// Of what isn't a number another test tells.
fn same(a: &[f32], b: &[f32], relative: f64) -> bool {
    let same = |(&a, &b): (&f32, &f32)| near(f64::from(a), f64::from(b), relative) || a.is_nan() && b.is_nan();
    a.iter().zip(b).all(same)
}

/// As [`ready`], where not every loss is of this number of columns; but a panic is none's right.
fn ready_unless_refused(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    columns: usize,
    report: &mut Report,
) -> Option<Ready> {
    if !trial.may_have(columns) {
        return None;
    }
    let mut quiet = Report::default();
    let ready = ready(trial, config, columns, &mut quiet);
    let panics = quiet.failures.into_iter().filter(|failure| failure.contains(PANICS));
    panics.for_each(|failure| report.fail(format!("with {columns} columns, {failure}")));
    ready
}
