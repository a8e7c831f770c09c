//! Metrics, most of which violate a law.

use plugfit_api::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state of these metrics: the sum of squares, its weight, and more numbers for some of them.
#[state]
#[derive(Default)]
pub struct SquareSum {
    pub sum: f64,
    weight: f64,
    more: Vec<f64>,
}

/// A mean of squares whose default methods are correct. Broken metrics override some of them.
pub trait MeanSquare: Config + Send + Sync + 'static {
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Minimize)
    }
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        Ok(())
    }
    fn init(&self) -> SquareSum {
        SquareSum::default()
    }
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        add(state, inputs)
    }
    fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
        merge(state, other)
    }
    fn result(&self, state: &SquareSum) -> Result<Outcome> {
        result(state)
    }
}

pub fn merge(state: &mut SquareSum, other: &SquareSum) -> Result<()> {
    state.sum += other.sum;
    state.weight += other.weight;
    Ok(())
}

pub fn result(state: &SquareSum) -> Result<Outcome> {
    Ok(Outcome::ratio(state.sum, state.weight))
}

pub fn add(state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
    if inputs.y_true()?.shape() != inputs.y_pred()?.shape() {
        return Err(Error::input("y_true and y_pred have the same shape"));
    }
    inputs.for_each_row(|y_true, y_pred, weight| {
        // A row with weight 0 may be NaN.
        if weight != 0.0 {
            state.sum += weight * square(y_true, y_pred);
            state.weight += weight;
        }
    })
}

fn square(y_true: &[f64], y_pred: &[f64]) -> f64 {
    y_true.iter().zip(y_pred).map(|(t, p)| (p - t).powi(2)).sum()
}

macro_rules! metrics {
    ($($name:ident),* $(,)?) => {
        $(impl Metric for $name {
            type State = SquareSum;
            fn info(&self) -> MetricInfo {
                MeanSquare::info(self)
            }
            fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
                MeanSquare::prepare(self, host)
            }
            fn init(&self) -> SquareSum {
                MeanSquare::init(self)
            }
            fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
                MeanSquare::update(self, state, inputs)
            }
            fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
                MeanSquare::merge(self, state, other)
            }
            fn result(&self, state: &SquareSum) -> Result<Outcome> {
                MeanSquare::result(self, state)
            }
        })*
    };
}
pub(crate) use metrics;

metrics! {
    GoodMetric, MergesToTheMiddle, KeepsThroughReset, NanResult, WrongShape, Grows, CountsCalls, WrongDirection,
    CountsWeightless, Allocates, KeepsAPart, LosesNan, WeighsNan,
}

/// Satisfies every law.
#[derive(Config)]
pub struct GoodMetric;

impl MeanSquare for GoodMetric {}

/// Merges two states into their mean, regardless of their weights.
#[derive(Config)]
pub struct MergesToTheMiddle;

impl MeanSquare for MergesToTheMiddle {
    fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
        state.sum = (state.sum / state.weight + other.sum / other.weight) / 2.0;
        state.weight = 1.0;
        Ok(())
    }
}

/// Rejects a batch with a NaN prediction, but leaves its state changed.
#[derive(Config)]
pub struct KeepsAPart;

impl MeanSquare for KeepsAPart {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        add(state, inputs)?;
        if state.sum.is_nan() {
            state.sum = 0.0;
            return Err(Error::input("y_pred isn't a number"));
        }
        Ok(())
    }
}

/// A state that is saved only in part.
#[state]
#[derive(Default)]
pub struct HalfSaved {
    sum: f64,
    #[serde(skip)]
    weight: f64,
}

/// Loses a part of its state when it is saved.
#[derive(Config)]
pub struct ForgetsInSaving;

impl Metric for ForgetsInSaving {
    type State = HalfSaved;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Minimize)
    }
    fn init(&self) -> HalfSaved {
        HalfSaved::default()
    }
    fn update(&self, state: &mut HalfSaved, inputs: &Inputs<'_>) -> Result<()> {
        let mut whole = SquareSum { sum: state.sum, weight: state.weight, more: Vec::new() };
        add(&mut whole, inputs)?;
        *state = HalfSaved { sum: whole.sum, weight: whole.weight };
        Ok(())
    }
    fn merge(&self, state: &mut HalfSaved, other: &HalfSaved) -> Result<()> {
        state.sum += other.sum;
        state.weight += other.weight;
        Ok(())
    }
    fn result(&self, state: &HalfSaved) -> Result<Outcome> {
        Ok(Outcome::ratio(state.sum, state.weight))
    }
}

/// Initialises a state with the last sum of the previous one.
#[derive(Config)]
pub struct KeepsThroughReset {
    #[config(skip)]
    last: AtomicU64,
}

impl MeanSquare for KeepsThroughReset {
    fn init(&self) -> SquareSum {
        SquareSum { sum: f64::from_bits(self.last.load(Ordering::Relaxed)), ..SquareSum::default() }
    }
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        add(state, inputs)?;
        self.last.store(state.sum.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// Returns NaN if there are no rows.
#[derive(Config)]
pub struct NanResult;

impl MeanSquare for NanResult {
    fn result(&self, state: &SquareSum) -> Result<Outcome> {
        Ok(Outcome::Scalar(state.sum / state.weight))
    }
}

/// Returns one number with the shape `[7]`.
#[derive(Config)]
pub struct WrongShape;

impl MeanSquare for WrongShape {
    fn result(&self, state: &SquareSum) -> Result<Outcome> {
        Ok(Outcome::Array { shape: vec![7], values: vec![state.sum] })
    }
}

/// Stores a number for each batch, and declares that its state is bounded.
#[derive(Config)]
pub struct Grows;

impl MeanSquare for Grows {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        add(state, inputs)?;
        state.more.push(state.sum);
        Ok(())
    }
}

/// Weights batches instead of rows.
#[derive(Config)]
pub struct CountsCalls;

impl MeanSquare for CountsCalls {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        let calls = state.weight + 1.0;
        add(state, inputs)?;
        state.weight = calls;
        Ok(())
    }
}

/// Declares that a greater error is better.
#[derive(Config)]
pub struct WrongDirection;

impl MeanSquare for WrongDirection {
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Maximize)
    }
}

/// Counts rows with weight 0 as if they had weight 1.
#[derive(Config)]
pub struct CountsWeightless;

impl MeanSquare for CountsWeightless {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        add(&mut *state, &Inputs::new(inputs.tensors(), None, None))
    }
}

/// Allocates memory in every update.
#[derive(Config)]
pub struct Allocates;

impl MeanSquare for Allocates {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        std::hint::black_box(vec![state.sum; 3]);
        add(state, inputs)
    }
}

/// The greatest error, computed by a comparison that drops NaN.
#[derive(Config)]
pub struct LosesNan;

impl MeanSquare for LosesNan {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                state.sum = state.sum.max((y_pred - y_true).abs());
                state.weight = 1.0;
            }
        })
    }
    fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
        state.sum = state.sum.max(other.sum);
        state.weight = state.weight.max(other.weight);
        Ok(())
    }
}

/// Multiplies rows with weight 0 by their weight, even if they are NaN.
#[derive(Config)]
pub struct WeighsNan;

impl MeanSquare for WeighsNan {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        if inputs.y_true()?.shape() != inputs.y_pred()?.shape() {
            return Err(Error::input("y_true and y_pred have the same shape"));
        }
        inputs.for_each_row(|y_true, y_pred, weight| {
            state.sum += weight * square(y_true, y_pred);
            state.weight += weight;
        })
    }
}
