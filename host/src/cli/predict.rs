//! `plugfit predict`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, event, in_pool, kept, print, short};
use crate::Result;
use crate::data::text::grouped;
use crate::data::write_predictions;
use crate::network::Network;
use crate::train::predict;

#[derive(Args)]
pub struct Options {
    /// The folder of the run, such as runs/digits-1
    run: PathBuf,
    /// Files to predict for, with the inputs of the run's data
    #[arg(value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// Where to write the predictions: .csv, .npy or .npz
    #[arg(long, value_name = "FILE", default_value = "predictions.csv")]
    out: PathBuf,
    /// Samples in a batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch_size: usize,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let mut kept = kept::open(&options.run, common)?;
    let inputs = kept.schema.read_inputs(&options.data)?;
    let names = kept.network.output_names().to_vec();
    let network = &mut kept.network;
    let predictions = in_pool(|| predict(network, &inputs, options.batch_size))?;
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(predictions.iter().map(|array| array.view())).collect();
    write_predictions(&options.out, &outputs)?;
    if common.json {
        event("end", json!({"samples": inputs.len(), "file": options.out}));
    } else {
        print(&format!("{} predictions in {}\n", grouped(inputs.len()), short(&options.out)));
    }
    Ok(())
}
