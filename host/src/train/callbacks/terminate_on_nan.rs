//! The `TerminateOnNaN` callback.

use serde::{Deserialize, Serialize};

use super::{Callback, Run};
use crate::Result;

/// Ends a run if the loss is NaN or infinite.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TerminateOnNan {}

impl Callback for TerminateOnNan {
    fn name(&self) -> &str {
        "TerminateOnNaN"
    }

    fn batch_end(&mut self, run: &mut Run<'_, '_>, loss: f64) -> Result<()> {
        if !loss.is_finite() {
            *run.stop = Some(format!("the loss is {loss}"));
        }
        Ok(())
    }
}
