//! Builds the host from the command line and the run file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Common, short, warn, working_folder};
use crate::files::path_of;
use crate::plugin::find::{self, Folder, Source, State, Verdict};
use crate::plugin::trust::TrustedKeys;
use crate::plugin::{LoadOptions, Lock, Origin, Refusal};
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

fn check_named_folders(host: Host) -> Result<Host> {
    for report in host.reports() {
        if let (State::Refused(refusal), Source::Flag | Source::Config(_)) = (report.state, report.folder.source) {
            return Err(Refusal { path: short(&refusal.path).into(), ..refusal }.into());
        }
    }
    Ok(host)
}

/// If `needs_named`, a named file that is refused is an error.
fn host_with(options: LoadOptions, common: &Common, file: Option<&RunFile>, needs_named: bool) -> Result<Host> {
    let host = Host::with_options(options);
    if !common.no_builtin {
        host.add_builtin();
    }
    for path in &common.plugins {
        add(&host, path, Source::Flag, needs_named)?;
    }
    if let Some(file) = file {
        for (index, path) in file.plugins()?.into_iter().enumerate() {
            let source = Source::Config(file.name().into());
            add(&host, &path, source, needs_named)
                .map_err(|error| file.located(error.with("in", format!("plugins[{index}]"))))?;
        }
    }
    for folder in find::default_folders() {
        host.add_folder(folder);
    }
    Ok(host)
}

/// Returns how plug-ins are loaded. Signatures are required if the command line or the run file requires them.
pub fn options(common: &Common, file: Option<&RunFile>, locks: Vec<Lock>) -> Result<LoadOptions> {
    let require_signed = common.require_signed || file.map_or(Ok(false), RunFile::require_signed)?;
    let keys = require_signed.then(TrustedKeys::of_user).transpose()?;
    let load_in_place = common.load_in_place;
    let isolate = common.isolate.isolation()?;
    let options = LoadOptions {
        load_in_place,
        locks: locks.into_iter().map(Arc::new).collect(),
        signed_by: keys.map(Arc::new),
        isolate,
        manifests_only: false,
    };
    match options.limit() {
        Some(limit) if load_in_place => Err(Error::usage(format!("--load-in-place can't be used with {limit}"))
            .hint("a file that is loaded in place may change after the check")),
        _ => Ok(options),
    }
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
    match (common.locked, trained_under) {
        (_, Some(trained_under)) => {
            let trained_under = short(&path_of(trained_under, Path::new("")));
            Err(looked(Error::usage(format!("the run was trained with the lock {trained_under}, which no longer exists")))
                .hint("put it back, or write a new one with `plugfit lock`: with the run's file, or with --plugins from this folder"))
        }
        (true, None) => Err(looked(Error::usage(format!("there is no {}", Lock::NAME)))
            .hint("write it with `plugfit lock`: with the run's file, or from this folder")),
        (false, None) => Ok(locks),
    }
}

fn add(host: &Host, path: &Path, source: Source, needs_named: bool) -> Result<()> {
    if path.is_file() {
        return match host.report_file(path).verdict {
            Verdict::Refused(refusal) if needs_named => Err(refusal.into()),
            _ => Ok(()),
        };
    }
    host.add_folder(Folder { path: path.to_owned(), source });
    Ok(())
}

/// Warns of the plug-ins that were refused.
pub fn warn_of_refusals(host: &Host, common: &Common) {
    for note in host.notes() {
        warn(&note, common.json);
    }
    for report in host.reports() {
        for file in &report.files {
            if let Verdict::Refused(refusal) = &file.verdict {
                let path = &file.path;
                let mut text = format!("{}: {}", short(path), refusal.line());
                if let (true, Some(details)) = (common.verbose, &refusal.details) {
                    text.push('\n');
                    text.push_str(details);
                }
                warn(&text, common.json);
            }
        }
        let path = short(&report.folder.path);
        match (&report.state, &report.folder.source) {
            (State::Missing, Source::Flag | Source::Config(_)) => {
                warn(&format!("there isn't a folder {path}"), common.json);
            }
            (State::Refused(refusal), source) => {
                warn(&format!("{path} ({source}): {}", refusal.line()), common.json);
            }
            _ => {}
        }
    }
}

/// Returns where a plug-in came from, for display.
pub fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn => "built in".into(),
        Origin::File(path) => short(path),
    }
}
