//! Which components of the standard set have a formula.

use plugfit::{Host, plugin::Kind};
use plugfit_tests::components::{identifier, names};

/// The components without a formula, with a part of the reason that they give.
const WITHOUT: &[(Kind, &str, &str)] = &[
    (Kind::Loss, "Circle", "a function of whole arrays"),
    (Kind::Loss, "CTC", "a function of whole arrays"),
    (Kind::Metric, "R2Score", "its moments lose digits"),
    (Kind::Optimizer, "Adafactor", "a function of whole tensors"),
    (Kind::Optimizer, "LossScaleOptimizer", "a function of whole tensors"),
    (Kind::Optimizer, "MultiOptimizer", "a function of whole tensors"),
    (Kind::Optimizer, "Muon", "a function of whole tensors"),
    (Kind::Optimizer, "ScheduleFreeAdamW", "a function of whole tensors"),
];

fn reason(host: &Host, kind: Kind, name: &str) -> Option<String> {
    let identifier = identifier(name);
    let formula = match kind {
        Kind::Loss => host.loss(identifier).unwrap().formula(),
        Kind::Metric => host.metric(identifier).unwrap().formula(),
        _ => host.optimizer(identifier).unwrap().formula(),
    };
    formula.unwrap().err()
}

#[test]
fn every_component_has_a_formula_except_for_those_of_the_list() {
    let host = Host::new();
    let mut found = Vec::new();
    for kind in [Kind::Loss, Kind::Metric, Kind::Optimizer] {
        for name in names(&host, kind) {
            if let Some(reason) = reason(&host, kind, &name) {
                found.push((kind, name.rsplit('>').next().unwrap_or_default().to_owned(), reason));
            }
        }
    }
    let listed: Vec<_> = WITHOUT.iter().map(|(kind, name, _)| (*kind, (*name).to_owned())).collect();
    let missing: Vec<_> = found.iter().map(|(kind, name, _)| (*kind, name.clone())).collect();
    assert_eq!(missing, listed, "{found:?}");
    for ((_, name, reason), (_, _, expected)) in found.iter().zip(WITHOUT) {
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}
