//! The `plugfit` program: a file for each subcommand.

mod chance;
mod check;
mod ending;
mod evaluate;
mod fit;
mod isolate;
mod kept;
mod list;
mod lock;
mod new;
mod plugins;
mod predict;
mod progress;
mod resumed;
mod schema;
mod show;
mod table;
mod trust;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Map, Value, json};

use crate::data::text;
use crate::{Error, Result};

/// Trains with optimizers, losses and metrics that come from plug-ins: shared libraries dropped into a folder.
#[derive(Parser)]
#[command(name = "plugfit", version, arg_required_else_help = true, infer_long_args = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every subcommand takes.
#[derive(Args)]
struct Common {
    /// A plug-in or a folder of plug-ins; may be given several times
    #[arg(long, global = true, value_name = "PATH", value_parser = absolute())]
    plugins: Vec<PathBuf>,
    /// Begin without the standard set that is built in
    #[arg(long, global = true)]
    no_builtin: bool,
    /// Load plug-ins from where they are, so that they find libraries beside them
    #[arg(long, global = true)]
    load_in_place: bool,
    /// Load nothing but what a plugfit.lock names, and fail if there is none
    #[arg(long, global = true)]
    locked: bool,
    /// Load no plug-in's file that isn't signed with a key that `plugfit trust` took in
    #[arg(long, global = true)]
    require_signed: bool,
    #[command(flatten)]
    isolate: isolate::Options,
    /// Print an object a line, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Print the details of what is refused, too
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Train the run that a file describes
    Fit(fit::Options),
    /// The losses and metrics of a trained run on its validation data, or on other data
    Evaluate(evaluate::Options),
    /// A trained run's predictions for data
    Predict(predict::Options),
    /// The components of the loaded plug-ins, or why each plug-in was loaded or not
    List(list::Options),
    /// Write plugfit.lock: where it is, no other plug-ins are loaded than those that are found now
    Lock(lock::Options),
    /// Whose signatures --require-signed takes; --help says what each protection is good for
    Trust(trust::Options),
    /// A component's documentation and settings
    Show(show::Options),
    /// Put plug-ins to the test before anyone trains with them, each test in a process of its own
    Check(check::Options),
    /// Begin a plug-in: a crate that builds and passes its own test at once
    New(new::Options),
    /// The JSON Schema of a run's file, for editors
    Schema(schema::Options),
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the process's arguments: 0 done, 1 it failed, 2 it was asked wrongly, 130 interrupted.
pub fn main() -> ExitCode {
    crate::plugin::worker_main();
    ExitCode::from(run(std::env::args_os()))
}

/// How this program is begun anew, where it isn't by its own file: `python -m plugfit`.
static PROGRAM: OnceLock<Vec<OsString>> = OnceLock::new();

/// Says how the program is begun anew, where this process isn't of its own file; for what is run in a process of its own.
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

/// Runs the program with these arguments, the first of which is its name; gives its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout; clap knows.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let common = cli.common;
    let json = common.json;
    let result = match cli.command {
        Command::Fit(options) => fit::run(&options, &common),
        Command::Evaluate(options) => evaluate::run(&options, &common),
        Command::Predict(options) => predict::run(&options, &common),
        Command::List(options) => list::run(&options, &common),
        Command::Lock(options) => lock::run(&options, &common),
        Command::Trust(options) => trust::run(&options, &common),
        Command::Show(options) => show::run(&options, &common),
        Command::Check(options) => check::run(&options, &common),
        Command::New(options) => new::run(&options, &common),
        Command::Schema(options) => schema::run(&options, &common),
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
    eprintln!("error: {}", text::shown(&seen_from_here(&error.to_string())));
}

/// Parses a path of the command line and makes it absolute, so that a plug-in that changes the working directory can't redirect it.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// The folder that the program runs in.
fn working_folder() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::failure(format!("the working directory can't be found: {error}")))
}

/// Makes paths below the working directory relative to it, for a person to read.
fn seen_from_here(text: &str) -> String {
    let here = working_folder().map(|here| format!("{}/", here.display())).unwrap_or_default();
    let mut parts = text.split(here.as_str());
    // At the root every path would lose its first slash.
    if here.len() < 2 {
        return text.to_owned();
    }
    let mut seen = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // In the middle of another path it isn't the working directory.
        if seen.ends_with(|before: char| !before.is_whitespace() && !"\"'`(=".contains(before)) {
            seen.push_str(&here);
        }
        seen.push_str(part);
    }
    seen
}

/// A line of `--json`.
fn event(name: &str, fields: Value) {
    let mut object = Map::new();
    object.insert("event".into(), json!(name));
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    write(&format!("{}\n", Value::Object(object)));
}

/// Writes text for a person to stdout.
fn print(text: &str) {
    write(&text::shown(text));
}

/// Writes to stdout. Who reads no more (`| head`) is no error.
fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A warning, on stderr or as an event.
fn warn(text: &str, json: bool) {
    if json {
        event("warning", json!({"message": text}));
    } else {
        eprintln!("warning: {}", text::shown(&seen_from_here(text)));
    }
}

/// A path as a person would write it: seen from the working directory, where it is below it.
fn short(path: &std::path::Path) -> String {
    let here = std::env::current_dir().ok();
    let path = without_detours(path);
    match here.as_deref().and_then(|here| path.strip_prefix(here).ok()) {
        Some(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        inside => text::of_path(inside.unwrap_or(&path)),
    }
}

/// `a/b/../c` is `a/c`, unless b is a link to elsewhere.
fn without_detours(path: &std::path::Path) -> std::path::PathBuf {
    let mut straight = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if straight.file_name().is_some() => {
                straight.pop();
            }
            part => straight.push(part),
        }
    }
    match (straight.canonicalize(), path.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => straight,
        _ => path.to_owned(),
    }
}

/// Does work inside of the thread pool, since entering it anew for every batch costs more than a small batch takes.
fn in_pool<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    rayon::scope(|_| work())
}
