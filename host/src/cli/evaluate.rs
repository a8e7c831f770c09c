//! `plugfit evaluate`: computes the losses and metrics of a saved run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, in_pool, print, saved_run, table, warn};
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
    let mut run = saved_run::open(&options.run, common)?;
    let mut notes = Vec::new();
    let dataset = match options.data.is_empty() {
        true => run.validation_data(&mut notes)?,
        false => run.schema().read(&options.data, &mut notes)?,
    };
    notes.iter().for_each(|note| warn(note, common.json));
    let mut compiled = run.compiled()?;
    let mut trainer = Trainer::new(&mut run.network, &mut compiled, &dataset)?;
    saved_run::warn_of_functions(&run.record, common);
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
