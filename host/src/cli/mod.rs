//! The `plugfit` program: one module for each subcommand.

mod chance;
mod check;
mod data;
mod defaults;
mod evaluate;
mod export;
mod external;
mod fit;
mod formula;
mod isolate;
mod list;
mod lock;
mod new;
mod out_file;
mod plugins;
mod predict;
mod progress;
mod resumed;
mod saved_run;
mod schema;
mod show;
mod summary;
mod table;
mod trust;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Map, Value, json};

use crate::options::{PluginOptions, absolute, short, shown, working_folder};
use crate::text;
use crate::{Error, Result};

/// Trains networks with optimizers, losses and metrics from plug-ins: shared libraries in a folder.
#[derive(Parser)]
#[command(name = "plugfit", version, arg_required_else_help = true, infer_long_args = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// The options of every subcommand.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    options: PluginOptions,
    #[command(flatten)]
    isolate: isolate::Options,
    /// Print one JSON object per line, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Also print details of plug-ins that are refused
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Train the run that a file describes
    Fit(fit::Options),
    /// Describe the columns of a table, and what a run would do with them
    Data(data::Options),
    /// Compute the losses and metrics of a trained run on its validation data, or on files
    Evaluate(evaluate::Options),
    /// Write a trained run's predictions for files
    Predict(predict::Options),
    /// Write a trained run as an ONNX model, which other programs compute
    Export(export::Options),
    /// List the components of the loaded plug-ins, or why each file was loaded or not
    List(list::Options),
    /// Write plugfit.lock: in its folder, only the plug-ins that are found now can be loaded
    Lock(lock::Options),
    /// Show or change the keys that --require-signed accepts; --help compares the protections
    Trust(trust::Options),
    /// Show a component's documentation and settings, or its formula
    Show(show::Options),
    /// Test plug-ins before they are used, each test in a separate process
    Check(check::Options),
    /// Create the crate of a plug-in, which builds and passes its own test
    New(new::Options),
    /// Compute metrics of predictions in files, as a whole or by group; needs plugfit-score
    #[command(disable_help_flag = true)]
    Score(external::Arguments),
    /// Answer a SQL query, with a function for each metric; needs plugfit-score
    #[command(disable_help_flag = true)]
    Sql(external::Arguments),
    /// Print the JSON Schema of a run file, for editors
    Schema(schema::Options),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the arguments of the process.
///
/// Returns 0 for success, 1 for a failure, 2 for a usage error, 130 for an interruption.
pub fn main() -> ExitCode {
    crate::worker_main();
    ExitCode::from(run(std::env::args_os()))
}

/// The command that starts this program again, if that isn't the current executable: `python -m plugfit`.
static PROGRAM: OnceLock<Vec<OsString>> = OnceLock::new();

/// Sets the command that starts this program again, for child processes. Needed if the current executable isn't
/// plugfit.
pub fn set_program(command: Vec<OsString>) {
    let _ = PROGRAM.set(command);
}

fn program() -> Result<Vec<OsString>> {
    if let Some(command) = PROGRAM.get() {
        return Ok(command.clone());
    }
    let path = std::env::current_exe().map_err(|error| Error::failure(format!("cannot find this program: {error}")))?;
    Ok(vec![path.into()])
}

/// Runs the program with these arguments, the first of which is its name; returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(arguments) = external::arguments(&arguments) {
        return external::run(&arguments).unwrap_or_else(|error| {
            report(&error, false);
            error.exit_code()
        });
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap reports --help and --version as errors that go to stdout.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let common = cli.common;
    let json = common.json;
    if let Err(error) = crate::threads::from_environment() {
        report(&error, json);
        return error.exit_code();
    }
    let result = match cli.command {
        Command::Fit(options) => fit::run(&options, &common),
        Command::Data(options) => data::run(&options, &common),
        Command::Evaluate(options) => evaluate::run(&options, &common),
        Command::Predict(options) => predict::run(&options, &common),
        Command::Export(options) => export::run(&options, &common),
        Command::List(options) => list::run(&options, &common),
        Command::Lock(options) => lock::run(&options, &common),
        Command::Trust(options) => trust::run(&options, &common),
        Command::Show(options) => show::run(&options, &common),
        Command::Check(options) => check::run(&options, &common),
        Command::New(options) => new::run(&options, &common),
        Command::Schema(options) => schema::run(&options, &common),
        // `external::arguments` has found these.
        Command::Score(_) | Command::Sql(_) => Err(Error::usage("a subcommand must follow the options of the program")),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "plugfit", &mut script);
            write(&String::from_utf8_lossy(&script));
            Ok(())
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            report(&error, json);
            error.exit_code()
        }
    }
}

fn report(error: &Error, json: bool) {
    if json {
        let details: Vec<Value> =
            error.details().iter().map(|(label, text)| json!({"label": label, "text": text})).collect();
        event("error", json!({"message": error.message(), "details": details, "status": error.exit_code()}));
    }
    eprintln!("error: {}", shown(&error.to_string()));
}

/// Prints a line of `--json`.
fn event(name: &str, fields: Value) {
    let mut object = Map::new();
    object.insert("event".into(), json!(name));
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    write(&format!("{}\n", Value::Object(object)));
}

/// Writes text to stdout, escaped for a terminal.
fn print(text: &str) {
    write(&text::printable(text));
}

/// Writes to stdout. Errors are ignored, such as a closed pipe (`| head`).
fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a warning, to stderr or as an event.
fn warn(text: &str, json: bool) {
    if json {
        event("warning", json!({"message": text}));
    } else {
        eprintln!("warning: {}", shown(text));
    }
}

/// Runs `work` inside of the thread pool, because entering the pool for each batch costs more than a small batch.
fn in_pool<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    crate::threads::install(work)
}
