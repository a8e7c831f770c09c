//! `plugfit evaluate`: computes the losses and metrics of a saved run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, in_pool, kept, print, table, warn};
use crate::Result;
use crate::train::Trainer;

#[derive(Args)]
pub struct Options {
    /// The run folder, such as runs/digits-1
    #[arg(value_parser = absolute())]
    run: PathBuf,
    /// Files to evaluate on, instead of the run's validation data
    #[arg(value_name = "FILE", value_parser = absolute())]
    data: Vec<PathBuf>,
    /// The number of samples per batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch_size: usize,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let mut kept = kept::open(&options.run, common)?;
    let dataset = if options.data.is_empty() { kept.own_data()? } else { kept.schema().read(&options.data)? };
    let mut compiled = kept.compiled()?;
    let mut trainer = Trainer::new(&mut kept.network, &mut compiled, &dataset)?;
    kept::warn_of_functions(&kept.record, common);
    let logs = in_pool(|| trainer.evaluate(&dataset, options.batch_size, &|| false))?;
    for crash in trainer.take_crashes() {
        warn(&crash.to_string(), common.json);
    }
    if common.json {
        event("end", json!({"samples": dataset.len(), "logs": logs.to_json()}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        logs.entries().iter().map(|(name, value)| vec![name.clone(), value.to_string()]).collect();
    print(&table::aligned(&rows, 0));
    Ok(())
}
