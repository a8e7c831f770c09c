//! `plugfit export`: writes the network of a saved run as an ONNX model.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, out_file, print, saved_run, short};
use crate::data::OneOrMany;
use crate::export::{ExportInputs, onnx};
use crate::files::write_atomically;
use crate::network::Network;
use crate::text::grouped;
use crate::train::RunFile;
use crate::{Error, Result};

/// The explanation at the end of `--help`.
const HELP: &str = "\
The model has operator set 17, and other programs compute it without plugfit, such as onnxruntime. It takes raw \
values: the encoding of the inputs is part of it. A run on a table has one input [N, 1] for each column, with the \
name of the column: strings for categories, and float64 for numbers, for booleans as 0 and 1, and for dates as \
seconds since 1970 in UTC. A missing value is NaN or an empty string. A run on arrays has one input of float32 with \
the name of the array. The outputs have the names and values of `plugfit predict`; the metadata \"class_names\" have \
the names of their classes as JSON.

Where predict refuses a row, such as a missing value in a column that had none in training, the outputs are NaN, or \
the runtime reports an error.";

#[derive(Args)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// The run folder, such as runs/digits-1
    #[arg(value_parser = absolute())]
    run: PathBuf,
    /// The file for the model: .onnx
    #[arg(value_name = "FILE", value_parser = absolute())]
    out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let out = &options.out;
    if !out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        return Err(Error::usage(format!("a model is written as .onnx, not as {}", out.display())));
    }
    out_file::check(out, options.overwrite, &[], "export", "name another file")?;
    let run = saved_run::open(&options.run, common)?;
    let schema = run.schema();
    let encoder = schema.encoder();
    let inputs = if is_table(&run.file)? {
        ExportInputs::Columns(encoder.columns())
    } else {
        let name = schema.inputs.first().map_or("x", String::as_str);
        ExportInputs::Array { name, scale: schema.scale.unwrap_or(1.0) }
    };
    let bytes = onnx(&run.file.network()?, &run.network, inputs, &run.class_names())?;
    write_atomically(out, |writer| writer.write_all(&bytes))?;
    if common.json {
        let outputs = run.network.output_names();
        event("end", json!({"file": out.display().to_string(), "bytes": bytes.len(), "outputs": outputs}));
    } else {
        print(&format!("{} bytes in {}\n", grouped(bytes.len()), short(out)));
    }
    Ok(())
}

/// Returns whether the run was trained on tables.
fn is_table(file: &RunFile) -> Result<bool> {
    let data = file.data()?;
    let first = data.file.as_ref().or(data.train.as_ref()).and_then(|files| OneOrMany::as_slice(files).first());
    let extension = first.and_then(|file| Path::new(file).extension()).map(|extension| extension.to_string_lossy());
    Ok(extension.is_some_and(|extension| ["csv", "parquet"].iter().any(|name| extension.eq_ignore_ascii_case(name))))
}
