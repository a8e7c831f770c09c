//! `plugfit predict`: writes the predictions of a saved run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, in_pool, out_file, print, saved_run, short, warn};
use crate::Result;
use crate::data::write_predictions;
use crate::network::Network;
use crate::text::grouped;
use crate::train::predict;

#[derive(Args)]
pub struct Options {
    /// The run folder, such as runs/digits-1
    #[arg(value_parser = absolute())]
    run: PathBuf,
    /// Files to predict for, which have the same inputs as the run's data
    #[arg(value_name = "FILE", required = true, value_parser = absolute())]
    data: Vec<PathBuf>,
    /// The file for the predictions: .csv, .npy or .npz
    #[arg(long, value_name = "FILE", default_value = "predictions.csv", value_parser = absolute())]
    out: PathBuf,
    /// Replace the file of --out if it exists
    #[arg(long)]
    overwrite: bool,
    /// The number of samples per batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch_size: usize,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    out_file::check(&options.out, options.overwrite, &options.data, "predict", "name another file with --out")?;
    let mut run = saved_run::open(&options.run, common)?;
    let mut notes = Vec::new();
    let inputs = run.schema().read_inputs(&options.data, &mut notes)?;
    notes.iter().for_each(|note| warn(note, common.json));
    let names = run.network.output_names().to_vec();
    let network = &mut run.network;
    let predictions = in_pool(|| predict(network, &inputs, options.batch_size))?;
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(predictions.iter().map(|array| array.view())).collect();
    write_predictions(&options.out, &outputs)?;
    if common.json {
        event("end", json!({"samples": inputs.len(), "file": options.out.display().to_string()}));
    } else {
        print(&format!("{} predictions in {}\n", grouped(inputs.len()), short(&options.out)));
    }
    Ok(())
}
