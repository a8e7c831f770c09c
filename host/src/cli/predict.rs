//! `plugfit predict`: writes the predictions of a saved run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, in_pool, out_file, print, saved_run, short, warn};
use crate::Result;
use crate::data::{PredictedOutput, write_predictions};
use crate::network::{Activation, LayerKind, Network, NetworkConfig};
use crate::text::grouped;
use crate::train::predict;

/// The explanation at the end of `--help`.
const HELP: &str = "\
In a .csv, an output with class names has a column for each class, headed by its name, with the class's probability \
or score, and the column \"predicted\" with the name of the class that has the highest. Two classes of a sigmoid \
have the columns of both. With several outputs, these columns begin with the name of the output: digit_even, \
digit_predicted. Other outputs have a column with their name, or the columns NAME_0, NAME_1 and so on. A .npy or \
.npz has the numbers of the network.";

#[derive(Args)]
#[command(after_long_help = HELP)]
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
    let config = run.file.network()?;
    let network = &mut run.network;
    let predictions = in_pool(|| predict(network, &inputs, options.batch_size))?;
    let class_names = run.class_names();
    let outputs: Vec<_> = predictions
        .iter()
        .enumerate()
        .map(|(index, values)| {
            let name = run.network.output_names()[index].as_str();
            let output = PredictedOutput::new(name, values.view());
            // A single number per row is a probability only after a sigmoid.
            let is_score = run.network.output_shape(index) != [1] || ends_in_sigmoid(&config, index);
            match class_names.iter().find(|(output, _)| *output == name) {
                Some((_, names)) if is_score => output.with_class_names(names),
                _ => output,
            }
        })
        .collect();
    write_predictions(&options.out, &outputs)?;
    if common.json {
        event("end", json!({"samples": inputs.len(), "file": options.out.display().to_string()}));
    } else {
        print(&format!("{} predictions in {}\n", grouped(inputs.len()), short(&options.out)));
    }
    Ok(())
}

/// Returns whether the last layer of an output is a sigmoid.
fn ends_in_sigmoid(config: &NetworkConfig, output: usize) -> bool {
    let layers = config.outputs.get(output).map_or(&config.layers, |(_, layers)| layers);
    matches!(
        layers.last().map(|layer| &layer.kind),
        Some(LayerKind::Dense { activation: Activation::Sigmoid, .. } | LayerKind::Activation(Activation::Sigmoid))
    )
}
