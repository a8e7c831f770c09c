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

#[formula]
impl MeanMetric for QuantileCoverage {
    const DIRECTION: Direction = Direction::Neither;
    fn each(&self) -> Each {
        Each::Element
    }
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let (t, p) = (y_true.single(), y_pred.single());
        R::select(t.le(p), R::from(1.0), R::select(t.gt(p), R::from(0.0), R::from(f64::NAN)))
    }
}

export_plugin! { losses: [PinballLoss], metrics: [PinballLoss, QuantileCoverage] }

/// Counts allocations, so that the test sees those of an update.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn follows_the_rules_for_plugins() {
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
    use plugfit_api::Plain;
    let value = |t: f64, p: f64| QuantileCoverage.value(Row::new(&[Plain(t)]), Row::new(&[Plain(p)])).0;
    assert_eq!(value(1.0, 1.0), 1.0);
    assert_eq!(value(f64::INFINITY, 1.0), 0.0);
    assert!(value(f64::NAN, 1.0).is_nan() && value(1.0, f64::NAN).is_nan());
}
