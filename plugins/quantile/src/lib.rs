//! Losses and metrics of quantiles.
use plugfit_api::{loss::Targets, prelude::*};

/// Pinball loss, minimised by a quantile of `y_true`. Koenker & Bassett 1978.
#[derive(Clone, Debug, Config)]
#[config(aliases("pinball", "quantile_loss"))]
pub struct PinballLoss {
    /// The quantile; 0.5 is the median.
    #[config(default = 0.5, above = 0.0, below = 1.0)]
    quantile: f64,
}

#[formula]
impl ElementwiseLoss for PinballLoss {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let under = y_true - y_pred;
        (under * self.quantile).max(under * (self.quantile - 1.0))
    }
    fn info(&self) -> LossInfo {
        LossInfo::targets(Targets::Regression)
    }
}

/// The share of elements with `y_true <= y_pred`, close to the quantile that `y_pred` estimates. NaN if either is NaN.
#[derive(Clone, Debug, Config)]
pub struct QuantileCoverage;

impl MeanMetric for QuantileCoverage {
    const DIRECTION: Direction = Direction::Neither;
    fn each(&self) -> Each {
        Each::Element
    }
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        match y_true[0].partial_cmp(&y_pred[0]) {
            Some(order) => f64::from(u8::from(order.is_le())),
            None => f64::NAN,
        }
    }
}

export_plugin! { losses: [PinballLoss], metrics: [PinballLoss, QuantileCoverage] }

/// Counts allocations, so that the test sees those of an update.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn holds_what_a_plugin_must() {
    plugfit_api::testing::check(plugin());
}

#[test]
fn underestimates_cost_q_and_overestimates_1_minus_q() {
    use plugfit_api::Plain;
    let loss = PinballLoss { quantile: 0.9 };
    assert!((loss.value(Plain(2.0_f64), Plain(1.0)).0 - 0.9).abs() < 1e-12);
    assert!((loss.value(Plain(1.0_f64), Plain(2.0)).0 - 0.1).abs() < 1e-12);
}

#[test]
fn coverage_of_nan_is_nan() {
    assert_eq!(QuantileCoverage.value(&[1.0], &[1.0]), 1.0);
    assert_eq!(QuantileCoverage.value(&[f64::INFINITY], &[1.0]), 0.0);
    assert!(
        QuantileCoverage.value(&[f64::NAN], &[1.0]).is_nan() && QuantileCoverage.value(&[1.0], &[f64::NAN]).is_nan()
    );
}
