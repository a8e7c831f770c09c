//! Whether a model is as sure as it is right.
use plugfit_api::prelude::*;

/// Brier score: the squared distance between the predicted probabilities and what happened. Brier 1950.
#[derive(Config)]
pub struct BrierScore;

impl MeanMetric for BrierScore {
    const DIRECTION: Direction = Direction::Minimize;
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        y_true.iter().zip(y_pred).map(|(t, p)| (p - t).powi(2)).sum()
    }
}

/// Expected calibration error: how far confidence is from accuracy, over bins of confidence. An id that is no class is refused; where a
/// probability is NaN, so is the result. Naeini, Cooper & Hauskrecht 2015.
#[derive(Config)]
#[config(aliases("ece", "ECE"))]
pub struct ExpectedCalibrationError {
    /// Bins of equal width between 0 and 1.
    #[config(default = 15, range = 1..=100000)]
    num_bins: usize,
}

/// For each bin the weight, the sum of confidence and the weight that was right.
#[state]
pub struct Bins(Vec<[f64; 3]>);

impl Metric for ExpectedCalibrationError {
    type State = Bins;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Minimize)
    }
    fn init(&self) -> Bins {
        Bins(vec![[0.0; 3]; self.num_bins])
    }
    fn update(&self, bins: &mut Bins, inputs: &Inputs<'_>) -> Result<()> {
        inputs.for_each_prediction(|prediction, weight| {
            let bin = ((prediction.confidence * self.num_bins as f64) as usize).min(self.num_bins - 1);
            let right = if prediction.is_right { weight } else { 0.0 };
            bins.0[bin].iter_mut().zip([weight, weight * prediction.confidence, right]).for_each(|(sum, x)| *sum += x);
        })
    }
    fn merge(&self, bins: &mut Bins, other: &Bins) -> Result<()> {
        bins.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()).for_each(|(sum, x)| *sum += x);
        Ok(())
    }
    fn result(&self, bins: &Bins) -> Result<Outcome> {
        let weight = bins.0.iter().map(|bin| bin[0]).sum();
        Ok(Outcome::ratio(bins.0.iter().map(|[_, confidence, right]| (confidence - right).abs()).sum(), weight))
    }
}

export_plugin! { metrics: [BrierScore, ExpectedCalibrationError] }

/// So that the test sees what an update asks for.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn holds_what_a_plugin_must() {
    plugfit_api::testing::check(plugin());
}
