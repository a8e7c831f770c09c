//! `plugfit sql`: answers a query. It writes no files.

use std::io::Write;

use clap::{Args, ValueEnum};
use datafusion::arrow::csv;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::context::SQLOptions;
use plugfit::options::printable;
use plugfit::{Error, Result};

use super::Common;
use super::query::{failed, runtime, session};

/// The options.
#[derive(Args)]
pub struct Options {
    /// The query; a file is a table by its name in quotes: SELECT auc(y, p) FROM 'preds.parquet'
    query: String,
    /// The format of the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// How much memory the query may use, such as 500M or 2G; then it uses the disk
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// The number of threads [default: that of the processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// A format of the result of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns in a frame
    Table,
    /// A JSON object per row
    Json,
    /// CSV with a header
    Csv,
}

/// Prints the result of a query. Returns the exit status.
///
/// # Errors
/// Returns an error if the query is invalid or fails.
pub fn run(options: &Options, common: &Common) -> Result<u8> {
    let host = common.host(&common.plugins)?;
    let memory_limit = options.memory_limit.as_deref().map(super::config::size).transpose()?;
    let context = session(options.threads, memory_limit)?.enable_url_table();
    crate::register_all(&context, &host).map_err(failed)?;
    // COPY and INSERT would write files of the user.
    let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let query = async { context.sql_with_options(&options.query, only_queries).await?.collect().await };
    let batches = runtime(options.threads)?.block_on(query).map_err(failed)?;
    let invalid = |error: ArrowError| Error::failure(format!("the result can't be written: {error}"));
    let mut text = Vec::new();
    match if common.json { Format::Json } else { options.format } {
        Format::Table => {
            let table = pretty_format_batches(&batches).map_err(invalid)?.to_string();
            text.extend_from_slice(format!("{}\n", printable(&table)).as_bytes());
        }
        Format::Json => {
            let mut writer = LineDelimitedWriter::new(&mut text);
            batches.iter().try_for_each(|batch| writer.write(batch)).map_err(invalid)?;
            writer.finish().map_err(invalid)?;
        }
        Format::Csv => {
            let mut writer = csv::Writer::new(&mut text);
            batches.iter().try_for_each(|batch| writer.write(batch)).map_err(invalid)?;
        }
    }
    let mut stdout = std::io::stdout().lock();
    // A closed pipe isn't an error (`| head`).
    let _ = stdout.write_all(&text).and_then(|()| stdout.flush());
    Ok(0)
}
