//! Metrics that are the weighted mean of a value per row, which is computed by a [`MeanMetric`] or by a loss's formula.

use super::{
    arranged::{output_shape, Arranged},
    formulas,
    scratch::{Elements, Scratch},
};
use crate::{
    config::ComponentSpec,
    labels::check_range,
    loss::{ElementwiseLoss, LossInfo, LossOutput, LossTotals, RowLoss},
    metric::{Direction, Each, MeanMetric, Metric, MetricInfo, Outcome},
    walk::{numeric, per_sample, Weights},
    Config, Element, Host, Inputs, Plain, Result, Tensor,
};
use serde_json::{Map, Value};

/// The function whose values are averaged.
pub(crate) trait Values: Send + Sync + 'static {
    type Config: Config;
    fn new(config: Self::Config) -> Self;
    fn config(&self) -> &Self::Config;
    fn info(&self) -> MetricInfo;
    /// Returns the sums over a batch of weight times value, and of weight.
    fn sums(&self, inputs: &Inputs<'_>) -> Result<Total>;
}

/// A metric that is the weighted mean of `V`'s values.
pub(crate) struct Mean<V>(V);

/// The state of a [`Mean`].
#[plugfit_macros::state]
#[derive(Copy, Default)]
pub(crate) struct Total {
    value: f64,
    weight: f64,
}

impl<T: MeanMetric> Mean<OfRows<T>> {
    pub(crate) fn of_rows(metric: T) -> Self {
        Mean(OfRows(metric))
    }
}

impl<V: Values> Config for Mean<V> {
    const SPEC: ComponentSpec = V::Config::SPEC;
    fn from_json(config: &Map<String, Value>) -> Result<Self> {
        V::Config::from_json(config).map(|config| Mean(V::new(config)))
    }
    fn to_json(&self) -> Map<String, Value> {
        self.0.config().to_json()
    }
}

impl<V: Values> Metric for Mean<V> {
    type State = Total;
    fn info(&self) -> MetricInfo {
        self.0.info()
    }
    fn init(&self) -> Total {
        Total::default()
    }
    fn update(&self, state: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let sums = self.0.sums(inputs)?;
        self.merge(state, &sums)
    }
    fn merge(&self, state: &mut Total, other: &Total) -> Result<()> {
        state.value += other.value;
        state.weight += other.weight;
        Ok(())
    }
    fn result(&self, state: &Total) -> Result<Outcome> {
        Ok(Outcome::ratio(state.value, state.weight))
    }
}

/// The values of a [`MeanMetric`].
pub(crate) struct OfRows<T>(T);

impl<T: MeanMetric> Values for OfRows<T> {
    type Config = T;
    fn new(config: T) -> Self {
        OfRows(config)
    }
    fn config(&self) -> &T {
        &self.0
    }
    fn info(&self) -> MetricInfo {
        // Along axis 0 a line has elements of every row. The rank isn't known here, so an axis below -1 may be axis 0.
        let rows_independent = !matches!(self.0.each(), Each::Line(axis) if axis == 0 || axis < -1);
        // Ids aren't converted: rounding could turn an invalid id into that of a class.
        let ids = ["float32", "float64", "int32", "int64", "uint64", "uint8"].map(str::to_owned).to_vec();
        let dtypes = if self.0.each() == Each::ClassId { vec![ids, Vec::new()] } else { Vec::new() };
        let info = MetricInfo { dtypes, rows_independent, ..MetricInfo::new(T::DIRECTION) };
        MetricInfo { zero_weight_is_absent: rows_independent, ..info }
    }
    fn sums(&self, inputs: &Inputs<'_>) -> Result<Total> {
        let mut total = Total::default();
        let mut add = |y_true: &[f64], y_pred: &[f64], weight: f64| {
            // A value of weight 0 is ignored, even if it is NaN.
            if weight != 0.0 {
                total.value += weight * self.0.value(y_true, y_pred);
                total.weight += weight;
            }
        };
        self.0.check(inputs)?;
        let each = self.0.each();
        match each {
            Each::Row => inputs.for_each_row(add)?,
            Each::Element => inputs.for_each(|y_true, y_pred, weight| add(&[y_true], &[y_pred], weight))?,
            Each::ClassId => inputs.for_each_class_id(|id, y_pred, weight| add(&[id as f64], y_pred, weight))?,
            Each::Line(axis) => inputs.for_each_line(axis, add)?,
        }
        let many = inputs.values_per_sample(each)?;
        Ok(Total { value: total.value / many, weight: total.weight / many })
    }
}

/// The values of an [`ElementwiseLoss`].
pub(crate) struct OfElements<T>(T);

