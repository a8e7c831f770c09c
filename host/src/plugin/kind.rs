//! The kinds of components: losses, metrics, optimizers and schedules.

use std::fmt;

/// The kind of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A loss.
    Loss,
    /// A metric.
    Metric,
    /// An optimizer.
    Optimizer,
    /// A learning-rate schedule.
    Schedule,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [Kind::Loss, Kind::Metric, Kind::Optimizer, Kind::Schedule];

    /// Returns the plural, such as "losses".
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Loss => "losses",
            Kind::Metric => "metrics",
            Kind::Optimizer => "optimizers",
            Kind::Schedule => "schedules",
        }
    }

    /// Returns the id of the interface that the host uses for this kind.
    pub fn interface(self) -> &'static str {
        match self {
            Kind::Loss => plugfit_abi::LOSS_V1,
            Kind::Metric => plugfit_abi::METRIC_V1,
            Kind::Optimizer => plugfit_abi::OPTIMIZER_V1,
            Kind::Schedule => plugfit_abi::SCHEDULE_V1,
        }
    }

    /// Returns the kind with this name in a manifest.
    pub fn from_name(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Loss => "loss",
            Kind::Metric => "metric",
            Kind::Optimizer => "optimizer",
            Kind::Schedule => "schedule",
        })
    }
}
