//! Sessions of DataFusion, and its errors.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{FutureExt, Stream, StreamExt};
use plugfit::{Error, Result};
use tokio::runtime::{Builder, Runtime};

use crate::error::plugfit_error;

/// More rows than the default: a metric's state is updated once for each batch and group.
const BATCH_SIZE: usize = 32 * 1024;

/// Creates a session. Identifiers of SQL keep their case, as column names do.
///
/// # Errors
/// Returns an error if the session can't be created.
pub fn session(partitions: Option<usize>, memory_limit: Option<usize>) -> Result<SessionContext> {
    let mut config = SessionConfig::new().with_batch_size(BATCH_SIZE);
    if let Some(partitions) = partitions {
        config = config.with_target_partitions(partitions);
    }
    config.options_mut().sql_parser.enable_ident_normalization = false;
    // The state of a single row is larger than the row.
    config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 1.1;
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(limit) = memory_limit {
        runtime = runtime.with_memory_limit(limit, 1.0);
    }
    let runtime = runtime.build_arc().map_err(failed)?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Creates the threads of a query.
///
/// # Errors
/// Returns an error if they can't be started.
pub fn runtime(threads: Option<usize>) -> Result<Runtime> {
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let runtime = Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build();
    runtime.map_err(|error| Error::failure(format!("cannot start threads: {error}")))
}

/// How the message of a query that needs more memory begins.
const NO_MEMORY: &str = "the memory limit isn't enough";

/// Returns whether a query needs more memory.
pub fn needs_memory(error: &Error) -> bool {
    error.message().starts_with(NO_MEMORY)
}

/// Returns the error of a query.
pub fn failed(error: DataFusionError) -> Error {
    if let Some(error) = plugfit_error(&error) {
        return error.clone();
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => {
            let text = text.lines().next().unwrap_or_default();
            Error::failure(format!("{NO_MEMORY}: {text}"))
                .hint("raise --memory-limit; metrics that keep every row can't be spilled to disk")
        }
        DataFusionError::Plan(text) | DataFusionError::Configuration(text) => Error::usage(lines(text)),
        DataFusionError::SchemaError(..) | DataFusionError::SQL(..) => {
            Error::usage(lines(&error.find_root().strip_backtrace()))
        }
        root => Error::failure(lines(&root.strip_backtrace())),
    }
}

/// Returns the error of a query on a file.
pub fn failed_in(error: DataFusionError, file: &str) -> Error {
    let error = failed(error);
    match error.details().iter().any(|(label, _)| *label == "in") {
        true => error.with("file", file),
        false => error.with("in", file),
    }
}

/// Joins the lines of a message of a library.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Does work on a file. A library may panic if the file is damaged.
///
/// # Errors
/// Returns an error that names the file if the work fails or panics.
pub async fn guarded<T>(file: &str, work: impl Future<Output = datafusion::error::Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done.map_err(|error| failed_in(error, file)),
        Err(panic) => Err(of_panic(&*panic).with("in", file)),
    }
}

/// Returns the batches of a file. A library may panic if the file is damaged.
pub fn guarded_stream(file: Arc<str>, batches: SendableRecordBatchStream) -> impl Stream<Item = Result<RecordBatch>> {
    AssertUnwindSafe(batches).catch_unwind().map(move |batch| match batch {
        Ok(batch) => batch.map_err(|error| failed_in(error, &file)),
        Err(panic) => Err(of_panic(&*panic).with("in", &*file)),
    })
}

/// Returns the error for a panic of a library.
pub fn of_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("unknown").lines().next().unwrap_or_default();
    Error::failure(format!("a library panicked: {text}")).hint("a file may be damaged; RUST_BACKTRACE=1 shows where")
}
