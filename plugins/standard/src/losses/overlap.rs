//! Dice and Tversky losses of soft or hard segmentation masks, with one value for each group of summed elements.

use super::{
    EPSILON,
    shared::{Layout, Part, TASK, add, axis_of, count, share},
};
use plugfit_api::{
    Float,
    config::{ConfigValue, ValueSpec},
    loss::LossTotals,
    prelude::*,
    serde_json::Value,
};
use std::sync::Mutex;

/// The sums of `y_true y_pred`, of `y_true` and of `y_pred` over a group of elements.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    both: f64,
    t: f64,
    p: f64,
}

/// A loss that depends on the three sums. Its derivative with respect to an element of `y_pred` is a linear function of
/// the same element of `y_true`.
trait OverlapLoss: Sync {
    /// Returns the value, and the factor and offset of that linear function.
    fn from_sums(&self, sums: Sums) -> (f64, f64, f64);
}

/// Dice loss: `1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred))`, 0 for a perfect match. Milletari et al. 2016.
#[derive(Clone, Debug, Config)]
#[config(example = r#"{"y_true": [[1, 0, 0.5]], "y_pred": [[0.9, 0.2, 0.3]], "gives": 0.2758621}"#)]
#[config(
    example = r#"{"config": {"axis": [0, 2]}, "y_true": [[[1, 0], [0, 1], [0, 0]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]]], "gives": [0.4117647, 0.3, 1]}"#
)]
#[config(
    example = r#"{"config": {"axis": [1, 2]}, "y_true": [[[1, 0], [0, 1], [0, 0]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]]], "gives": [0.4]}"#
)]
#[config(
    example = r#"{"config": {"axis": -1}, "y_true": [[1, 0], [0, 0]], "y_pred": [[0.5, 0.25], [0, 0]], "gives": [0.4285715, 1]}"#
)]
#[config(
    example = r#"{"y_true": [[1, 0], [0, 1]], "y_pred": [[0.5, 0.25], [0.125, 0.75]], "gives": 0.3103448, "gradient": [[-0.3614745, 0.1902497], [0.1902497, -0.3614745]]}"#
)]
#[config(
    example = r#"{"config": {"axis": [0, 2]}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0.5]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [0.5081967, 0.3658537, 0.9056604], "gradient": [[[-0.4944907, 0.161247], [0.1546698, -0.3331351], [0.07119969, 0.07119969]], [[0.161247, -0.4944907], [-0.3331351, 0.1546698], [0.07119969, -0.6835172]]]}"#
)]
#[config(
    example = r#"{"config": {"axis": [1]}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0.5]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [[0.5, 0.3], [0.4285714, 0.7368421]], "gradient": [[[-0.75, 0.35], [0.25, -0.65], [0.25, 0.35]], [[0.2721089, -0.731302], [-0.6802721, 0.1108033], [0.2721089, -0.3102493]]]}"#
)]
#[config(
    example = r#"{"y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0.5]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": 0.5014749, "gradient": [[[-0.1771652, 0.05882302], [0.05882302, -0.1771652], [0.05882302, 0.05882302]], [[0.05882302, -0.1771652], [-0.1771652, 0.05882302], [0.05882302, -0.05917107]]]}"#
)]
#[config(example = r#"{"config": {"axis": 2}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#)]
#[config(example = r#"{"config": {"axis": -3}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#)]
pub struct Dice {
    /// The axes that are summed, one or a list; null: all axes, which yields one value for the batch.
    #[config(default = None)]
    axis: Axes,
}

impl OverlapLoss for Dice {
    fn from_sums(&self, Sums { both, t, p }: Sums) -> (f64, f64, f64) {
        let size = t + p + EPSILON;
        (1.0 - 2.0 * both / size, -2.0 / size, 2.0 * both / (size * size))
    }
}

