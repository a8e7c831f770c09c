//! Means and sums of values, such as a loss that the model computes.

use plugfit_api::prelude::*;

/// The weighted mean of values. Axes after the first are averaged first, so that each sample counts once.
#[derive(Clone, Debug, Config)]
#[config(example = r#"{"values": [1, 2, 6], "sample_weight": [1, 2, 0.5], "gives": 2.285714}"#)]
#[config(example = r#"{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5], "gives": 3.642857}"#)]
#[config(example = r#"{"values": [[1, 2], [6, 3]], "sample_weight": [[1, 2], [0.5, 1]], "gives": 2.444444}"#)]
#[config(
    example = r#"{"batches": [{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5]}, {"values": [7, 8], "sample_weight": [1, 3]}], "gives": 5.833333}"#
)]
#[config(
    example = r#"{"batches": [{"values": [[1, 2], [6, 3]], "sample_weight": 2}, {"values": [7, 8]}], "gives": 5.25}"#
)]
pub struct Mean;

/// The weighted sum of values.
#[derive(Clone, Debug, Config)]
#[config(example = r#"{"values": [1, 2, 6], "sample_weight": [1, 2, 0.5], "gives": 8}"#)]
#[config(example = r#"{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5], "gives": 25.5}"#)]
#[config(example = r#"{"batches": [{"values": [1, 2]}, {"values": [[3, 0.5]], "sample_weight": [2]}], "gives": 10}"#)]
pub struct Sum;

/// The weighted sum of values, and the total weight.
#[state]
#[derive(Copy, Default, PartialEq)]
pub struct Total {
    value: f64,
    weight: f64,
}

impl Total {
    /// Adds a value of non-zero weight.
    pub fn add(&mut self, weight: f64, value: f64) {
        self.value += weight * value;
        self.weight += weight;
    }

    pub fn merge(&mut self, other: &Total) {
        self.value += other.value;
        self.weight += other.weight;
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
    type State = Total;
    fn info(&self) -> MetricInfo {
        MetricInfo::of_values(Direction::Neither)
    }
    fn init(&self) -> Total {
        Total::default()
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let sums = Total::of(inputs)?;
        // A batch with a scalar weight counts as one sample.
        let behind = usize::from(inputs.weight().is_none_or(|weight| weight.rank() > 0));
        let shape = inputs.get("values")?.shape();
        let each = shape.iter().skip(behind).product::<i64>().max(1) as f64;
        total.merge(&sums.per(each));
        Ok(())
    }
    fn merge(&self, total: &mut Total, other: &Total) -> Result<()> {
        total.merge(other);
        Ok(())
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(total.mean())
    }
}

impl Metric for Sum {
    type State = Total;
    fn info(&self) -> MetricInfo {
        MetricInfo::of_values(Direction::Neither)
    }
    fn init(&self) -> Total {
        Total::default()
    }
    fn update(&self, total: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        total.merge(&Total::of(inputs)?);
        Ok(())
    }
    fn merge(&self, total: &mut Total, other: &Total) -> Result<()> {
        total.merge(other);
        Ok(())
    }
    fn result(&self, total: &Total) -> Result<Outcome> {
        Ok(Outcome::Scalar(total.value))
    }
}
