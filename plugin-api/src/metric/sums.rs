//! Metrics whose state is a vector of sums.

use super::{Direction, Each, Metric, MetricInfo, Outcome};
use crate::{
    config::ComponentSpec, formula::Formula, kernels::simd::plain, Config, Error, Inputs, Plain, Real, Result, Row,
};
use serde_json::{Map, Value};

/// How the terms of a [`SumMetric`] are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumLayout {
    /// The unit for which terms are computed.
    pub each: Each,
    /// The number of bins of each sum; 1: there are no bins.
    pub bins: usize,
    /// Whether each column of `y_pred` has sums of its own. The unit is then [`Each::Element`], and the inputs have two
    /// axes.
    pub by_column: bool,
    /// The number of bins or columns that have a result, from the first; `None`: all.
    pub result_length: Option<usize>,
}

impl SumLayout {
    /// Creates a layout without bins.
    pub const fn new(each: Each) -> Self {
        SumLayout { each, bins: 1, by_column: false, result_length: None }
    }

    /// Adds bins, of which there are at most 2^24.
    pub const fn with_bins(self, bins: usize) -> Self {
        SumLayout { bins, ..self }
    }
}

/// A number that is added to a sum.
#[derive(Clone, Copy, Debug)]
pub struct Term<R> {
    pub(crate) value: R,
    pub(crate) bin: Option<R>,
}

impl<R: Real> Term<R> {
    /// Creates a term of a sum with bins. A bin that is no whole number from 0 to the number of bins is ignored, with its
    /// value.
    #[inline(always)]
    pub fn in_bin(bin: R, value: R) -> Self {
        Term { value, bin: Some(bin) }
    }
}

impl<R: Real> From<R> for Term<R> {
    /// Creates a term of a sum without bins.
    #[inline(always)]
    fn from(value: R) -> Self {
        Term { value, bin: None }
    }
}

/// The `K` sums of a [`SumMetric`]: numbers, or rows of bins or columns.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a, R, const K: usize>([&'a [R]; K]);

/// One bin or column of each sum, among those before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Around<R, const K: usize> {
    /// The position, from 0.
    pub index: R,
    /// The totals of the bins before this one.
    pub before: [R; K],
    /// This bin.
    pub here: [R; K],
    /// The totals of the bins after this one.
    pub after: [R; K],
}

impl<'a, R: Real, const K: usize> Sums<'a, R, K> {
    /// Creates the sums from rows of equal lengths.
    pub fn new(sums: [&'a [R]; K]) -> Self {
        Sums(sums)
    }

    fn len(self) -> usize {
        self.0.iter().map(|sum| sum.len()).min().unwrap_or(0)
    }

    /// Returns the sums that are numbers.
    pub fn numbers(self) -> [R; K] {
        self.0.map(|sum| sum.first().copied().unwrap_or_else(|| R::from(0.0)))
    }

    /// Returns the bin or column at this position of each sum; NaN if there is none.
    pub fn get(self, position: usize) -> [R; K] {
        self.0.map(|sum| Row::new(sum).get(position))
    }

    /// Returns the number of bins or columns.
    pub fn count(self) -> R {
        R::row_len(self.len())
    }

    /// Returns the total over all bins or columns of each sum.
    pub fn totals(self) -> [R; K] {
        self.0.map(|sum| Row::new(sum).sum(|x| x))
    }

    /// Returns the sum of a number over all bins or columns.
    pub fn sum(self, term: impl Fn([R; K]) -> R) -> R {
        self.map(term).into_iter().fold(R::from(0.0), |sum, term| sum + term).row_sum()
    }

    /// Returns the greatest number of all bins or columns; NaN if one is NaN.
    pub fn max(self, term: impl Fn([R; K]) -> R) -> R {
        greatest(self.map(term))
    }

    /// Returns a number for each bin or column as the result.
    pub fn each(self, number: impl Fn([R; K]) -> R) -> SumResult<R> {
        SumResult { numbers: self.map(number), is_array: true, is_undefined: None }
    }

    /// Does the same as [`sum`](Self::sum) for a number that depends on the totals around each bin.
    pub fn sum_around(self, term: impl Fn(Around<R, K>) -> R) -> R {
        self.map_around(term).into_iter().fold(R::from(0.0), |sum, term| sum + term).row_sum()
    }

    /// Does the same as [`max`](Self::max) for a number that depends on the totals around each bin.
    pub fn max_around(self, term: impl Fn(Around<R, K>) -> R) -> R {
        greatest(self.map_around(term))
    }

    /// Does the same as [`each`](Self::each) for a number that depends on the totals around each bin.
    pub fn each_around(self, number: impl Fn(Around<R, K>) -> R) -> SumResult<R> {
        SumResult { numbers: self.map_around(number), is_array: true, is_undefined: None }
    }

    fn map(self, number: impl Fn([R; K]) -> R) -> Vec<R> {
        (0..self.len()).map(|i| number(self.0.map(|sum| sum[i]))).collect()
    }

    fn map_around(self, number: impl Fn(Around<R, K>) -> R) -> Vec<R> {
        let before = self.0.map(|sum| R::row_partial_sums(sum, false));
        let after = self.0.map(|sum| R::row_partial_sums(sum, true));
        let at = |i: usize| Around {
            index: R::row_index(i),
            before: std::array::from_fn(|k| before[k][i]),
            here: self.0.map(|sum| sum[i]),
            after: std::array::from_fn(|k| after[k][i]),
        };
        (0..self.len()).map(|i| number(at(i))).collect()
    }
}

fn greatest<R: Real>(numbers: Vec<R>) -> R {
    numbers.into_iter().fold(R::from(f64::NEG_INFINITY), |most, number| number.max(most)).row_max()
}

/// The result of a [`SumMetric`]: one number, or one for each bin or column.
#[derive(Clone, Debug)]
pub struct SumResult<R: Real> {
    pub(crate) numbers: Vec<R>,
    pub(crate) is_array: bool,
    pub(crate) is_undefined: Option<R::Mask>,
}

impl<R: Real> From<R> for SumResult<R> {
    fn from(number: R) -> Self {
        SumResult { numbers: vec![number], is_array: false, is_undefined: None }
    }
}

impl<R: Real> SumResult<R> {
    /// Returns `numerator / denominator`, which is undefined if the denominator is 0.
    pub fn ratio(numerator: R, denominator: R) -> Self {
        SumResult::from(numerator / denominator).undefined_if(denominator.eq(R::from(0.0)))
    }

    /// Makes the result undefined where the mask holds.
    #[must_use]
    pub fn undefined_if(self, mask: R::Mask) -> Self {
        SumResult { is_undefined: Some(mask), ..self }
    }
}

impl SumResult<Plain<f64>> {
    /// Returns the result of a metric.
    pub fn outcome(self, layout: &SumLayout) -> Outcome {
        if self.is_undefined == Some(true) {
            return Outcome::Undefined;
        }
        let mut numbers: Vec<f64> = self.numbers.into_iter().map(|number| number.0).collect();
        match numbers[..] {
            [number] if !self.is_array => Outcome::Scalar(number),
            _ => {
                numbers.truncate(layout.result_length.unwrap_or(usize::MAX));
                Outcome::row(numbers)
            }
        }
    }
}

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
            let terms = self.0.terms(Row::new(plain(y_true)), Row::new(plain(y_pred)));
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
        let rows = std::array::from_fn(|k| plain(&sums[k * length..][..length]));
        Ok(self.0.result(Sums::new(rows)).outcome(&layout))
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

#[cfg(test)]
mod tests;
