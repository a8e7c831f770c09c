//! Tests for losses.

mod derivatives;
mod extremes;
mod float64;
mod formula;
mod rows;

use super::{
    data::{fitting, weights, Array, Batch, ROWS},
    example_batches::{self, ExampleBatch, NEEDS_Y_TRUE_AND_Y_PRED},
    instance::Instance,
    report::{Report, PANIC_PREFIX},
    tested::{or_report, Extent, Tested, Tests},
};
use crate::{error::into_result, loss::LossInfo, tensor::elements, Error, Float, Inputs, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RResult, RSlice},
    Handle,
};

pub const TESTS: Tests = &[
    ("gradient", "the gradient is that of the values, by differences at every place", derivatives::gradient),
    (
        "edges",
        "at ties, at bounds and beyond them, a derivative lies between the one-sided derivatives",
        derivatives::edges,
    ),
    ("line", "along a line, the values change as the derivatives say, without a jump", derivatives::line),
    ("fused", "values and gradients are the same whether requested together or alone", derivatives::fused),
    ("float64", "the results in float64 agree with those in float32", float64::same_as_single),
    ("formula", "the formula computes the same values and derivatives", formula::same_as_native),
    (
        "weights",
        "weights and the scale multiply gradients, and the reported sums are those of the values",
        rows::weighted,
    ),
    ("rows", "a row's value doesn't depend on other rows, unless the loss declares that it does", rows::rows),
    ("large", "many wide rows give the same results as few, and the gradient is that of the values", rows::large),
    ("leading", "the number of axes before the last doesn't matter, if each row has a value", rows::leading),
    (
        "finite",
        "values are finite at 0, at 1, at ties and for logits of 1e30, and no derivative is NaN there",
        extremes::finite,
    ),
    ("truth", "no value is lower than that of the truth, unless the loss declares otherwise", extremes::truth),
    ("odd", "no number makes it panic: NaN, infinity, an unknown class", extremes::odd),
    ("shapes", "inputs whose shapes don't match are refused", extremes::shapes),
    ("empty", "a batch without rows has no values, and one without columns doesn't make it panic", extremes::empty),
];

/// The results of a call.
struct Output<F = f32> {
    shape: Vec<i64>,
    values: Vec<F>,
    gradient: Vec<F>,
    totals: abi::LossTotals,
}

/// The results that a call is asked for, and its weights.
struct Ask<'a> {
    upstream: Option<&'a Array>,
    scale: f64,
    values: bool,
    gradient: bool,
}

impl Ask<'_> {
    const VALUES: Ask<'static> = Ask { upstream: None, scale: 1.0, values: true, gradient: false };

    /// Values, and the gradient if the loss has one.
    fn all(info: &LossInfo) -> Ask<'static> {
        Ask { gradient: info.differentiable, ..Ask::VALUES }
    }
}

/// An instance of the loss under test.
type LossInstance = Instance<abi::LossV1>;

/// The function of a table that computes values and gradients.
type Call = unsafe extern "C" fn(
    Handle,
    &abi::Host,
    &abi::Inputs<'_>,
    &abi::LossOutput<'_>,
) -> RResult<abi::LossTotals, abi::Error>;

/// Calls the loss in float32.
fn call(instance: &LossInstance, info: &LossInfo, batch: &Batch, ask: &Ask<'_>) -> Result<Output> {
    call_in(instance, instance.table.call, info, batch, ask)
}

/// Calls a function of the loss in its dtype, `F`.
fn call_in<F: Float>(
    instance: &LossInstance,
    function: Call,
    info: &LossInfo,
    batch: &Batch,
    ask: &Ask<'_>,
) -> Result<Output<F>> {
    let (y_pred, shape) = (batch.y_pred.len(), batch.y_pred.shape());
    batch.with_inputs(&info.inputs, &info.dtypes, None, |inputs| {
        call_on(instance, function, info, inputs, (y_pred, shape), ask)
    })
}

