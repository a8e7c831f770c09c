//! `plugfit score` and `plugfit sql`: subcommands that another program runs, because it contains a query engine.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command as Process;

use clap::{Args, Parser};

use super::{Cli, Command, short};
use crate::{Error, Result};

/// The program, which lies beside this one or on PATH.
const PROGRAM: &str = "plugfit-score";

#[derive(Args)]
pub struct Arguments {
    /// The arguments, which the program reads
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

/// Returns the arguments for the other program if these are those of one of its subcommands: the subcommand, then the
/// options before and after it.
pub fn arguments(all: &[OsString]) -> Option<Vec<OsString>> {
    let is_name = |argument: &OsString| argument == "score" || argument == "sql";
    for (at, name) in all.iter().enumerate().skip(1).filter(|(_, argument)| is_name(argument)) {
        let (before, after) = (&all[..at], &all[at + 1..]);
        // What follows are options of the other program, which this one doesn't know.
        match Cli::try_parse_from(before.iter().chain([name])).map(|cli| cli.command) {
            Ok(Command::Score(_) | Command::Sql(_)) => {
                return Some([std::slice::from_ref(name), &before[1..], after].concat());
            }
            Ok(_) => return None,
            // The name may be the value of an option.
            Err(_) => {}
        }
    }
    None
}

/// Runs the other program and returns its exit status.
///
/// # Errors
/// Returns an error if it isn't installed.
pub fn run(arguments: &[OsString]) -> Result<u8> {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let folder = std::env::current_exe().ok().and_then(|program| program.parent().map(PathBuf::from));
    let beside = folder.as_ref().map(|folder| folder.join(&name)).filter(|program| program.is_file());
    let mut process = Process::new(beside.as_ref().map_or(OsStr::new(&name), |program| program.as_os_str()));
    process.args(arguments);
    let error = match status(&mut process) {
        Ok(status) => return Ok(status),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::NotFound {
        return Err(Error::failure(format!("cannot run {PROGRAM}: {error}")));
    }
    let subcommand = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    let looked = folder.map_or_else(|| "PATH".to_owned(), |folder| format!("{}, PATH", short(&folder)));
    Err(Error::usage(format!("`plugfit {subcommand}` needs the program {PROGRAM}, which isn't installed"))
        .with("looked", looked)
        .hint("it is built apart, because it contains a query engine: in plugfit's sources, run")
        .hint("cargo install --locked --path host/engines/sql"))
}

/// Replaces this process by the other program, so that it gets signals.
#[cfg(unix)]
fn status(process: &mut Process) -> std::io::Result<u8> {
    Err(std::os::unix::process::CommandExt::exec(process))
}

#[cfg(not(unix))]
fn status(process: &mut Process) -> std::io::Result<u8> {
    let status = process.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(all: &str) -> Option<String> {
        let all: Vec<OsString> = all.split(' ').map(OsString::from).collect();
        let found = arguments(&all)?;
        Some(found.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_subcommand_is_found_among_the_options_of_the_program() {
        for (all, expected) in [
            ("plugfit score a.csv --y-true y", "score a.csv --y-true y"),
            ("plugfit --plugins /p --no-builtin score --help", "score --plugins /p --no-builtin --help"),
            ("plugfit --plugins score score f", "score --plugins score f"),
            ("plugfit sql --plugins /p score", "sql --plugins /p score"),
        ] {
            assert_eq!(found(all).as_deref(), Some(expected), "{all}");
        }
        for all in ["plugfit", "plugfit list", "plugfit new score", "plugfit fit sql", "plugfit --unknown score"] {
            assert_eq!(found(all), None, "{all}");
        }
    }
}
