//! The file that a subcommand writes, given by the user.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Checks that a file may be written: it doesn't exist, or `overwrite` is set and it is none of the `inputs`.
/// `command` is the subcommand, and `name_another` says how to give another file.
pub fn check(out: &Path, overwrite: bool, inputs: &[PathBuf], command: &str, name_another: &str) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let shown = out.display();
    let place = out.canonicalize().ok();
    if inputs.iter().any(|file| file.canonicalize().ok() == place) {
        return Err(Error::usage(format!("{shown} is one of the input files, and {command} never overwrites these"))
            .hint(name_another.replace("another file", "another one")));
    }
    match overwrite {
        true => Ok(()),
        false => Err(Error::usage(format!("{shown} already exists"))
            .hint(format!("{name_another}, or replace it with --overwrite"))),
    }
}