/// Returns the values for inputs of any names, and if `gradient` is set the gradient for `y_pred`.
pub fn values_of(
    instance: &LossInstance,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    gradient: bool,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
    let function: Call = instance.table.call;
    let output = match gradient {
        true => {
            let y_pred = inputs.y_pred()?;
            call_on(instance, function, info, inputs, (y_pred.len(), y_pred.shape()), &Ask::all(info))?
        }
        false => call_on(instance, function, info, inputs, (0, &[0]), &Ask::VALUES)?,
    };
    Ok((wide(output.values), wide(output.gradient)))
}

/// Returns the shape of the values.
fn output_shape(instance: &LossInstance, raw: &abi::Inputs<'_>) -> Result<Vec<i64>> {
    // SAFETY: the handle belongs to the table.
    Ok(into_result(unsafe { (instance.table.output_shape)(instance.handle, raw) })?.into())
}

/// Calls a function of the loss on these inputs. `y_pred` and `pred_shape` are the number of elements and the shape of
/// `y_pred`.
fn call_on<F: Float>(
    instance: &LossInstance,
    function: Call,
    info: &LossInfo,
    inputs: &Inputs<'_>,
    (y_pred, pred_shape): (usize, &[i64]),
    ask: &Ask<'_>,
) -> Result<Output<F>> {
    instance.with_raw(inputs, |raw| {
        let shape = output_shape(instance, raw)?;
        let count = elements(&shape)
            .filter(|&count| count < 1 << 20)
            .ok_or_else(|| Error::other(format!("it says that its values have the shape {shape:?}")))?;
        // NaN shows what the call doesn't write.
        let unwritten = F::from_f64(f64::NAN);
        let mut values = vec![unwritten; if ask.values { count } else { 0 }];
        let mut valid = vec![F::ONE; count];
        let mut gradient = vec![unwritten; if ask.gradient { y_pred } else { 0 }];
        let mut borders = instance.borders();
        let mut gradient_tensor = || borders.output("the gradient", TensorMut::new(&mut gradient, pred_shape).raw());
        let names = info.inputs.iter();
        let gradients: Vec<ROption<abi::Tensor>> =
            names.map(|name| (name == "y_pred" && ask.gradient).then(&mut gradient_tensor).into()).collect();
        let upstream: Option<Vec<F>> =
            ask.upstream.map(|upstream| upstream.numbers().iter().map(|&weight| F::from_f64(weight)).collect());
        let mut output_tensor = |wanted: bool, name: &str, target: &mut [F]| {
            wanted.then(|| borders.output(name, TensorMut::new(target, &shape).raw())).into()
        };
        let output = abi::LossOutput {
            values: output_tensor(ask.values, "the values", &mut values),
            valid: output_tensor(info.own_mask, "the mask", &mut valid),
            gradients: RSlice::from_slice(&gradients),
            upstream: upstream
                .as_ref()
                .map(|upstream| borders.input("upstream", Tensor::new(upstream, &shape).raw()))
                .into(),
            scale: ask.scale,
        };
        // SAFETY: the handle belongs to the table; nothing else accesses the targets during the call.
        let totals = into_result(unsafe { function(instance.handle, &instance.host, raw, &output) });
        // Copy the results from the fenced buffers.
        drop(borders);
        let totals = totals?;
        values.iter_mut().zip(&valid).for_each(|(value, valid)| *value *= *valid);
        Ok(Output { shape, values, gradient, totals })
    })
}

/// The inputs for which batches can be generated.
const USUAL: [&str; 2] = ["y_true", "y_pred"];

