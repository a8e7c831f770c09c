//! The files with predictions.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::{DataFrame, SessionContext};
use plugfit::{Error, Result};
use serde::Deserialize;
use tempfile::NamedTempFile;
use url::Url;

use super::control::Control;
use super::query::{failed_in, guarded};

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Parquet
    Parquet,
    /// CSV with a header
    Csv,
    /// As CSV, with tabs
    Tsv,
    /// JSON Lines: an object per line
    Json,
    /// Arrow IPC
    Arrow,
}

/// A file with its format.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    /// The name in messages.
    pub name: String,
    format: Format,
    compression: FileCompressionType,
    /// The copy of standard input, which is deleted with this value.
    _copy: Option<NamedTempFile>,
}

/// The rows from which the types of text files are inferred.
const INFERRED_ROWS: usize = 10_000;

/// Finds the files of paths, folders and patterns, in the order in which they are given; `-` is standard input.
///
/// # Errors
/// Returns an error if there is no such file, or if its format is unknown.
pub fn find(files: &[String], format: Option<Format>, control: &Control) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for file in files {
        if file == "-" {
            sources.push(standard_input(format, control)?);
            continue;
        }
        let path = std::path::absolute(file).map_err(|error| Error::failure(format!("{file}: {error}")))?;
        let found = match (path.is_dir(), path.exists()) {
            (true, _) => in_folder(&path)?,
            (false, true) => vec![path],
            (false, false) => matching(&path, file)?,
        };
        for path in found {
            if !sources.iter().any(|other| other.path == path) {
                sources.push(source(path, format)?);
            }
        }
    }
    match sources.is_empty() {
        true => Err(Error::usage("no file is given").hint("name files, folders or patterns, or - for standard input")),
        false => Ok(sources),
    }
}

fn matching(path: &Path, written: &str) -> Result<Vec<PathBuf>> {
    let pattern = path.to_string_lossy();
    let entries = glob::glob(&pattern).map_err(|error| Error::usage(format!("{written} isn't a pattern: {error}")))?;
    let mut found =
        entries.map(|entry| entry.map_err(|error| Error::failure(error.to_string()))).collect::<Result<Vec<_>>>()?;
    found.retain(|path| path.is_file());
    match found.is_empty() {
        true => Err(Error::usage(format!("there is no file {written}"))),
        false => Ok(found),
    }
}

/// Returns the files in a folder whose formats are known.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |error: std::io::Error| Error::failure(format!("cannot read the folder {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && format_of(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Error::usage(format!("the folder {} has no file of a known format", folder.display()))),
        false => Ok(files),
    }
}

fn source(path: PathBuf, format: Option<Format>) -> Result<Source> {
    let name = path.display().to_string();
    let (by_name, compression) = match format_of(&path) {
        Some((format, compression)) => (Some(format), compression),
        None => (None, compression_of(&path).0),
    };
    let Some(format) = format.or(by_name) else {
        return Err(Error::usage(format!("the format of {name} is unknown"))
            .hint("name it with --input-format parquet, csv, tsv, json or arrow"));
    };
    if matches!(format, Format::Parquet | Format::Arrow) && compression != FileCompressionType::UNCOMPRESSED {
        return Err(Error::usage(format!("{name} is compressed as a whole, which this format isn't"))
            .hint("decompress it; Parquet and Arrow files are compressed inside"));
    }
    Ok(Source { path, name, format, compression, _copy: None })
}

/// Returns the compression by the last extension, and the name without it.
fn compression_of(path: &Path) -> (FileCompressionType, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let compression = match extension(&name).as_deref() {
        Some("gz") => FileCompressionType::GZIP,
        Some("zst") => FileCompressionType::ZSTD,
        Some("bz2") => FileCompressionType::BZIP2,
        Some("xz") => FileCompressionType::XZ,
        _ => return (FileCompressionType::UNCOMPRESSED, name),
    };
    let without = name.rsplit_once('.').map(|(name, _)| name.to_owned()).unwrap_or_default();
    (compression, without)
}

