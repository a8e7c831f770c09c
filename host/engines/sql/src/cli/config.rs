//! The options of `plugfit score`, from the command line and from a TOML file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use plugfit::options::absolute;
use plugfit::{Error, Result};
use serde::Deserialize;

use super::{input, output};

/// The options. A TOML file has the same names; those of the command line replace those of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Files, folders and patterns: Parquet, CSV (.gz, .zst), JSON Lines and Arrow IPC; - is standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// A TOML file with these options, by their names; paths in it are relative to its folder
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The column of labels or targets, or a SQL expression
    #[arg(long, value_name = "COLUMN")]
    pub y_true: Option<String>,
    /// The column of predictions, or a SQL expression; a pattern such as 'p_*' takes columns as classes
    #[arg(long, value_name = "COLUMN")]
    pub y_pred: Option<String>,
    /// The column of weights, or a SQL expression
    #[arg(long, value_name = "COLUMN")]
    pub sample_weight: Option<String>,
    /// A further input of a metric and its column: group=query; may be given several times
    #[arg(long, value_name = "NAME=COLUMN")]
    pub input: Vec<String>,
    /// A metric: auc, 'Precision(thresholds=0.8)', 'calibration>ECE'; may be given several times
    #[arg(long, value_name = "METRIC")]
    pub metric: Vec<String>,
    /// The classes of labels, in the order of the predictions, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Only rows for which this SQL expression is true
    #[arg(long = "where", value_name = "SQL")]
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// A column or a SQL expression whose values are groups; may be given several times
    #[arg(long, value_name = "COLUMN")]
    pub by: Vec<String>,
    /// Leave out groups with fewer rows
    #[arg(long, value_name = "N")]
    pub min_rows: Option<u64>,
    /// What happens to rows with a null [default: refuse]
    #[arg(long, value_name = "WHAT")]
    pub nulls: Option<Nulls>,
    /// Add confidence intervals of this level, in percent, by a bootstrap
    #[arg(long, value_name = "PERCENT")]
    pub ci: Option<f64>,
    /// The column that says which rows belong together, such as those of a user; they are resampled together
    #[arg(long, value_name = "COLUMN")]
    pub ci_by: Option<String>,
    /// Add the differences between the groups of this column, such as models, with intervals that pair the rows which
    /// --ci-by says to belong together
    #[arg(long, value_name = "COLUMN")]
    pub compare: Option<String>,
    /// With --compare: the value from which the others differ [default: the first]
    #[arg(long, value_name = "VALUE")]
    pub baseline: Option<String>,
    /// The number of bootstrap replicates [default: 200]
    #[arg(long, value_name = "N")]
    pub replicates: Option<u32>,
    /// The seed of the bootstrap [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A bound that every group must meet, such as 'auc>=0.92', or the exit status is 1; may be given several times
    #[arg(long, value_name = "BOUND")]
    pub require: Vec<String>,
    /// The format of the results [default: table, or that of the name of --out]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<output::Format>,
    /// The file for the results, instead of standard output
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub out: Option<PathBuf>,
    /// Write a page with the results and with curves of the predictions; this reads the files once more
    #[arg(long, value_name = "FILE.html", value_parser = absolute())]
    pub report: Option<PathBuf>,
    /// Replace the files of --out and --report if they exist
    #[arg(long, alias = "force")]
    pub overwrite: bool,
    /// The format of the files, if their names don't tell it
    #[arg(long, value_name = "FORMAT")]
    pub input_format: Option<input::Format>,
    /// How much memory the query may use, such as 500M or 2G; then it uses the disk
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// The number of threads [default: that of the processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Plug-ins, in a TOML file
    #[arg(skip)]
    pub plugins: Vec<PathBuf>,
}

/// What happens to rows with a null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nulls {
    /// The first one is an error
    Refuse,
    /// They are left out and counted
    Skip,
}

impl Options {
    /// Returns the options with those of the file of `--config`.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, or if it has unknown options.
    pub fn complete(self) -> Result<Self> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(&path).map_err(|error| Error::usage(format!("cannot read {name}: {error}")))?;
        let wrong = |error: toml::de::Error| Error::usage(format!("{name}: {}", error.to_string().trim_end()));
        let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        // Both spellings are usual in TOML.
        let table: toml::Table = table.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
        let file: Options = table.try_into().map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = file.files.into_iter().map(|file| match file.as_str() {
            "-" => file,
            _ => folder.join(file).to_string_lossy().into_owned(),
        });
        let list = |own: Vec<String>, file: Vec<String>| if own.is_empty() { file } else { own };
        Ok(Options {
            files: list(self.files, files.collect()),
            config: self.config,
            y_true: self.y_true.or(file.y_true),
            y_pred: self.y_pred.or(file.y_pred),
            sample_weight: self.sample_weight.or(file.sample_weight),
            input: list(self.input, file.input),
            metric: list(self.metric, file.metric),
            classes: list(self.classes, file.classes),
            filter: self.filter.or(file.filter),
            by: list(self.by, file.by),
            min_rows: self.min_rows.or(file.min_rows),
            nulls: self.nulls.or(file.nulls),
            ci: self.ci.or(file.ci),
            ci_by: self.ci_by.or(file.ci_by),
            compare: self.compare.or(file.compare),
            baseline: self.baseline.or(file.baseline),
            replicates: self.replicates.or(file.replicates),
            seed: self.seed.or(file.seed),
            require: list(self.require, file.require),
            format: self.format.or(file.format),
            out: self.out.or_else(|| file.out.map(|out| folder.join(out))),
            report: self.report.or_else(|| file.report.map(|report| folder.join(report))),
            overwrite: self.overwrite || file.overwrite,
            input_format: self.input_format.or(file.input_format),
            memory_limit: self.memory_limit.or(file.memory_limit),
            threads: self.threads.or(file.threads),
            plugins: file.plugins.into_iter().map(|plugin| folder.join(plugin)).collect(),
        })
    }
}

/// Reads a size: a number of bytes, or one with K, M, G or T, each 1024 times the one before.
///
/// # Errors
/// Returns an error if it isn't one.
pub fn size(text: &str) -> Result<usize> {
    let wrong = || Error::usage(format!("\"{text}\" isn't a size")).hint("a size is a number with K, M, G or T: 500M");
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.trim_end_matches('B').trim_end_matches('I');
    let digits = upper.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let power = match upper.get(digits.len()..) {
        Some("") => 0,
        Some("K") => 1,
        Some("M") => 2,
        Some("G") => 3,
        Some("T") => 4,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number * 1024_f64.powi(power);
    match (1.0..1e18).contains(&bytes) {
        true => Ok(bytes as usize),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1000", 1000), ("500M", 500 << 20), ("2GiB", 2 << 30), ("1.5k", 1536), ("3 mb", 3 << 20)]
        {
            assert_eq!(size(&text.replace(' ', "")).expect(text), bytes);
        }
        for text in ["", "M", "-1", "0", "5X", "1e30"] {
            size(text).expect_err(text);
        }
    }
}
