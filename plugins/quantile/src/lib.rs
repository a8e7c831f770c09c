//! Quantiles in place of means.
use plugfit_api::{loss::Targets, prelude::*};

/// Pinball loss: its minimum is the quantile of `y_true`. Koenker & Bassett 1978.
#[derive(Clone, Debug, Config)]
#[config(aliases("pinball", "quantile_loss"))]
pub struct PinballLoss {
    /// Which quantile; one half is the median.
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

/// How often `y_true` is at most `y_pred`: near to the quantile that `y_pred` is meant to be. NaN where either is.
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

/// So that the test sees what an update asks for.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn holds_what_a_plugin_must() {
    plugfit_api::testing::check(plugin());
}

#[test]
fn too_low_costs_the_quantile_and_too_high_the_rest() {
    use plugfit_api::Plain;
    let loss = PinballLoss { quantile: 0.9 };
    assert!((loss.value(Plain(2.0_f64), Plain(1.0)).0 - 0.9).abs() < 1e-12);
    assert!((loss.value(Plain(1.0_f64), Plain(2.0)).0 - 0.1).abs() < 1e-12);
}

#[test]
fn nan_covers_nothing_and_is_covered_by_nothing() {
    assert_eq!(QuantileCoverage.value(&[1.0], &[1.0]), 1.0);
    assert_eq!(QuantileCoverage.value(&[f64::INFINITY], &[1.0]), 0.0);
    assert!(
        QuantileCoverage.value(&[f64::NAN], &[1.0]).is_nan() && QuantileCoverage.value(&[1.0], &[f64::NAN]).is_nan()
    );
}
