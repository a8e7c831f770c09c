//! The `ProgressBar` callback.

use indicatif::{ProgressBar as Bar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::{Callback, Run};
use crate::Result;

/// Shows a progress bar on stderr during an epoch, if stderr is a terminal; for programs without their own output.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgressBar {
    #[serde(skip)]
    bar: Option<Bar>,
}

impl Callback for ProgressBar {
    fn name(&self) -> &str {
        "ProgressBar"
    }

    fn epoch_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let bar = Bar::new(run.steps);
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {bar:20}  {percent:>3} %  {eta:>4} left  {wide_msg}")
        {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(format!("epoch {}", run.epoch));
        self.bar = Some(bar);
        Ok(())
    }

    fn batch_end(&mut self, _run: &mut Run<'_, '_>, loss: f64) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.inc(1);
            bar.set_message(format!("loss {loss:.4}"));
        }
        Ok(())
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        if let (Some(bar), Some(epoch)) = (self.bar.take(), run.history.epochs.last()) {
            bar.finish_with_message(epoch.logs.to_string());
        }
        Ok(())
    }
}
