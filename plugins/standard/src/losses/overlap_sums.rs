//! Losses of the sums of labels, predictions and their products over axes of a configuration.

use super::shared::{Layout, Part, TASK_ELEMENTS, add, axis_of, element_count, run_parallel};
use plugfit_api::{
    Float, Plain,
    config::{ConfigValue, ValueSpec},
    loss::LossTotals,
    prelude::*,
    serde_json::Value,
};
use std::sync::Mutex;

/// The sums of `y_true y_pred`, of `y_true` and of `y_pred` over a group of elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums<R = f64> {
    pub both: R,
    pub t: R,
    pub p: R,
}

/// A loss that depends on the three sums. Its derivative with respect to an element of `y_pred` is a linear function of
/// the same element of `y_true`.
pub trait OverlapLoss: Sync {
    /// Returns the value, and the factor and offset of that linear function.
    fn evaluate<R: Real>(&self, sums: Sums<R>) -> (R, R, R);
}

/// Evaluates a loss in float64.
fn evaluate(formula: &impl OverlapLoss, Sums { both, t, p }: Sums) -> (f64, f64, f64) {
    let (value, factor, offset) = formula.evaluate(Sums { both: Plain(both), t: Plain(t), p: Plain(p) });
    (value.0, factor.0, offset.0)
}

/// The axes of a configuration: null, one, or a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Axes {
    /// All axes.
    All,
    /// One axis.
    One(i64),
    /// Several axes.
    List(Vec<i64>),
}

impl ConfigValue for Axes {
    const SPEC: ValueSpec = ValueSpec { name: "any", optional: true, choices: &[] };
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Null => Ok(Axes::All),
            Value::Array(_) => Vec::read(value).map(Axes::List),
            _ => i64::read(value).map(Axes::One),
        }
    }
    fn write(&self) -> Value {
        match self {
            Axes::All => Value::Null,
            Axes::One(axis) => axis.write(),
            Axes::List(axes) => axes.write(),
        }
    }
}

impl Axes {
    /// Returns for each axis whether it is summed.
    ///
    /// # Errors
    /// Returns an error if the shape has no such axis, or if an axis is listed twice.
    fn summed(&self, shape: &[i64]) -> Result<Vec<bool>> {
        let axes = match self {
            Axes::All => return Ok(vec![true; shape.len()]),
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::List(axes) => axes,
        };
        let mut summed = vec![false; shape.len()];
        for &axis in axes {
            if std::mem::replace(&mut summed[axis_of(shape, axis)?], true) {
                return Err(Error::config("axis", format!("names an axis of y_pred twice: {axes:?}")));
            }
        }
        Ok(summed)
    }
}

/// Returns the common shape of both inputs. If only one of them has a last axis of length 1, that axis is dropped,
/// unless the other has rank 1.
fn common_shape<'a>(inputs: &Inputs<'a>) -> Result<&'a [i64]> {
    let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
    if y_true == y_pred {
        return Ok(y_pred);
    }
    let (longer, shorter) = if y_true.len() > y_pred.len() { (y_true, y_pred) } else { (y_pred, y_true) };
    match longer.split_last() {
        Some((1, leading)) if leading == shorter => Ok(if shorter.len() == 1 { longer } else { shorter }),
        _ => Err(Error::input(format!("y_true of shape {y_true:?} doesn't fit y_pred of shape {y_pred:?}"))),
    }
}

/// Returns the shape of the values.
pub fn output_shape(axes: &Axes, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
    let shape = common_shape(inputs)?;
    let summed = axes.summed(shape)?;
    Ok(shape.iter().zip(summed).filter(|(_, summed)| !summed).map(|(&length, _)| length).collect())
}

