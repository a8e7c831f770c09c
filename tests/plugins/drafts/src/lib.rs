//! Components that ask the most of the ABI: what each needs was there before it was frozen, and stays.

mod losses;
mod metrics;
mod optimizers;

use losses::{GaussianNll, MaskedTemporalCrossentropy};
use metrics::ClassF1;
use optimizers::{Muon, Nadam};
use plugfit_api::prelude::*;

export_plugin! {
    losses: [GaussianNll, MaskedTemporalCrossentropy],
    metrics: [ClassF1],
    optimizers: [Muon, Nadam],
}
