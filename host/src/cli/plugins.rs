//! The host that the command line and the run's file describe.

use std::path::Path;
use std::sync::Arc;

use super::{Common, lock, short, warn};
use crate::plugin::find::{self, Folder, Source, State, Verdict};
use crate::plugin::trust::TrustedKeys;
use crate::plugin::{LoadOptions, Lock, Origin, Refusal};
use crate::train::RunFile;
use crate::{Error, Host, Result};

/// Loads the plug-ins: those of `--plugins` first, then the run file's, then those of the folders that are looked at always.
///
/// # Errors
/// A file or folder that was named is refused.
pub fn host(common: &Common, file: &RunFile, locks: Vec<Lock>) -> Result<Host> {
    with_named_folders(host_with(options(common, Some(file), locks)?, common, Some(file), true)?)
}

/// The same host, to be looked at: it reads manifests, and runs no code of a plug-in.
///
/// # Errors
/// As [`host`].
pub fn shown_host(common: &Common, file: Option<&RunFile>) -> Result<Host> {
    with_named_folders(host_to_look_at(common, file, true)?)
}

/// The same where a file or a folder that is refused is only reported.
///
/// # Errors
/// The lock, the keys or the options can't be.
pub fn shown_host_of_all(common: &Common, file: Option<&RunFile>) -> Result<Host> {
    host_to_look_at(common, file, false)
}

fn host_to_look_at(common: &Common, file: Option<&RunFile>, needs_named: bool) -> Result<Host> {
    let options = options(common, file, lock::here(common, file, None)?)?;
    host_with(LoadOptions { manifests_only: true, ..options }, common, file, needs_named)
}

fn with_named_folders(host: Host) -> Result<Host> {
    for report in host.reports() {
        if let (State::Refused(refusal), Source::Flag | Source::Config(_)) = (report.state, report.folder.source) {
            return Err(Refusal { path: short(&refusal.path).into(), ..refusal }.into());
        }
    }
    Ok(host)
}

/// `needs_named`: a file that was named and is refused is an error.
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

/// How plug-ins are loaded. Signatures are required where the command line asks for them or the run's file does.
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
        Some(limit) if load_in_place => Err(Error::usage(format!("--load-in-place can't be had with {limit}"))
            .hint("what is loaded in place may change after it was checked")),
        _ => Ok(options),
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

/// Says which plug-ins were refused, and why.
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
                warn(&format!("there is no folder {path}"), common.json);
            }
            (State::Refused(refusal), source) => {
                warn(&format!("{path} ({source}): {}", refusal.line()), common.json);
            }
            _ => {}
        }
    }
}

/// Where a plug-in came from.
pub fn place(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn => "built in".into(),
        Origin::File(path) => short(path),
    }
}
