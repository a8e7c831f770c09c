//! A run that was kept, ready to be used again.

use std::path::Path;

use super::{Common, plugins};
use crate::compile::Compiled;
use crate::data::{Dataset, Schema};
use crate::network::Sequential;
use crate::train::{RunFile, RunFolder, load_weights};
use crate::{Host, Result};

/// A network with its weights, and what it was compiled with.
pub struct Kept {
    pub file: RunFile,
    pub host: Host,
    pub network: Sequential,
    pub schema: Schema,
}

/// Reads a run's folder.
pub fn open(path: &Path, common: &Common) -> Result<Kept> {
    let (folder, record) = RunFolder::open(path)?;
    let file = RunFile::from_json(&record.config, &path.join("run.json").display().to_string())?;
    let host = plugins::host(common, Some(&file))?;
    plugins::warn_of_refusals(&host, common);
    let config = file.network()?;
    let mut network = Sequential::new(&config, &record.schema.input_shape, 0)?;
    load_weights(&mut network, &folder.weights())?;
    Ok(Kept { file, host, network, schema: record.schema })
}

impl Kept {
    /// What it was compiled with.
    pub fn compiled(&self) -> Result<Compiled> {
        let mut compile = self.file.compile()?;
        compile.outputs = crate::network::Network::output_names(&self.network).to_vec();
        self.host.compile(compile)
    }

    /// Its validation data, or all of its data where there were none.
    pub fn own_data(&self) -> Result<Dataset> {
        let loaded = self.file.data()?.load(self.file.folder())?;
        Ok(loaded.validation.unwrap_or(loaded.train))
    }
}
