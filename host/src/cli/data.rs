//! `plugfit data`: describes the columns of a table, and what a run would do with them.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, print, short, table, warn};
use crate::Result;
use crate::data::{ColumnDescription, DataConfig, OneOrMany, TargetConfig};
use crate::files::name_of;
use crate::text::grouped;
use crate::train::RunFile;

#[derive(Args)]
pub struct Options {
    /// Tables with the same columns, .csv or .parquet; or a run file, whose [data] table is used
    #[arg(required = true, value_name = "FILE", value_parser = absolute())]
    files: Vec<PathBuf>,
    /// The column to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    match &options.files[..] {
        [file] if file.extension().is_some_and(|extension| extension == "toml") => {
            let run = RunFile::read(file)?;
            let described = run.data().and_then(|data| describe(&data, run.folder(), options, common));
            described.map_err(|error| run.located(error))
        }
        files => {
            let files = OneOrMany::Many(files.iter().map(|file| name_of(file)).collect());
            describe(&DataConfig { file: Some(files), ..DataConfig::default() }, Path::new("."), options, common)
        }
    }
}

fn describe(data: &DataConfig, folder: &Path, options: &Options, common: &Common) -> Result<()> {
    let target = options.target.as_deref().map(TargetConfig::from);
    let data = DataConfig { target: target.or_else(|| data.target.clone()), ..data.clone() };
    let profile = data.profile(folder)?;
    for note in &profile.notes {
        warn(note, common.json);
    }
    if common.json {
        profile.columns.iter().for_each(|column| event("column", column.json.clone()));
        event("end", json!({"rows": profile.rows, "columns": profile.columns.len()}));
        return Ok(());
    }
    let files: Vec<String> = options.files.iter().map(|file| short(file)).collect();
    let (rows, columns) = (grouped(profile.rows), grouped(profile.columns.len()));
    print(&format!("{}: {rows} rows, {columns} columns\n\n", files.join(", ")));
    let titles = ColumnDescription::TITLES.map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> =
        std::iter::once(titles).chain(profile.columns.iter().map(|column| column.cells().to_vec())).collect();
    print(&table::aligned(&lines, 0));
    Ok(())
}
