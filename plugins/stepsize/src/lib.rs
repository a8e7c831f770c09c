//! Optimizers that Keras lacks.

mod adan;
mod lookahead;
mod prodigy;

use adan::Adan;
use lookahead::Lookahead;
use plugfit_api::export_plugin;
use prodigy::Prodigy;

export_plugin! { optimizers: [Adan, Lookahead, Prodigy] }

#[test]
fn holds_what_a_plugin_must() {
    let inside = plugfit_api::serde_json::json!({"optimizer": "Adan"});
    plugfit_api::testing::check_with(plugin(), &[("Lookahead", inside)]);
}