fn sums<F: Float>(y_true: &[F], y_pred: &[F]) -> Sums {
    const LANES: usize = 8;
    let mut lanes = [[0.0f64; LANES]; 3];
    let n = y_true.len().min(y_pred.len());
    let mut add_element = |k: usize, t: F, p: F| {
        let (t, p) = (t.to_f64(), p.to_f64());
        lanes[0][k] += t * p;
        lanes[1][k] += t;
        lanes[2][k] += p;
    };
    let (mut a, mut b) = (y_true[..n].chunks_exact(LANES), y_pred[..n].chunks_exact(LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for k in 0..LANES {
            add_element(k, a[k], b[k]);
        }
    }
    for (k, (&t, &p)) in a.remainder().iter().zip(b.remainder()).enumerate() {
        add_element(k, t, p);
    }
    let [both, t, p] = lanes.map(|lanes| lanes.iter().sum());
    Sums { both, t, p }
}

/// Writes the gradient, a linear function of `y_true`.
fn write_gradient<F: Float>(y_true: &[F], derivative: f64, offset: f64, factor: F, gradient: &mut [F]) {
    if factor == F::ZERO {
        return gradient.fill(F::ZERO);
    }
    let (derivative, offset) = (F::from_f64(derivative * factor.to_f64()), F::from_f64(offset * factor.to_f64()));
    for (target, t) in gradient.iter_mut().zip(y_true) {
        *target = derivative * *t + offset;
    }
}

/// Computes a loss for a batch.
pub fn call<F: Float>(
    formula: &impl OverlapLoss,
    axes: &Axes,
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    let shape = common_shape(inputs)?;
    let summed = axes.summed(shape)?;
    let (y_true, y_pred) = (inputs.y_true()?.floats::<F>("y_true")?, inputs.y_pred()?.floats::<F>("y_pred")?);
    let kept = summed.iter().take_while(|&&summed| !summed).count();
    if summed[kept..].contains(&false) {
        return arbitrary_axes(formula, shape, &summed, y_true, y_pred, output);
    }
    // The common case: the summed elements are contiguous.
    let (rows, columns) = (element_count(&shape[..kept]), element_count(&shape[kept..]));
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows, values: 1, derivatives: columns, cost: columns };
    if columns > TASK_ELEMENTS {
        return divided_rows(formula, layout, y_true, y_pred, output, host);
    }
    run_parallel(layout, output, host, |mut part: Part<'_, F>| {
        let mut totals = LossTotals::default();
        let first = part.rows.start;
        for row in part.rows.clone() {
            let (y_true, y_pred) = (&y_true[row * columns..][..columns], &y_pred[row * columns..][..columns]);
            let (value, derivative, offset) = evaluate(formula, sums(y_true, y_pred));
            let upstream = upstream.map_or(F::ONE, |upstream| upstream[row]);
            if let Some(gradient) = part.gradient.as_deref_mut() {
                write_gradient(
                    y_true,
                    derivative,
                    offset,
                    upstream * scale,
                    &mut gradient[(row - first) * columns..][..columns],
                );
            }
            write_value(&mut part, row - first, F::from_f64(value), upstream, &mut totals);
        }
        totals
    })
}

fn write_value<F: Float>(part: &mut Part<'_, F>, at: usize, value: F, upstream: F, totals: &mut LossTotals) {
    part.write(at, value, true);
    add(totals, value, upstream);
}