impl<T: ElementwiseLoss> Values for OfElements<T> {
    type Config = T;
    fn new(config: T) -> Self {
        OfElements(config)
    }
    fn config(&self) -> &T {
        &self.0
    }
    fn info(&self) -> MetricInfo {
        of_loss(self.0.info().along(Some(self.0.axis())))
    }
    fn sums(&self, inputs: &Inputs<'_>) -> Result<Total> {
        sums(
            inputs,
            Some(self.0.axis()),
            self.0.labels(),
            |inputs, output| formulas::elementwise(&self.0, inputs, output, &Host::none()),
            |y_true, y_pred| {
                let pairs = y_true.iter().zip(y_pred);
                let sum: f64 = pairs.map(|(&t, &p)| self.0.value(Plain(t), Plain(p)).0).sum();
                sum / y_true.len() as f64
            },
        )
    }
}

/// The values of a [`RowLoss`].
pub(crate) struct OfWholeRows<T>(T);

impl<T: RowLoss> Values for OfWholeRows<T> {
    type Config = T;
    fn new(config: T) -> Self {
        OfWholeRows(config)
    }
    fn config(&self) -> &T {
        &self.0
    }
    fn info(&self) -> MetricInfo {
        of_loss(self.0.info().along(self.0.axis()))
    }
    fn sums(&self, inputs: &Inputs<'_>) -> Result<Total> {
        sums(
            inputs,
            self.0.axis(),
            self.0.labels(),
            |inputs, output| formulas::rowwise(&self.0, inputs, output, &Host::none()),
            |y_true, y_pred| self.0.value(super::simd::plain(y_true), super::simd::plain(y_pred)).0,
        )
    }
}

fn of_loss(loss: LossInfo) -> MetricInfo {
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
    let (true_shape, pred_shape) = (y_true.shape(), y_pred.shape());
    // The mean of an empty row is undefined.
    if y_pred.is_empty() {
        return output_shape(inputs, axis).map(|_| Total::default());
    }
    if y_true.as_slice::<f64>().is_some() || y_pred.as_slice::<f64>().is_some() {
        let (y_true, y_pred) = (numbers(y_true, |value| value), numbers(y_pred, |value| value));
        let (y_true, y_pred) = (Tensor::new(&y_true, true_shape), Tensor::new(&y_pred, pred_shape));
        let tensors = [("y_true", y_true), ("y_pred", y_pred)];
        let inputs = Inputs::new(&tensors, inputs.weight(), None);
        in_double(&inputs, axis, labels, double)
    } else {
        let (y_true, y_pred) = (numbers(y_true, |value| value as f32), numbers(y_pred, |value| value as f32));
        let (y_true, y_pred) = (Tensor::new(&y_true, true_shape), Tensor::new(&y_pred, pred_shape));
        let tensors = [("y_true", y_true), ("y_pred", y_pred)];
        let inputs = Inputs::new(&tensors, inputs.weight(), None);
        in_single(&inputs, axis, single)
    }
}

/// Borrows a tensor's elements if they are of type `F`, and converts them otherwise.
fn numbers<'a, F: Element>(tensor: Tensor<'a>, convert: impl Fn(f64) -> F) -> Elements<'a, F> {
    match tensor.as_slice::<F>() {
        Some(slice) => Elements::Given(slice),
        None => {
            let mut converted = Scratch::of_length(tensor.len());
            let mut places = converted.iter_mut();
            tensor.for_each_f64(|value| {
                if let Some(place) = places.next() {
                    *place = convert(value);
                }
            });
            Elements::Made(converted)
        }
    }
}

fn in_single(
    inputs: &Inputs<'_>,
    axis: Option<i64>,
    formula: impl Fn(&Inputs<'_>, &mut LossOutput<'_>) -> Result<LossTotals>,
) -> Result<Total> {
    let shape = output_shape(inputs, axis)?;
    let weights = match inputs.weight() {
        None => None,
        Some(weight) if weight.len() == shape.count() && weight.as_slice::<f32>().is_some() => {
            weight.as_slice::<f32>().map(Elements::Given)
        }
        Some(weight) => {
            let weights = Weights::new(Some(weight), &shape)?;
            Some(Elements::Made(Scratch::of((0..shape.count()).map(|row| weights.get(row) as f32))))
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

fn in_double(
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
    for row in 0..arranged.rows {
        let elements = row * columns..(row + 1) * columns;
        let weight = weights.get(row);
        if weight == 0.0 {
            continue;
        }
        total.value += weight * formula(&arranged.y_true[elements.clone()], &arranged.y_pred[elements]);
        total.weight += weight;
    }
    let rows = per_sample(&shape, inputs.weight());
    Ok(Total { value: total.value / rows, weight: total.weight / rows })
}
