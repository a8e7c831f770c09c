//! Optimizers that Keras lacks.

mod adan;
mod lookahead;
mod prodigy;

use adan::Adan;
use lookahead::Lookahead;
use plugfit_api::export_plugin;
use prodigy::Prodigy;

/// A lower bound for the epsilon added to a root of squares: the root of the smallest normal float32, below which
/// squares may underflow. With an epsilon of 0, a step without a gradient would be NaN.
const LEAST_EPSILON: f64 = 1.084_202_172_485_504_4e-19;

export_plugin! { optimizers: [Adan, Lookahead, Prodigy] }

#[test]
fn follows_the_rules_for_plugins() {
    let inside = plugfit_api::serde_json::json!({"optimizer": "Adan"});
    plugfit_api::testing::check_with(plugin(), &[("Lookahead", inside)]);
}