/// Returns the info of a loss, limited to what can be tested, and a batch for it.
fn batch_for(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    instance: &LossInstance,
    columns: usize,
) -> Result<(LossInfo, ExampleBatch)> {
    let mut info: LossInfo = instance.typed_info()?;
    if info.inputs == USUAL {
        let task = tested.task(info.targets, info.from_logits, columns);
        let batch = fitting(&task, "there is no batch of its task", |batch| {
            let output = call(instance, &info, batch, &Ask::all(&info))?;
            Ok(output.values.iter().chain(&output.gradient).all(|value| value.is_finite()))
        })?;
        return Ok((info, ExampleBatch::Rows(batch)));
    }
    // Derivatives are tested for y_pred only.
    info.differentiable &= info.inputs.iter().any(|name| name == "y_pred");
    if columns != tested.columns() {
        return Ok((info, ExampleBatch::Unknown));
    }
    let found = example_batches::batch(tested, config, &info.inputs, |rows| {
        let parts = [rows, &rows.rows(0, 5), &rows.rows(5, ROWS)];
        parts.iter().try_for_each(|part| call(instance, &info, part, &Ask::all(&info)).map(drop))
    });
    Ok((info, found))
}

/// A loss that can be called, with a batch for it and the results.
struct Ready {
    instance: LossInstance,
    info: LossInfo,
    batch: Batch,
    output: Output,
    /// Whether it can be called with a batch without columns.
    takes_no_columns: bool,
}

impl Ready {
    /// Calls the loss for values and, if it has one, the gradient.
    fn call(&self, batch: &Batch) -> Result<Output> {
        call(&self.instance, &self.info, batch, &Ask::all(&self.info))
    }

    /// Returns the values of a batch.
    fn values(&self, batch: &Batch) -> Result<Vec<f64>> {
        let output = call(&self.instance, &self.info, batch, &Ask::VALUES)?;
        Ok(output.values.iter().map(|&value| f64::from(value)).collect())
    }

    /// Returns the sum of the values of a batch, or NaN if the call fails.
    fn sum(&self, batch: &Batch) -> f64 {
        self.values(batch).map_or(f64::NAN, |values| values.iter().sum())
    }

    /// Returns batches at ties, at bounds and beyond them, each with a description.
    fn edges(&self) -> Vec<(String, Batch)> {
        let repeat = |array: &Array, numbers: &[f64]| {
            array.with((0..array.len()).map(|cell| numbers[cell % numbers.len()]).collect())
        };
        let of = |numbers: &&[f64]| {
            let what = format!("y_pred is {numbers:?}, again and again");
            (what, self.batch.predicting(repeat(&self.batch.y_pred, numbers)))
        };
        let mut edges: Vec<(String, Batch)> =
            [&[0.0][..], &[0.5], &[1.0], &[-0.5], &[1.5], &[1.5, -0.5, 0.5]].iter().map(of).collect();
        // Unusual labels must have correct derivatives too.
        if self.batch.truth().is_some() {
            let labels = match self.info.labels {
                Some((low, high)) => [low + 0.25 * (high - low), high, low],
                None => [0.25, 1.5, -0.5],
            };
            let y_true = repeat(&self.batch.y_true, &labels);
            let batch = Batch { y_true, ..self.batch.predicting(self.batch.y_pred.copied()) };
            edges.push((format!("y_true is {labels:?}, again and again"), batch));
        }
        edges
    }

    /// Returns whether the loss has a value, or several, for each row, independent of the others.
    fn has_rows(&self) -> bool {
        let count = Some(&(self.batch.count as i64));
        self.info.rows_independent && self.output.shape.first() == count && self.batch.y_pred.shape().first() == count
    }

    /// Stores the batch and the results in the report if a test failed.
    fn save_arrays(&self, report: &mut Report) {
        let wide = |array: &[f32]| array.iter().map(|&value| f64::from(value)).collect();
        report.save_arrays(&[
            ("y_true", self.batch.y_true.shape(), self.batch.y_true.numbers().to_vec()),
            ("y_pred", self.batch.y_pred.shape(), self.batch.y_pred.numbers().to_vec()),
            ("values", &self.output.shape, wide(&self.output.values)),
            ("gradient", &[self.output.gradient.len() as i64], wide(&self.output.gradient)),
        ]);
    }
}

