//! The `CSVLogger` callback.

use serde::{Deserialize, Serialize};

use super::{Callback, Run, file_of};
use crate::compile::LogValue;
use crate::files::write_atomically;
use crate::{Error, Result};

/// Writes the history as CSV after each epoch, to the run folder unless the path is absolute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvLogger {
    /// The file.
    pub filename: String,
    /// The character between two values.
    pub separator: char,
}

impl Default for CsvLogger {
    fn default() -> Self {
        CsvLogger { filename: "history.csv".into(), separator: ',' }
    }
}

impl Callback for CsvLogger {
    fn name(&self) -> &str {
        "CSVLogger"
    }

    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        file_of(run, &self.filename).map(drop)
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let separator = u8::try_from(self.separator)
            .map_err(|_| Error::usage("CSVLogger: separator must be one ASCII character"))?;
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
        let failed = |error: csv::Error| Error::failure(format!("CSVLogger can't write: {error}"));
        let names: Vec<&str> =
            run.history.epochs.iter().flat_map(|epoch| epoch.logs.names()).fold(Vec::new(), |mut names, name| {
                if !names.contains(&name) {
                    names.push(name);
                }
                names
            });
        writer.write_record(["epoch"].iter().chain(&names).chain(&["learning_rate"])).map_err(failed)?;
        for epoch in &run.history.epochs {
            let cell = |name: &&str| {
                let number = epoch.logs.get(name).and_then(LogValue::number);
                number.map(|number| number.to_string()).unwrap_or_default()
            };
            let cells = names.iter().map(cell);
            let ends = [epoch.epoch.to_string(), epoch.learning_rate.to_string()];
            writer
                .write_record(std::iter::once(ends[0].clone()).chain(cells).chain([ends[1].clone()]))
                .map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::failure(format!("CSVLogger can't write: {error}")))?;
        write_atomically(&file_of(run, &self.filename)?, |writer| writer.write_all(&bytes))
    }
}