fn format_of(path: &Path) -> Option<(Format, FileCompressionType)> {
    let (compression, name) = compression_of(path);
    let format = match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "parquet" | "pq" => Format::Parquet,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "json" | "jsonl" | "ndjson" => Format::Json,
        "arrow" | "arrows" | "feather" | "ipc" => Format::Arrow,
        _ => return None,
    };
    Some((format, compression))
}

/// Copies standard input to a file, because formats such as Parquet are read from their end.
fn standard_input(format: Option<Format>, control: &Control) -> Result<Source> {
    let format = format.ok_or_else(|| {
        Error::usage("standard input needs its format").hint("name it with --input-format parquet, csv, json or arrow")
    })?;
    let failed = |error: std::io::Error| Error::failure(format!("cannot read standard input: {error}"));
    let mut copy = tempfile::Builder::new().prefix("plugfit-score-").tempfile().map_err(failed)?;
    let (mut stdin, mut buffer) = (std::io::stdin().lock(), vec![0; 1 << 16]);
    loop {
        let length = stdin.read(&mut buffer).map_err(failed)?;
        if length == 0 || control.is_stopped() {
            break;
        }
        copy.write_all(buffer.get(..length).unwrap_or_default()).map_err(failed)?;
    }
    copy.flush().map_err(failed)?;
    let compression = FileCompressionType::UNCOMPRESSED;
    Ok(Source { path: copy.path().to_owned(), name: "standard input".into(), format, compression, _copy: Some(copy) })
}

impl Source {
    /// Opens the file as a table. The columns named `floats` are float64 if their first numbers in a text file are
    /// integers, because later ones may not be.
    ///
    /// # Errors
    /// Returns an error if its schema can't be read.
    pub async fn open(&self, context: &SessionContext, floats: &[&str]) -> Result<DataFrame> {
        let failed = |error| failed_in(error, &self.name);
        let url = Url::from_file_path(&self.path)
            .map_err(|()| Error::failure(format!("{} is no path", self.path.display())))?;
        let url = ListingTableUrl::try_new(url, None).map_err(failed)?;
        let csv = |delimiter| {
            CsvFormat::default()
                .with_has_header(true)
                .with_delimiter(delimiter)
                .with_schema_infer_max_rec(INFERRED_ROWS)
                .with_file_compression_type(self.compression)
        };
        let format: Arc<dyn FileFormat> = match self.format {
            Format::Parquet => Arc::new(ParquetFormat::default()),
            Format::Csv => Arc::new(csv(b',')),
            Format::Tsv => Arc::new(csv(b'\t')),
            Format::Json => Arc::new(
                JsonFormat::default()
                    .with_schema_infer_max_rec(INFERRED_ROWS)
                    .with_file_compression_type(self.compression),
            ),
            Format::Arrow => Arc::new(ArrowFormat),
        };
        let options = ListingOptions::new(format).with_file_extension("");
        let schema = guarded(&self.name, options.infer_schema(&context.state(), &url)).await?;
        let schema = if self.is_text() { Arc::new(with_floats(&schema, floats)) } else { schema };
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        let table = ListingTable::try_new(config).map_err(failed)?;
        context.read_table(Arc::new(table)).map_err(failed)
    }

    /// Whether the types of its columns are inferred from its first rows.
    pub fn is_text(&self) -> bool {
        matches!(self.format, Format::Csv | Format::Tsv | Format::Json)
    }
}

fn with_floats(schema: &Schema, floats: &[&str]) -> Schema {
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Int64 if floats.contains(&field.name().as_str()) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Float64))
        }
        _ => field.clone(),
    };
    Schema::new_with_metadata(schema.fields().iter().map(field).collect::<Vec<_>>(), schema.metadata().clone())
}
