//! The options of a program that say which plug-ins it loads.

mod shown;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::plugin::find::{self, Folder, Source, State, Verdict};
use crate::plugin::trust::TrustedKeys;
use crate::plugin::{Isolation, LoadOptions, Lock, Refusal};
use crate::{Error, Host, Result};

pub use shown::{printable, shown};
pub(crate) use shown::{short, working_folder};

/// The options that every program has. The folders that are searched by default follow those that are named.
#[derive(Args, Clone, Debug, Default)]
pub struct PluginOptions {
    /// A plug-in, or a folder of plug-ins; may be given several times
    #[arg(long, global = true, value_name = "PATH", value_parser = absolute())]
    pub plugins: Vec<PathBuf>,
    /// Leave out the built-in standard set
    #[arg(long, global = true)]
    pub no_builtin: bool,
    /// Load plug-ins from their files, not from checked copies, so that they find libraries beside them
    #[arg(long, global = true)]
    pub load_in_place: bool,
    /// Load only plug-ins that a plugfit.lock lists, and fail if there is no such file
    #[arg(long, global = true)]
    pub locked: bool,
    /// Load only plug-in files that are signed with a key added by `plugfit trust`
    #[arg(long, global = true)]
    pub require_signed: bool,
}

impl PluginOptions {
    /// Returns the host of a program that has no run file. The lock in the working directory applies.
    ///
    /// # Errors
    /// Returns an error if a file or folder that was named is refused, or if the lock or the trusted keys are invalid.
    pub fn host(&self, isolate: Option<Isolation>) -> Result<Host> {
        let path = working_folder()?.join(Lock::NAME);
        let locks: Vec<Lock> = Lock::at(&path)?.into_iter().collect();
        if self.locked && locks.is_empty() {
            return Err(no_lock().with("looked", short(&path)).hint("write it with `plugfit lock` from this folder"));
        }
        let host = Host::with_options(self.load_options(locks, self.require_signed, isolate)?);
        self.add_named(&host, true)?;
        self.add_default_folders(&host);
        check_named_folders(host)
    }

    /// Returns how plug-ins are loaded.
    ///
    /// # Errors
    /// Returns an error if the trusted keys are invalid, or if the options exclude each other.
    pub(crate) fn load_options(
        &self,
        locks: Vec<Lock>,
        require_signed: bool,
        isolate: Option<Isolation>,
    ) -> Result<LoadOptions> {
        let keys = require_signed.then(TrustedKeys::of_user).transpose()?;
        let options = LoadOptions {
            load_in_place: self.load_in_place,
            locks: locks.into_iter().map(Arc::new).collect(),
            signed_by: keys.map(Arc::new),
            isolate,
            manifests_only: false,
        };
        match options.limit() {
            Some(limit) if self.load_in_place => {
                Err(Error::usage(format!("--load-in-place can't be used with {limit}"))
                    .hint("a file that is loaded in place may change after the check"))
            }
            _ => Ok(options),
        }
    }

    /// Adds the standard set and the plug-ins that are named. If `needs_named`, a named file that is refused is an
    /// error.
    pub(crate) fn add_named(&self, host: &Host, needs_named: bool) -> Result<()> {
        if !self.no_builtin {
            host.add_builtin();
        }
        self.plugins.iter().try_for_each(|path| add(host, path, Source::Flag, needs_named))
    }

    /// Adds the folders that are searched by default.
    pub(crate) fn add_default_folders(&self, host: &Host) {
        for folder in find::default_folders() {
            host.add_folder(folder);
        }
    }
}

/// Returns the error for a lock that is required and missing.
pub(crate) fn no_lock() -> Error {
    Error::usage(format!("there is no {}", Lock::NAME))
}

/// Adds a file or a folder of plug-ins.
pub(crate) fn add(host: &Host, path: &Path, source: Source, needs_named: bool) -> Result<()> {
    if path.is_file() {
        return match host.report_file(path).verdict {
            Verdict::Refused(refusal) if needs_named => Err(refusal.into()),
            _ => Ok(()),
        };
    }
    host.add_folder(Folder { path: path.to_owned(), source });
    Ok(())
}

/// Returns the host, or an error if a folder that was named is refused.
pub(crate) fn check_named_folders(host: Host) -> Result<Host> {
    for report in host.reports() {
        if let (State::Refused(refusal), Source::Flag | Source::Config(_)) = (report.state, report.folder.source) {
            return Err(Refusal { path: short(&refusal.path).into(), ..refusal }.into());
        }
    }
    Ok(host)
}

/// Returns the warnings of the plug-ins that were refused, with their details if `verbose`.
pub fn warnings(host: &Host, verbose: bool) -> Vec<String> {
    let mut warnings = host.notes();
    for report in host.reports() {
        for file in &report.files {
            if let Verdict::Refused(refusal) = &file.verdict {
                let path = &file.path;
                let mut text = format!("{}: {}", short(path), refusal.line());
                if let (true, Some(details)) = (verbose, &refusal.details) {
                    text.push('\n');
                    text.push_str(details);
                }
                warnings.push(text);
            }
        }
        let path = short(&report.folder.path);
        match (&report.state, &report.folder.source) {
            (State::Missing, Source::Flag | Source::Config(_)) => {
                warnings.push(format!("there isn't a folder {path}"));
            }
            (State::Refused(refusal), source) => {
                warnings.push(format!("{path} ({source}): {}", refusal.line()));
            }
            _ => {}
        }
    }
    warnings
}

/// Returns a parser that makes paths absolute, so that a plug-in that changes the working directory can't redirect
/// them.
pub fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}
