//! Metrics that are the weighted mean of a value per row.

use super::{mean_single, Direction, Each, MeanMetric, Metric, MetricInfo, Outcome};
use crate::{config::ComponentSpec, formula::Formula, Config, Inputs, Plain, Result, Row};
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// The values that are averaged, for components `T`.
pub(crate) trait Values<T>: Send + Sync + 'static {
    fn info(component: &T) -> MetricInfo;
    /// Returns the formula of a value.
    fn formula(component: &T) -> Result<Formula>;
    /// Returns the sums over a batch of weight times value, and of weight.
    fn sums(component: &T, inputs: &Inputs<'_>) -> Result<Total>;
    /// See [`Metric::can_split`].
    fn can_split(component: &T, rank: usize) -> bool;
    /// Returns the result for this mean.
    fn result(component: &T, mean: f64) -> f64 {
        let _ = component;
        mean
    }
}

/// A metric that is the weighted mean of the values `V` of a component.
pub(crate) struct Mean<T, V>(T, PhantomData<V>);

impl<T, V> Mean<T, V> {
    pub(crate) fn new(component: T) -> Self {
        Mean(component, PhantomData)
    }
}

/// The state of a [`Mean`].
#[plugfit_macros::state]
#[derive(Copy, Default)]
pub(crate) struct Total {
    pub(super) value: f64,
    pub(super) weight: f64,
}

impl<T: Config, V> Config for Mean<T, V> {
    const SPEC: ComponentSpec = T::SPEC;
    fn from_json(config: &Map<String, Value>) -> Result<Self> {
        T::from_json(config).map(Mean::new)
    }
    fn to_json(&self) -> Map<String, Value> {
        self.0.to_json()
    }
}

impl<T: Config + Send + Sync + 'static, V: Values<T>> Metric for Mean<T, V> {
    type State = Total;
    fn info(&self) -> MetricInfo {
        V::info(&self.0)
    }
    fn init(&self) -> Total {
        Total::default()
    }
    fn update(&self, state: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        self.merge(state, &V::sums(&self.0, inputs)?)
    }
    fn can_split(&self, rank: usize) -> bool {
        V::can_split(&self.0, rank)
    }
    fn merge(&self, state: &mut Total, other: &Total) -> Result<()> {
        state.value += other.value;
        state.weight += other.weight;
        Ok(())
    }
    fn formula(&self) -> Result<Formula> {
        V::formula(&self.0)
    }
    fn result(&self, state: &Total) -> Result<Outcome> {
        Ok(match Outcome::ratio(state.value, state.weight) {
            Outcome::Scalar(mean) => Outcome::Scalar(V::result(&self.0, mean)),
            undefined => undefined,
        })
    }
}

/// Whether a batch of these units may be split: a batch of rank 1 may be one line.
pub(super) fn can_split(each: Each, rank: usize) -> bool {
    match each {
        Each::Line(axis) => axis > 0 || axis == -1 && rank > 1,
        Each::Row | Each::Element | Each::ClassId => true,
    }
}

/// Returns the properties of a metric of these units.
pub(super) fn info_of(each: Each, direction: Direction) -> MetricInfo {
    // Along axis 0 a line has elements of every row. The rank isn't known here, so an axis below -1 may be axis 0.
    let rows_independent = !matches!(each, Each::Line(axis) if axis == 0 || axis < -1);
    // Ids aren't converted: rounding could turn an invalid id into that of a class.
    let ids = ["float32", "float64", "int32", "int64", "uint64", "uint8"].map(str::to_owned).to_vec();
    let dtypes = if each == Each::ClassId { vec![ids, Vec::new()] } else { Vec::new() };
    let info = MetricInfo { dtypes, rows_independent, ..MetricInfo::new(direction) };
    MetricInfo { zero_weight_is_absent: rows_independent, ..info }
}

/// The values of a [`MeanMetric`].
pub(crate) struct MeanMetricValues;

impl<T: MeanMetric> Values<T> for MeanMetricValues {
    fn info(metric: &T) -> MetricInfo {
        info_of(metric.each(), T::DIRECTION)
    }
    fn formula(metric: &T) -> Result<Formula> {
        Formula::of_result(metric.each(), |y_true, y_pred| metric.value(y_true, y_pred), |mean| metric.result(mean))
    }
    fn can_split(metric: &T, rank: usize) -> bool {
        can_split(metric.each(), rank)
    }
    fn result(metric: &T, mean: f64) -> f64 {
        metric.result(Plain(mean)).0
    }
    fn sums(metric: &T, inputs: &Inputs<'_>) -> Result<Total> {
        metric.check(inputs)?;
        let each = metric.each();
        let many = inputs.values_per_sample(each)?;
        let per_sample = |total: Total| Total { value: total.value / many, weight: total.weight / many };
        if let Some([value, weight]) = mean_single::sums(metric, inputs)? {
            return Ok(per_sample(Total { value, weight }));
        }
        let mut total = Total::default();
        let mut add = |y_true: &[f64], y_pred: &[f64], weight: f64| {
            // A value of weight 0 is ignored, even if it is NaN.
            if weight != 0.0 {
                total.value += weight * metric.value(Row::new(Plain::slice(y_true)), Row::new(Plain::slice(y_pred))).0;
                total.weight += weight;
            }
        };
        match each {
            Each::Row => inputs.for_each_row(add)?,
            Each::Element => inputs.for_each(|y_true, y_pred, weight| add(&[y_true], &[y_pred], weight))?,
            Each::ClassId => inputs.for_each_class_id(|id, y_pred, weight| add(&[id as f64], y_pred, weight))?,
            Each::Line(axis) => inputs.for_each_line(axis, add)?,
        }
        Ok(per_sample(total))
    }
}
