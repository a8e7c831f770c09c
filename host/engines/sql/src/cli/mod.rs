//! The program `plugfit-score`, which `plugfit score` and `plugfit sql` run.

mod aggregate;
mod arguments;
mod config;
mod control;
mod input;
mod locate;
mod output;
mod query;
mod report;
mod require;
mod results;
mod score;
mod sql;
mod streams;
mod table;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use plugfit::options::{PluginOptions, shown, warnings};
use plugfit::plugin::Isolation;
use plugfit::{Error, Host, Result};
use query::of_panic;

/// Computes metrics of predictions in files, and answers SQL queries with metrics as functions.
#[derive(Parser)]
#[command(name = "plugfit-score", bin_name = "plugfit", version, arg_required_else_help = true, infer_long_args = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    plugins: PluginOptions,
    /// Run each plug-in file in a separate process
    #[arg(long, global = true)]
    isolate: bool,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Also print details of plug-ins that are refused
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Compute metrics of predictions in files, as a whole or by group
    Score(Box<score::Options>),
    /// Answer a SQL query, with a function for each metric
    Sql(sql::Options),
}

impl Common {
    /// Loads the plug-ins.
    fn host(&self, plugins: &PluginOptions) -> Result<Host> {
        if self.isolate && !cfg!(target_os = "linux") {
            return Err(Error::usage("plug-ins can be isolated only on Linux").hint("leave out --isolate"));
        }
        let host = plugins.host(self.isolate.then(Isolation::default))?;
        for warning in warnings(&host, self.verbose) {
            warn(&warning);
        }
        Ok(host)
    }
}

/// Runs the program with the arguments of the process.
///
/// Returns 0 for success, 1 for a failure or an unmet requirement, 2 for a usage error, 130 for an interruption.
pub fn main() -> ExitCode {
    plugfit::worker_main();
    ExitCode::from(run(std::env::args_os()))
}

/// Runs the program with these arguments, the first of which is its name; returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap reports --help and --version as errors that go to stdout.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let work = || match &cli.command {
        Command::Score(options) => score::run(options, &cli.common),
        Command::Sql(options) => sql::run(options, &cli.common),
    };
    // A library may panic at a damaged file.
    let hook = std::panic::take_hook();
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(of_panic(&*panic)));
    std::panic::set_hook(hook);
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {}", shown(&error.to_string()));
            error.exit_code()
        }
    }
}

/// Prints a warning to stderr.
fn warn(text: &str) {
    eprintln!("warning: {}", shown(text));
}