/// Tversky loss: `1 - TP / (TP + alpha FN + beta FP)`; with `alpha` and `beta` 0.5 it is Dice. Salehi et al. 2017.
///
/// `alpha` and `beta` follow the code and tests of Keras 3.15.1. Its documentation, the paper and Keras 3.16 exchange
/// them.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"config": {"alpha": 0.7, "beta": 0.3}, "y_true": [[1, 0, 0.5]], "y_pred": [[0.9, 0.2, 0.3]], "gives": 0.2857144}"#
)]
#[config(
    example = r#"{"config": {"axis": [1], "alpha": 0.6, "beta": 0.3}, "y_true": [[[1, 0], [0, 1], [0, 0]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]]], "gives": [[0.4736843, 0.2783507]]}"#
)]
#[config(
    example = r#"{"config": {"alpha": 0.6, "beta": 0.3}, "y_true": [[1, 0], [0, 1]], "y_pred": [[0.5, 0.25], [0.125, 0.75]], "gives": 0.3103449, "gradient": [[-0.3995243, 0.1141498], [0.1141498, -0.3995243]]}"#
)]
#[config(
    example = r#"{"config": {"axis": [0], "alpha": 0.6, "beta": 0.3}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0.5]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [[0.3975905, 0.6710527], [0.3548388, 0.3203884], [1, 0.832776]], "gradient": [[[-0.9145013, 0.1298476], [0.2081165, -0.706947], [0, 0.1342266]], [[0.2177383, -1.142659], [-0.79778, 0.1979451], [0, -1.181194]]]}"#
)]
#[config(
    example = r#"{"config": {"axis": [1, 2], "alpha": 0.6, "beta": 0.3}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0.5]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [0.3750001, 0.5821408], "gradient": [[[-0.3906249, 0.09765625], [0.09765625, -0.3906249], [0.09765625, 0.09765625]], [[0.05740481, -0.3813881], [-0.3813881, 0.05740481], [0.05740481, -0.1619917]]]}"#
)]
pub struct Tversky {
    /// The weight of false negatives, which are in `y_true` but not in `y_pred`.
    #[config(default = 0.5)]
    alpha: f64,
    /// The weight of false positives, which are in `y_pred` but not in `y_true`.
    #[config(default = 0.5)]
    beta: f64,
    /// The axes that are summed, one or a list; null: all axes, which yields one value for the batch.
    #[config(default = None)]
    axis: Axes,
}

impl OverlapLoss for Tversky {
    fn from_sums(&self, Sums { both, t, p }: Sums) -> (f64, f64, f64) {
        let (false_positives, false_negatives) = (p - both, t - both);
        let size = both + self.alpha * false_negatives + self.beta * false_positives + EPSILON;
        // d both = t, d false positives = 1 - t, d false negatives = -t.
        let ratio = both / size;
        (1.0 - ratio, (ratio * (1.0 - self.alpha - self.beta) - 1.0) / size, ratio * self.beta / size)
    }
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

fn output_shape(axes: &Axes, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
    let shape = common_shape(inputs)?;
    let summed = axes.summed(shape)?;
    Ok(shape.iter().zip(summed).filter(|(_, summed)| !summed).map(|(&length, _)| length).collect())
}

fn sums<F: Float>(y_true: &[F], y_pred: &[F]) -> Sums {
    const LANES: usize = 8;
    let mut lanes = [[0.0f64; LANES]; 3];
    let n = y_true.len().min(y_pred.len());
    let mut add_element = |k: usize, t: F, p: F| {
        let (t, p) = (t.exact(), p.exact());
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
    let (derivative, offset) = (F::rounded(derivative * factor.exact()), F::rounded(offset * factor.exact()));
    for (target, t) in gradient.iter_mut().zip(y_true) {
        *target = derivative * *t + offset;
    }
}

fn call<F: Float>(
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
    let (rows, columns) = (count(&shape[..kept]), count(&shape[kept..]));
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows, values: 1, derivatives: columns, cost: columns };
    if columns > TASK {
        return divided_rows(formula, layout, y_true, y_pred, output, host);
    }
    share(layout, output, host, |mut part: Part<'_, F>| {
        let mut totals = LossTotals::default();
        let first = part.rows.start;
        for row in part.rows.clone() {
            let (y_true, y_pred) = (&y_true[row * columns..][..columns], &y_pred[row * columns..][..columns]);
            let (value, derivative, offset) = formula.from_sums(sums(y_true, y_pred));
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
            write_value(&mut part, row - first, F::rounded(value), upstream, &mut totals);
        }
        totals
    })
}

