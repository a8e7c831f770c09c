//! Optimizers that Keras lacks.

mod adan;
mod lookahead;
mod prodigy;

use adan::Adan;
use lookahead::Lookahead;
use plugfit_api::export_plugin;
use prodigy::Prodigy;

export_plugin! { optimizers: [Adan, Lookahead, Prodigy] }
