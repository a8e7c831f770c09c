//! `plugfit sql`: answers a query.

use std::io::Write;

use clap::Args;
use datafusion::arrow::util::pretty::pretty_format_batches;
use plugfit::options::printable;
use plugfit::{Error, Result};

use super::Common;
use super::query::{failed, session};

/// The options.
#[derive(Args)]
pub struct Options {
    /// The query; a file is a table by its name in quotes: SELECT auc(y, p) FROM 'preds.parquet'
    query: String,
    /// How much memory the query may use, such as 500M or 2G; then it uses the disk
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// The number of threads [default: that of the processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("cannot start threads: {error}")))?;
    let query = async { context.sql(&options.query).await?.collect().await };
    let batches = runtime.block_on(query).map_err(failed)?;
    let text = pretty_format_batches(&batches).map_err(|error| Error::failure(error.to_string()))?.to_string();
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{}", printable(&text)).and_then(|()| stdout.flush());
    Ok(0)
}
