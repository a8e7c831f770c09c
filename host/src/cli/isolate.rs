//! `--isolate` and the options that depend on it.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::plugin::Isolation;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// Run each plug-in file in a separate process: a crash ends only that process, and a run continues without the
    /// metric
    #[arg(long, global = true)]
    isolate: bool,
    /// With --isolate: what happens if a metric crashes [default: continue]
    #[arg(long, global = true, value_name = "WHAT")]
    on_crash: Option<OnCrash>,
    /// With --isolate: how long a call may take before its process is killed [default: 60]
    #[arg(long, global = true, value_name = "SECONDS")]
    call_limit: Option<f64>,
    /// With --isolate: how much memory a plug-in may use [default: what is available]
    #[arg(long, global = true, value_name = "MIB")]
    memory_limit: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnCrash {
    /// Continue without the metric
    Continue,
    /// Stop, and save what was trained
    Stop,
}

impl Options {
    /// Returns how plug-ins are isolated, or `None` if they aren't.
    ///
    /// # Errors
    /// Returns an error if an option is invalid, or is given without `--isolate`.
    pub fn isolation(&self) -> Result<Option<Isolation>> {
        if !self.isolate {
            let given = [
                ("--on-crash", self.on_crash.is_some()),
                ("--call-limit", self.call_limit.is_some()),
                ("--memory-limit", self.memory_limit.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Error::usage(format!("{flag} has no effect without --isolate"))),
                None => Ok(None),
            };
        }
        if !cfg!(target_os = "linux") {
            return Err(Error::usage("plug-ins can be isolated only on Linux").hint("leave out --isolate"));
        }
        let mut isolation =
            Isolation { program: super::PROGRAM.get().cloned().unwrap_or_default(), ..Isolation::default() };
        if let Some(seconds) = self.call_limit {
            let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
            isolation.call_limit = limit.ok_or_else(|| {
                Error::usage(format!("--call-limit must be a number of seconds greater than 0, not {seconds}"))
            })?;
        }
        if let Some(mebibytes) = self.memory_limit {
            isolation.memory_limit = Some(mebibytes.saturating_mul(1 << 20));
        }
        isolation.continue_on_crash = !matches!(self.on_crash, Some(OnCrash::Stop));
        Ok(Some(isolation))
    }
}
