//! Metrics whose state is a vector of sums.

use super::{Direction, Each, Metric, MetricInfo, Outcome};
use crate::{
    config::ComponentSpec,
    formula::Formula,
    sums::{SumLayout, SumResult, Sums, Term},
    Config, Error, Inputs, Plain, Real, Result, Row,
};
use serde_json::{Map, Value};

/// A metric whose state is a vector of `K` weighted sums, and whose result is a formula of them: counts and their
/// ratios, histograms, confusion counts.
///
/// Only the terms and the result are implemented; weights, merging, saving and the recorded formula are provided. An
/// engine that runs the formula holds the sums as its own variables. Write [`#[formula]`](macro@crate::formula) before
/// the `impl`.
pub trait SumMetric<const K: usize>: Config + Send + Sync + 'static {
    /// Whether greater or smaller values of the metric are better.
    const DIRECTION: Direction;

    /// The names of the sums.
    const SUMS: [&'static str; K];

    /// Returns how the terms are summed. It may depend on the configuration only.
    fn layout(&self) -> SumLayout;

    /// Checks the inputs of a batch before the first term is computed. [`Inputs::check_labels`] is such a check.
    ///
    /// # Errors
    /// Returns an error if the metric isn't defined for the inputs.
    fn check(&self, inputs: &Inputs<'_>) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// Computes the terms of one [unit](SumLayout::each), in float64. Each is multiplied by the weight of the unit and
    /// added to its sum. It isn't called for weight 0. The rows are those of
    /// [`MeanMetric::value`](super::MeanMetric::value). If an input is NaN, a term must be NaN that reaches the result.
    fn terms<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> [Term<R>; K];

    /// Computes the result from the sums.
    fn result<R: Real>(&self, sums: Sums<'_, R, K>) -> SumResult<R>;
}

/// A [`SumMetric`] as a [`Metric`].
pub(crate) struct BySums<T, const K: usize>(T);

impl<T, const K: usize> BySums<T, K> {
    pub(crate) fn new(metric: T) -> Self {
        BySums(metric)
    }
}

impl<T: Config, const K: usize> Config for BySums<T, K> {
    const SPEC: ComponentSpec = T::SPEC;
    fn from_json(config: &Map<String, Value>) -> Result<Self> {
        T::from_json(config).map(BySums)
    }
    fn to_json(&self) -> Map<String, Value> {
        self.0.to_json()
    }
}

/// The sums of all batches, one after the other; empty before the first batch.
#[plugfit_macros::state]
#[derive(Default)]
pub(crate) struct State {
    sums: Vec<f64>,
}

impl<T: SumMetric<K>, const K: usize> BySums<T, K> {
    /// Sets the number of columns of a state.
    fn resize(&self, state: &mut State, columns: usize) -> Result<()> {
        let SumLayout { bins, by_column, .. } = self.0.layout();
        let columns = if by_column { columns } else { 1 };
        let length = K * bins * columns;
        if state.sums.is_empty() {
            state.sums.resize(length, 0.0);
        }
        match state.sums.len() == length {
            true => Ok(()),
            false => {
                let known = state.sums.len() / (K * bins);
                Err(Error::input(format!("y_pred has {columns} columns, and {known} until now")))
            }
        }
    }
}

impl<T: SumMetric<K>, const K: usize> Metric for BySums<T, K> {
    type State = State;

    fn info(&self) -> MetricInfo {
        super::mean::info_of(self.0.layout().each, T::DIRECTION)
    }

    fn init(&self) -> State {
        State::default()
    }

    fn update(&self, state: &mut State, inputs: &Inputs<'_>) -> Result<()> {
        self.0.check(inputs)?;
        let SumLayout { each, bins, by_column, .. } = self.0.layout();
        let y_pred = inputs.y_pred()?;
        if by_column && (y_pred.rank() != 2 || each != Each::Element) {
            return Err(Error::input(format!("y_pred has the shape [rows, columns], not {:?}", y_pred.shape())));
        }
        let columns = if by_column { y_pred.rows_and_columns().1 } else { 1 };
        self.resize(state, columns)?;
        let (length, mut column) = (bins * columns, 0);
        let sums = &mut state.sums;
        // Inputs that don't fit are refused before the first call.
        let mut add = |y_true: &[f64], y_pred: &[f64], weight: f64| {
            let here = column;
            column = if here + 1 == columns { 0 } else { here + 1 };
            if weight == 0.0 {
                return;
            }
            let terms = self.0.terms(Row::new(Plain::slice(y_true)), Row::new(Plain::slice(y_pred)));
            for (k, term) in terms.into_iter().enumerate() {
                let bin = term.bin.map_or(0.0, |bin| bin.0);
                if bin >= 0.0 && bin < bins as f64 && bin.trunc() == bin {
                    sums[k * length + here * bins + bin as usize] += weight * term.value.0;
                }
            }
        };
        match each {
            Each::Row => inputs.for_each_row(add)?,
            Each::Element => inputs.for_each(|y_true, y_pred, weight| add(&[y_true], &[y_pred], weight))?,
            Each::ClassId => inputs.for_each_class_id(|id, y_pred, weight| add(&[id as f64], y_pred, weight))?,
            Each::Line(axis) => inputs.for_each_line(axis, add)?,
        }
        Ok(())
    }

    fn can_split(&self, rank: usize) -> bool {
        super::mean::can_split(self.0.layout().each, rank)
    }

    fn merge(&self, state: &mut State, other: &State) -> Result<()> {
        if state.sums.is_empty() {
            state.sums.clone_from(&other.sums);
        } else if !other.sums.is_empty() {
            if state.sums.len() != other.sums.len() {
                return Err(Error::state("the states have different numbers of columns"));
            }
            state.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| *sum += other);
        }
        Ok(())
    }

    fn result(&self, state: &State) -> Result<Outcome> {
        let layout = self.0.layout();
        if state.sums.is_empty() && layout.by_column {
            return Ok(Outcome::Undefined);
        }
        let empty = vec![0.0; K * layout.bins];
        let sums = if state.sums.is_empty() { &empty } else { &state.sums };
        let length = sums.len() / K.max(1);
        let rows = std::array::from_fn(|k| Plain::slice(&sums[k * length..][..length]));
        Ok(outcome(self.0.result(Sums::new(rows)), &layout))
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_sums(
            T::SUMS,
            &self.0.layout(),
            |y_true, y_pred| self.0.terms(y_true, y_pred),
            |sums| self.0.result(sums),
        )
    }
}

/// Converts the result of a metric.
fn outcome(result: SumResult<Plain<f64>>, layout: &SumLayout) -> Outcome {
    if result.is_undefined == Some(true) {
        return Outcome::Undefined;
    }
    let mut numbers: Vec<f64> = result.numbers.into_iter().map(|number| number.0).collect();
    match numbers[..] {
        [number] if !result.is_array => Outcome::Scalar(number),
        _ => {
            numbers.truncate(layout.result_length.unwrap_or(usize::MAX));
            Outcome::row(numbers)
        }
    }
}

#[cfg(test)]
mod tests;
