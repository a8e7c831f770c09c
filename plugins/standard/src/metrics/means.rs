//! Means and sums of values, such as a loss that the model computes.

use plugfit_api::{formula::Formula, prelude::*};

/// The weighted mean of values. Axes after the first are averaged first, so that each sample counts once.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::MEAN)]
pub struct Mean;

/// The weighted sum of values.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::SUM)]
pub struct Sum;

/// The weighted sum of values, and the total weight.
#[state]
#[derive(Copy, Default, PartialEq)]
pub struct Total {
    pub value: f64,
    pub weight: f64,
}

impl Total {
    /// Adds a value of non-zero weight.
    pub fn add(&mut self, weight: f64, value: f64) {
        self.value += weight * value;
        self.weight += weight;
    }

    /// Adds another total, which always succeeds.
    pub fn merge(&mut self, other: &Total) -> Result<()> {
        self.value += other.value;
        self.weight += other.weight;
        Ok(())
    }

    /// Returns the total of a batch with `each` values per sample, so that each sample counts once.
    pub fn per(self, each: f64) -> Total {
        Total { value: self.value / each, weight: self.weight / each }
    }

    pub fn mean(&self) -> Outcome {
        Outcome::ratio(self.value, self.weight)
    }

    /// Returns the sums of a batch; values of weight 0 are ignored, even NaN.
    fn of(inputs: &Inputs<'_>) -> Result<Total> {
        let mut total = Total::default();
        inputs.for_each_value(|value, weight| {
            if weight != 0.0 {
                total.add(weight, value);
            }
        })?;
        Ok(total)
    }
}

impl Metric for Mean {
    with_state!(Total);
    fn info(&self) -> MetricInfo {
        MetricInfo::of_values(Direction::Neither)
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let sums = Total::of(inputs)?;
        // A batch with a scalar weight counts as one sample.
        let behind = usize::from(inputs.weight().is_none_or(|weight| weight.rank() > 0));
        let shape = inputs.get("values")?.shape();
        let each = shape.iter().skip(behind).product::<i64>().max(1) as f64;
        total.merge(&sums.per(each))
    }
    fn formula(&self) -> Result<Formula> {
        Formula::of_mean_of_values()
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(total.mean())
    }
}

impl Metric for Sum {
    with_state!(Total);
    fn info(&self) -> MetricInfo {
        MetricInfo::of_values(Direction::Neither)
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        total.merge(&Total::of(inputs)?)
    }
    fn formula(&self) -> Result<Formula> {
        Formula::of_sum_of_values()
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(Outcome::Scalar(total.value))
    }
}
