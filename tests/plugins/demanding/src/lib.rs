//! Components with the highest demands on the ABI. The features that they use were part of the ABI before it was
//! frozen, and must stay.

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
