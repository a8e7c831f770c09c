//! `--isolate` and what belongs to it.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::plugin::Isolation;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// Run each plug-in's file in a process of its own, so that a crash ends that process, and a run goes on without a metric
    #[arg(long, global = true)]
    isolate: bool,
    /// With --isolate: what is done when a metric crashes [default: continue]
    #[arg(long, global = true, value_name = "WHAT")]
    on_crash: Option<OnCrash>,
    /// With --isolate: how long a call may take before its process is ended [default: 60]
    #[arg(long, global = true, value_name = "SECONDS")]
    call_limit: Option<f64>,
    /// With --isolate: how much memory a plug-in may use [default: what is available]
    #[arg(long, global = true, value_name = "MIB")]
    memory_limit: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnCrash {
    /// Go on without the metric
    Continue,
    /// Stop, and keep what was trained
    Stop,
}

impl Options {
    /// How plug-ins are isolated, if they are.
    pub fn isolation(&self) -> Result<Option<Isolation>> {
        if !self.isolate {
            let given = [
                ("--on-crash", self.on_crash.is_some()),
                ("--call-limit", self.call_limit.is_some()),
                ("--memory-limit", self.memory_limit.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Error::usage(format!("{flag} says nothing without --isolate"))),
                None => Ok(None),
            };
        }
        if !cfg!(target_os = "linux") {
            return Err(Error::usage("plug-ins can be isolated on Linux alone").hint("leave out --isolate"));
        }
        let mut isolation =
            Isolation { program: super::PROGRAM.get().cloned().unwrap_or_default(), ..Isolation::default() };
        if let Some(seconds) = self.call_limit {
            let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
            isolation.call_limit =
                limit.ok_or_else(|| Error::usage(format!("--call-limit takes seconds, more than 0, not {seconds}")))?;
        }
        if let Some(mebibytes) = self.memory_limit {
            isolation.memory_limit = Some(mebibytes.saturating_mul(1 << 20));
        }
        isolation.goes_on = !matches!(self.on_crash, Some(OnCrash::Stop));
        Ok(Some(isolation))
    }
}
