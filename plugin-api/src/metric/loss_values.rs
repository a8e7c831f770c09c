//! The values of a loss's formula, for a metric that is their weighted mean.

use super::{
    mean::{Total, Values},
    Direction, MetricInfo,
};
use crate::{
    formula::Formula,
    kernels::{
        arranged::{output_shape, Arranged},
        scratch::{Elements, Scratch},
    },
    labels::check_range,
    loss::{elementwise, recorded, rowwise, ElementwiseLoss, LossInfo, LossOutput, LossTotals, RowLoss},
    numeric::numeric,
    weights::{per_sample, Weights},
    Element, Host, Inputs, Plain, Result, Row, Tensor,
};

/// The values of an [`ElementwiseLoss`].
pub(crate) struct ElementwiseLossValues;

impl<T: ElementwiseLoss> Values<T> for ElementwiseLossValues {
    fn info(loss: &T) -> MetricInfo {
        metric_info(loss.info().along(Some(loss.axis())))
    }
    fn formula(loss: &T) -> Result<Formula> {
        recorded::elementwise_loss(loss)
    }
    fn can_split(loss: &T, rank: usize) -> bool {
        loss.info().along(Some(loss.axis())).rows_independent && rank > 1
    }
    fn sums(loss: &T, inputs: &Inputs<'_>) -> Result<Total> {
        sums(
            inputs,
            Some(loss.axis()),
            loss.labels(),
            |inputs, output| elementwise(loss, inputs, output, &Host::none()),
            |y_true, y_pred| {
                let pairs = y_true.iter().zip(y_pred);
                let sum: f64 = pairs.map(|(&t, &p)| loss.value(Plain(t), Plain(p)).0).sum();
                sum / y_true.len() as f64
            },
        )
    }
}

/// The values of a [`RowLoss`].
pub(crate) struct RowLossValues;

impl<T: RowLoss> Values<T> for RowLossValues {
    fn info(loss: &T) -> MetricInfo {
        metric_info(loss.info().along(loss.axis()))
    }
    fn formula(loss: &T) -> Result<Formula> {
        loss.formula()
    }
    fn can_split(loss: &T, rank: usize) -> bool {
        loss.info().along(loss.axis()).rows_independent && rank > 1
    }
    fn sums(loss: &T, inputs: &Inputs<'_>) -> Result<Total> {
        sums(
            inputs,
            loss.axis(),
            loss.labels(),
            |inputs, output| rowwise(loss, inputs, output, &Host::none()),
            |y_true, y_pred| loss.value(Row::new(Plain::slice(y_true)), Row::new(Plain::slice(y_pred))).0,
        )
    }
}

fn metric_info(loss: LossInfo) -> MetricInfo {
    let rows_independent = loss.rows_independent;
    MetricInfo { rows_independent, zero_weight_is_absent: rows_independent, ..MetricInfo::new(Direction::Minimize) }
}

/// Sums a formula over a batch: in float64 if an input is float64, else by the loss's own loop in float32.
fn sums(
    inputs: &Inputs<'_>,
    axis: Option<i64>,
    labels: Option<(f64, f64)>,
    single: impl Fn(&Inputs<'_>, &mut LossOutput<'_>) -> Result<LossTotals>,
    double: impl Fn(&[f64], &[f64]) -> f64,
) -> Result<Total> {
    let (y_true, y_pred) = (numeric(inputs.y_true()?, "y_true")?, numeric(inputs.y_pred()?, "y_pred")?);
    // The mean of an empty row is undefined.
    if y_pred.is_empty() {
        return output_shape(inputs, axis).map(|_| Total::default());
    }
    if y_true.as_slice::<f64>().is_some() || y_pred.as_slice::<f64>().is_some() {
        with_numbers(inputs, |value| value, |inputs| sums_in_double(inputs, axis, labels, double))
    } else {
        with_numbers(inputs, |value| value as f32, |inputs| sums_in_single(inputs, axis, single))
    }
}

/// Calls `f` with the inputs as numbers of type `F`.
fn with_numbers<F: Element>(
    inputs: &Inputs<'_>,
    convert: impl Fn(f64) -> F,
    f: impl FnOnce(&Inputs<'_>) -> Result<Total>,
) -> Result<Total> {
    let given = [inputs.y_true()?, inputs.y_pred()?];
    let [y_true, y_pred] = given.map(|tensor| numbers(tensor, &convert));
    let tensors =
        [("y_true", Tensor::new(&y_true, given[0].shape())), ("y_pred", Tensor::new(&y_pred, given[1].shape()))];
    f(&Inputs::new(&tensors, inputs.weight(), None))
}

/// Borrows a tensor's elements if they are of type `F`, and converts them otherwise.
fn numbers<'a, F: Element>(tensor: Tensor<'a>, convert: impl Fn(f64) -> F) -> Elements<'a, F> {
    match tensor.as_slice::<F>() {
        Some(slice) => Elements::Borrowed(slice),
        None => {
            let mut converted = Scratch::of_length(tensor.len());
            let mut places = converted.iter_mut();
            tensor.for_each_f64(|value| {
                if let Some(place) = places.next() {
                    *place = convert(value);
                }
            });
            Elements::Copied(converted)
        }
    }
}

fn sums_in_single(
    inputs: &Inputs<'_>,
    axis: Option<i64>,
    formula: impl Fn(&Inputs<'_>, &mut LossOutput<'_>) -> Result<LossTotals>,
) -> Result<Total> {
    let shape = output_shape(inputs, axis)?;
    let weights = match inputs.weight() {
        None => None,
        Some(weight) if weight.len() == shape.count() && weight.as_slice::<f32>().is_some() => {
            weight.as_slice::<f32>().map(Elements::Borrowed)
        }
        Some(weight) => {
            let mut weights = Weights::new(Some(weight), &shape)?.in_order(shape.count());
            Some(Elements::Copied(Scratch::of((0..shape.count()).map(|_| weights.next() as f32))))
        }
    };
    let mut output =
        LossOutput { values: None, valid: None, gradients: &mut [], upstream: weights.as_deref(), scale: 1.0 };
    let totals = formula(inputs, &mut output)?;
    let rows = per_sample(&shape, inputs.weight());
    Ok(Total {
        value: totals.value / rows,
        weight: if weights.is_some() { totals.weight } else { totals.count } / rows,
    })
}

fn sums_in_double(
    inputs: &Inputs<'_>,
    axis: Option<i64>,
    labels: Option<(f64, f64)>,
    formula: impl Fn(&[f64], &[f64]) -> f64,
) -> Result<Total> {
    let shape = output_shape(inputs, axis)?;
    let weights = Weights::new(inputs.weight(), &shape)?;
    let arranged = Arranged::<f64>::new(inputs, axis)?;
    if let Some(range) = labels {
        check_range(&arranged, &inputs.y_true()?, range, |row| weights.get(row) == 0.0)?;
    }
    let columns = arranged.columns;
    let mut total = Total::default();
    let mut weights = weights.in_order(arranged.rows);
    for row in 0..arranged.rows {
        let elements = row * columns..(row + 1) * columns;
        let weight = weights.next();
        if weight == 0.0 {
            continue;
        }
        total.value += weight * formula(&arranged.y_true[elements.clone()], &arranged.y_pred[elements]);
        total.weight += weight;
    }
    let rows = per_sample(&shape, inputs.weight());
    Ok(Total { value: total.value / rows, weight: total.weight / rows })
}
