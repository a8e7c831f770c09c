//! Calibration of predicted probabilities.
use plugfit_api::prelude::*;

/// Brier score: the squared distance between predicted probabilities and outcomes. Brier 1950.
#[derive(Config)]
pub struct BrierScore;

#[formula]
impl MeanMetric for BrierScore {
    const DIRECTION: Direction = Direction::Minimize;
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        y_true.zip(y_pred).sum(|t, p| (p - t).powi(2))
    }
}

/// Expected calibration error: the mean absolute difference of confidence and accuracy over bins of confidence.
/// A class id out of range is an error. If a probability is NaN, the result is NaN. Naeini, Cooper & Hauskrecht 2015.
#[derive(Config)]
#[config(aliases("ece", "ECE"))]
pub struct ExpectedCalibrationError {
    /// The number of bins of equal width between 0 and 1.
    #[config(default = 15, range = 1..=100000)]
    num_bins: usize,
}

/// For each bin: the total weight, the weighted sum of confidences, and the weight of correct predictions.
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
            let correct = if prediction.is_right { weight } else { 0.0 };
            bins.0[bin]
                .iter_mut()
                .zip([weight, weight * prediction.confidence, correct])
                .for_each(|(sum, x)| *sum += x);
        })
    }
    fn merge(&self, bins: &mut Bins, other: &Bins) -> Result<()> {
        bins.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()).for_each(|(sum, x)| *sum += x);
        Ok(())
    }
    fn result(&self, bins: &Bins) -> Result<Outcome> {
        let weight = bins.0.iter().map(|bin| bin[0]).sum();
        Ok(Outcome::ratio(bins.0.iter().map(|[_, confidence, correct]| (confidence - correct).abs()).sum(), weight))
    }
}

export_plugin! { metrics: [BrierScore, ExpectedCalibrationError] }

/// Counts allocations, so that the test sees those of an update.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn follows_the_rules_for_plugins() {
    plugfit_api::testing::check(plugin());
}
