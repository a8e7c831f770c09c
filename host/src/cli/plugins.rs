//! Builds the host from the command line and the run file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Common, short, warn, working_folder};
use crate::files::path_of;
use crate::options::{self, add, check_named_folders, no_lock};
use crate::plugin::find::Source;
use crate::plugin::{LoadOptions, Lock, Origin};
use crate::train::RunFile;
use crate::{Error, Host, Result};

/// Loads the plug-ins: those of `--plugins` first, then those of the run file, then those of the default folders.
///
/// # Errors
/// Returns an error if a file or folder that was named is refused.
pub fn host(common: &Common, file: Option<&RunFile>, locks: Vec<Lock>) -> Result<Host> {
    check_named_folders(host_with(options(common, file, locks)?, common, file, true)?)
}

/// Builds the same host from manifests alone, for display; no plug-in code runs.
///
/// # Errors
/// As [`host`].
pub fn host_of_manifests(common: &Common, file: Option<&RunFile>) -> Result<Host> {
    check_named_folders(read_manifests(common, file, true)?)
}

/// As [`host_of_manifests`], but a file or a folder that is refused is only reported.
///
/// # Errors
/// Returns an error if the lock, the trusted keys or the options are invalid.
pub fn host_with_refusals(common: &Common, file: Option<&RunFile>) -> Result<Host> {
    read_manifests(common, file, false)
}

fn read_manifests(common: &Common, file: Option<&RunFile>, needs_named: bool) -> Result<Host> {
    let options = options(common, file, applicable_locks(common, file, None)?)?;
    host_with(LoadOptions { manifests_only: true, ..options }, common, file, needs_named)
}

/// If `needs_named`, a named file that is refused is an error.
fn host_with(options: LoadOptions, common: &Common, file: Option<&RunFile>, needs_named: bool) -> Result<Host> {
    let host = Host::with_options(options);
    common.options.add_named(&host, needs_named)?;
    if let Some(file) = file {
        for (index, path) in file.plugins()?.into_iter().enumerate() {
            let source = Source::Config(file.name().into());
            add(&host, &path, source, needs_named)
                .map_err(|error| file.located(error.with("in", format!("plugins[{index}]"))))?;
        }
    }
    common.options.add_default_folders(&host);
    Ok(host)
}

/// Returns how plug-ins are loaded. Signatures are required if the command line or the run file requires them.
pub fn options(common: &Common, file: Option<&RunFile>, locks: Vec<Lock>) -> Result<LoadOptions> {
    let require_signed = common.options.require_signed || file.map_or(Ok(false), RunFile::require_signed)?;
    common.options.load_options(locks, require_signed, common.isolate.isolation()?)
}

/// Returns the locks that apply: those beside the run file or the saved run, and that of the working directory. A lock
/// that comes with somebody else's run applies in addition to the user's. `trained_under` is the lock with which a
/// saved run was trained.
///
/// # Errors
/// Returns an error if there is no lock, but `--locked` or `trained_under` requires one.
pub fn applicable_locks(common: &Common, file: Option<&RunFile>, trained_under: Option<&str>) -> Result<Vec<Lock>> {
    let beside = file.map(RunFile::lock_folders).unwrap_or_default().iter().map(|folder| folder.join(Lock::NAME));
    let mut paths: Vec<PathBuf> = beside.chain([working_folder()?.join(Lock::NAME)]).collect();
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    let locks = paths.iter().filter_map(|path| Lock::at(path).transpose()).collect::<Result<Vec<_>>>()?;
    if !locks.is_empty() {
        return Ok(locks);
    }
    let looked =
        |error: Error| error.with("looked", paths.iter().map(|path| short(path)).collect::<Vec<_>>().join(", "));
    match (common.options.locked, trained_under) {
        (_, Some(trained_under)) => {
            let trained_under = short(&path_of(trained_under, Path::new("")));
            Err(looked(Error::usage(format!("the run was trained with the lock {trained_under}, which no longer exists")))
                .hint("put it back, or write a new one with `plugfit lock`: with the run's file, or with --plugins from this folder"))
        }
        (true, None) => {
            Err(looked(no_lock()).hint("write it with `plugfit lock`: with the run's file, or from this folder"))
        }
        (false, None) => Ok(locks),
    }
}

/// Warns of the plug-ins that were refused.
pub fn warn_of_refusals(host: &Host, common: &Common) {
    for warning in options::warnings(host, common.verbose) {
        warn(&warning, common.json);
    }
}

/// Returns where a plug-in came from, for display.
pub fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn => "built in".into(),
        Origin::File(path) => short(path),
    }
}