/// Creates an instance, finds a batch and calls the loss. Reports what fails.
fn ready(tested: &Tested<'_>, config: &serde_json::Value, columns: usize, report: &mut Report) -> Option<Ready> {
    let instance: LossInstance = tested.made(config, report)?;
    let found = batch_for(tested, config, &instance, columns);
    let (info, batch) = or_report(report, "takes no batch of its task", found)?;
    let batch = batch.rows(report)?;
    let output = or_report(report, "fails", call(&instance, &info, &batch, &Ask::all(&info)))?;
    Some(Ready { instance, info, batch, output, takes_no_columns: tested.may_have(0) })
}

/// Runs `f` for every configuration in which the loss can be called.
fn each(tested: &Tested<'_>, report: &mut Report, f: impl Fn(&Ready, &mut Report)) {
    tested.each(report, |config, report| {
        if let Some(ready) = ready(tested, config, tested.columns(), report) {
            f(&ready, report);
            ready.save_arrays(report);
        }
    });
    report.notes.dedup();
}

/// Does the same as [`each`] for losses of only `y_true` and `y_pred`, for which batches can be generated.
fn each_usual(tested: &Tested<'_>, report: &mut Report, f: impl Fn(&Ready, &mut Report)) {
    each(tested, report, |ready, report| match ready.info.inputs == USUAL {
        true => f(ready, report),
        false => report.note(NEEDS_Y_TRUE_AND_Y_PRED),
    });
}

/// Returns the bits of the results of a loss.
pub fn bits(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    instance: &LossInstance,
    extent: Extent,
) -> Result<Vec<u64>> {
    let mut bits = Vec::new();
    let mut add = |output: Output| {
        let numbers = output.values.iter().chain(&output.gradient).map(|value| u64::from(value.to_bits()));
        bits.extend(numbers.chain([output.totals.value.to_bits(), output.totals.weight.to_bits()]));
    };
    let (info, batch) = match batch_for(tested, config, instance, tested.columns())? {
        (info, ExampleBatch::Rows(batch) | ExampleBatch::Whole(batch)) => (info, batch),
        (_, ExampleBatch::Unknown) => return Ok(Vec::new()),
    };
    let output = call(instance, &info, &batch, &Ask::all(&info))?;
    let count = output.values.len();
    add(output);
    if extent == Extent::Thorough {
        let upstream = weights((0..count).map(|i| 0.5 + i as f64));
        call(instance, &info, &batch, &Ask { upstream: Some(&upstream), ..Ask::all(&info) }).map(&mut add)?;
        // Not every loss accepts other numbers of columns.
        for columns in [PAST_REGISTERS, 1].into_iter().filter(|&columns| tested.may_have(columns)) {
            if let Ok((info, ExampleBatch::Rows(batch))) = batch_for(tested, config, instance, columns) {
                let _ = call(instance, &info, &batch, &Ask::all(&info)).map(&mut add);
            }
        }
    }
    Ok(bits)
}

/// A number of columns that exceeds the lanes of a register.
const PAST_REGISTERS: usize = 19;

/// Compares two numbers with a relative tolerance, which is absolute for small numbers.
fn near(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * (1.0 + expected.abs())
}

/// Compares arrays as [`near`] does. NaN equals NaN, because another test reports it.
fn same(a: &[f32], b: &[f32], relative: f64) -> bool {
    let same = |(&a, &b): (&f32, &f32)| near(f64::from(a), f64::from(b), relative) || a.is_nan() && b.is_nan();
    a.iter().zip(b).all(same)
}

/// Does the same as [`ready`] for a number of columns that a loss may reject. Reports only panics.
fn ready_unless_refused(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    columns: usize,
    report: &mut Report,
) -> Option<Ready> {
    if !tested.may_have(columns) {
        return None;
    }
    let mut quiet = Report::default();
    let ready = ready(tested, config, columns, &mut quiet);
    let panics = quiet.failures.into_iter().filter(|failure| failure.contains(PANIC_PREFIX));
    panics.for_each(|failure| report.fail(format!("with {columns} columns, {failure}")));
    ready
}