fn write_value<F: Float>(part: &mut Part<'_, F>, at: usize, value: F, upstream: F, totals: &mut LossTotals) {
    if let Some(values) = part.values.as_deref_mut() {
        values[at] = value;
    }
    if let Some(valid) = part.valid.as_deref_mut() {
        valid[at] = F::ONE;
    }
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
    let pieces = columns.div_ceil(TASK);
    let partial: Vec<Mutex<Sums>> = (0..rows * pieces).map(|_| Mutex::default()).collect();
    host.parallel(partial.len(), |task| {
        let (row, start) = (task / pieces, task % pieces * TASK);
        let range = row * columns + start..row * columns + columns.min(start + TASK);
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
            formula.from_sums(sums)
        })
        .collect();
    let (upstream, scale) = (output.upstream, output.scale);
    let weight = |row: usize| upstream.and_then(|upstream| upstream.get(row)).map_or(F::ONE, |&weight| weight);
    // Values are computed in order; the gradient is written below, in parts of rows.
    let gradients = std::mem::take(&mut output.gradients);
    let layout = Layout { rows, values: 1, derivatives: 0, cost: 1 };
    let totals = share(layout, output, &Host::none(), |mut part| {
        let mut totals = LossTotals::default();
        let first = part.rows.start;
        for row in part.rows.clone() {
            write_value(&mut part, row - first, F::rounded(results[row].0), weight(row), &mut totals);
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
            .flat_map(|row| row.chunks_mut(TASK))
            .map(|part| Mutex::new(Some(part)))
            .collect();
        host.parallel(parts.len(), |task| {
            let (row, start) = (task / pieces, task % pieces * TASK);
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
        let (sums, t, p) = (&mut sums[output_index(flat)], t.exact(), p.exact());
        *sums = Sums { both: sums.both + t * p, t: sums.t + t, p: sums.p + p };
    }
    let results: Vec<_> = sums.into_iter().map(|sums| formula.from_sums(sums)).collect();
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows: 1, values: rows, derivatives: y_pred.len(), cost: y_pred.len() };
    share(layout, output, &Host::none(), |mut part| {
        let mut totals = LossTotals::default();
        let weight = |row: usize| upstream.map_or(F::ONE, |upstream| upstream[row]);
        for (row, result) in results.iter().enumerate() {
            write_value(&mut part, row, F::rounded(result.0), weight(row), &mut totals);
        }
        for (flat, target) in part.gradient.into_iter().flatten().enumerate() {
            let row = output_index(flat);
            let (_, derivative, offset) = results[row];
            write_gradient(&y_true[flat..=flat], derivative, offset, weight(row) * scale, std::slice::from_mut(target));
        }
        totals
    })
}

macro_rules! losses {
    ($($name:ident),*) => {$(
        impl Loss for $name {
            fn info(&self) -> LossInfo {
                // Rows are independent if the first axis isn't summed. A negative axis may be the first one, depending
                // on the rank.
                let rows_independent = match &self.axis {
                    Axes::All => false,
                    Axes::One(axis) => *axis > 0,
                    Axes::List(axes) => axes.iter().all(|axis| *axis > 0),
                };
                LossInfo { rows_independent, float64: true, ..LossInfo::default() }
            }

            fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
                output_shape(&self.axis, inputs)
            }

            fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
                call(self, &self.axis, inputs, output, host)
            }

            fn call_f64(
                &self,
                inputs: &Inputs<'_>,
                output: &mut LossOutput<'_, f64>,
                host: &Host<'_>,
            ) -> Result<LossTotals> {
                call(self, &self.axis, inputs, output, host)
            }
        }
    )*};
}
losses! { Dice, Tversky }

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::call, *};

    #[test]
    fn a_perfect_match_costs_0_and_a_disjoint_one_1() {
        let dice = Dice { axis: Axes::All };
        let perfect = call(&dice, (&[1.0f32, 0.0, 1.0], &[3]), (&[1.0, 0.0, 1.0], &[3])).unwrap();
        assert!(perfect.shape.is_empty() && perfect.values[0].abs() < 1e-6);
        let disjoint = call(&dice, (&[1.0f32, 0.0], &[2]), (&[0.0, 1.0], &[2, 1])).unwrap();
        assert_eq!(disjoint.values, [1.0]);
        assert!((disjoint.gradient[0] + 1.0).abs() < 1e-6 && disjoint.gradient[1] == 0.0);
    }

    #[test]
    fn alpha_weights_false_negatives_and_beta_false_positives() {
        let tversky = |alpha, beta| Tversky { alpha, beta, axis: Axes::All };
        // One true positive, two false positives, no false negative.
        let y = ((&[1.0f32, 0.0, 0.0][..], &[3i64][..]), (&[1.0f32, 1.0, 1.0][..], &[3i64][..]));
        assert!(call(&tversky(1.0, 0.0), y.0, y.1).unwrap().values[0].abs() < 1e-6);
        assert!((call(&tversky(0.0, 1.0), y.0, y.1).unwrap().values[0] - 2.0 / 3.0).abs() < 1e-6);
        // Numbers from the tests of Keras 3.15.1.
        let y = ((&[1.0f32, 2.0, 1.0, 2.0][..], &[2i64, 2][..]), (&[4.0f32, 1.0, 6.0, 1.0][..], &[2i64, 2][..]));
        assert!((call(&tversky(0.2, 0.8), y.0, y.1).unwrap().values[0] + 0.296_296_36).abs() < 1e-6);
        let y = ((&[1.0f32, 0.0, 0.0][..], &[3i64][..]), (&[1.0f32, 1.0, 1.0][..], &[3i64][..]));
        let dice = call(&Dice { axis: Axes::All }, y.0, y.1).unwrap();
        let half = call(&tversky(0.5, 0.5), y.0, y.1).unwrap();
        assert!((dice.values[0] - half.values[0]).abs() < 1e-6);
        assert!(dice.gradient.iter().zip(&half.gradient).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn all_summation_paths_agree() {
        let n = 3 * 40_000;
        let y_true: Vec<f32> = (0..n).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
        let y_pred: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin().abs()).collect();
        let loss = |axis| Tversky { alpha: 0.3, beta: 0.6, axis };
        // Rows divided between threads, and their transpose with the summed axis first.
        let shape = [3, 40_000];
        let rows = call(&loss(Axes::One(1)), (&y_true, &shape), (&y_pred, &shape)).unwrap();
        let turn = |y: &[f32]| (0..n).map(|i| y[i % 3 * 40_000 + i / 3]).collect::<Vec<_>>();
        let turned = [40_000, 3];
        let columns = call(&loss(Axes::List(vec![-2])), (&turn(&y_true), &turned), (&turn(&y_pred), &turned)).unwrap();
        for (a, b) in rows.values.iter().zip(&columns.values) {
            assert!((a - b).abs() < 1e-6);
        }
        for (a, b) in turn(&rows.gradient).iter().zip(&columns.gradient) {
            assert!((a - b).abs() <= 1e-6 * a.abs());
        }
        // Short rows.
        let short = [40_000, 3];
        let called = call(&loss(Axes::One(-1)), (&y_true, &short), (&y_pred, &short)).unwrap();
        let alone = call(&loss(Axes::All), (&y_true[..3], &[3]), (&y_pred[..3], &[3])).unwrap();
        assert_eq!(called.values[0], alone.values[0]);
        assert_eq!(called.gradient[..3], alone.gradient);
    }

    #[test]
    fn missing_and_duplicate_axes_are_errors() {
        let y = ((&[1.0f32, 0.0][..], &[2i64, 1][..]), (&[1.0f32, 1.0][..], &[2i64, 1][..]));
        for axis in [Axes::One(2), Axes::List(vec![0, -2])] {
            assert!(call(&Dice { axis }, y.0, y.1).is_err());
        }
        assert!(call(&Dice { axis: Axes::All }, (&[1.0f32], &[1]), y.1).is_err());
    }
}