/// Computes long rows, each divided between threads: first the sums, then the gradient.
fn divided_rows<F: Float>(
    formula: &impl OverlapLoss,
    Layout { rows, derivatives: columns, .. }: Layout,
    y_true: &[F],
    y_pred: &[F],
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    let pieces = columns.div_ceil(TASK_ELEMENTS);
    let partial: Vec<Mutex<Sums>> = (0..rows * pieces).map(|_| Mutex::default()).collect();
    host.parallel(partial.len(), |task| {
        let (row, start) = (task / pieces, task % pieces * TASK_ELEMENTS);
        let range = row * columns + start..row * columns + columns.min(start + TASK_ELEMENTS);
        *partial[task].lock().unwrap_or_else(|poison| poison.into_inner()) =
            sums(&y_true[range.clone()], &y_pred[range]);
    });
    let sums: Vec<Sums> =
        partial.into_iter().map(|sums| sums.into_inner().unwrap_or_else(|poison| poison.into_inner())).collect();
    let results: Vec<_> = sums
        .chunks(pieces)
        .map(|parts| {
            let sums = parts.iter().fold(Sums::default(), |sum, part| Sums {
                both: sum.both + part.both,
                t: sum.t + part.t,
                p: sum.p + part.p,
            });
            evaluate(formula, sums)
        })
        .collect();
    let (upstream, scale) = (output.upstream, output.scale);
    let weight = |row: usize| upstream.and_then(|upstream| upstream.get(row)).map_or(F::ONE, |&weight| weight);
    // Values are computed in order; the gradient is written below, in parts of rows.
    let gradients = std::mem::take(&mut output.gradients);
    let layout = Layout { rows, values: 1, derivatives: 0, cost: 1 };
    let totals = run_parallel(layout, output, &Host::none(), |mut part| {
        let mut totals = LossTotals::default();
        let first = part.rows.start;
        for row in part.rows.clone() {
            write_value(&mut part, row - first, F::from_f64(results[row].0), weight(row), &mut totals);
        }
        totals
    });
    if let Some(Some(tensor)) = gradients.get_mut(1) {
        let gradient = tensor.floats_mut::<F>("the gradient")?;
        if gradient.len() != y_true.len() {
            return Err(Error::input("the memory for the gradient isn't as large as y_pred"));
        }
        let parts: Vec<_> = gradient
            .chunks_mut(columns)
            .flat_map(|row| row.chunks_mut(TASK_ELEMENTS))
            .map(|part| Mutex::new(Some(part)))
            .collect();
        host.parallel(parts.len(), |task| {
            let (row, start) = (task / pieces, task % pieces * TASK_ELEMENTS);
            let (_, derivative, offset) = results[row];
            if let Some(part) = parts[task].lock().unwrap_or_else(|poison| poison.into_inner()).take() {
                write_gradient(&y_true[row * columns + start..], derivative, offset, weight(row) * scale, part);
            }
        });
    }
    output.gradients = gradients;
    totals
}

/// Computes sums over arbitrary axes, element by element.
fn arbitrary_axes<F: Float>(
    formula: &impl OverlapLoss,
    shape: &[i64],
    summed: &[bool],
    y_true: &[F],
    y_pred: &[F],
    output: &mut LossOutput<'_, F>,
) -> Result<LossTotals> {
    // The stride of each axis in the output.
    let mut strides = vec![0; shape.len()];
    let mut rows = 1;
    for axis in (0..shape.len()).rev().filter(|&axis| !summed[axis]) {
        strides[axis] = rows;
        rows *= shape[axis] as usize;
    }
    let output_index = |mut flat: usize| {
        let mut output_index = 0;
        for (&length, stride) in shape.iter().zip(&strides).rev() {
            output_index += flat % length as usize * stride;
            flat /= length as usize;
        }
        output_index
    };
    let mut sums = vec![Sums::default(); rows];
    for (flat, (&t, &p)) in y_true.iter().zip(y_pred).enumerate() {
        let (sums, t, p) = (&mut sums[output_index(flat)], t.to_f64(), p.to_f64());
        *sums = Sums { both: sums.both + t * p, t: sums.t + t, p: sums.p + p };
    }
    let results: Vec<_> = sums.into_iter().map(|sums| evaluate(formula, sums)).collect();
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows: 1, values: rows, derivatives: y_pred.len(), cost: y_pred.len() };
    run_parallel(layout, output, &Host::none(), |mut part| {
        let mut totals = LossTotals::default();
        let weight = |row: usize| upstream.map_or(F::ONE, |upstream| upstream[row]);
        for (row, result) in results.iter().enumerate() {
            write_value(&mut part, row, F::from_f64(result.0), weight(row), &mut totals);
        }
        for (flat, target) in part.gradient.into_iter().flatten().enumerate() {
            let row = output_index(flat);
            let (_, derivative, offset) = results[row];
            write_gradient(&y_true[flat..=flat], derivative, offset, weight(row) * scale, std::slice::from_mut(target));
        }
        totals
    })
}
