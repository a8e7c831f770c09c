//! The host that the command line and the run's file describe.

use std::path::Path;
use std::sync::Arc;

use super::{Common, lock, short, warn};
use crate::plugin::find::{self, Folder, Source, Verdict};
use crate::plugin::{LoadOptions, Origin};
use crate::train::RunFile;
use crate::{Host, Result};

/// Loads the plug-ins: those of `--plugins` first, then the run file's, then those of the folders that are looked at always.
pub fn host(common: &Common, file: Option<&RunFile>) -> Result<Host> {
    let options = load_options(common, file)?;
    let is_locked = options.lock.is_some();
    let host = Host::with_options(options);
    if !common.no_builtin {
        host.add_builtin();
    }
    for path in &common.plugins {
        add(&host, path, Source::Flag)?;
    }
    if let Some(file) = file {
        for (index, path) in file.plugins()?.into_iter().enumerate() {
            let source = Source::Config(file.name().into());
            add(&host, &path, source).map_err(|error| file.located(error.with("in", format!("plugins[{index}]"))))?;
        }
    }
    // Under a lock no variable of the environment brings in a folder.
    let folders = find::default_folders().into_iter();
    for folder in folders.filter(|folder| !(is_locked && folder.source == Source::Environment)) {
        host.add_folder(folder);
    }
    Ok(host)
}

/// How plug-ins are loaded here.
pub fn load_options(common: &Common, file: Option<&RunFile>) -> Result<LoadOptions> {
    let lock = lock::here(common, file)?.map(Arc::new);
    Ok(LoadOptions { load_in_place: common.load_in_place, lock })
}

fn add(host: &Host, path: &Path, source: Source) -> Result<()> {
    if path.is_file() {
        return host.add_file(path);
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
        if let (find::State::Missing, Source::Flag | Source::Config(_)) = (&report.state, &report.folder.source) {
            warn(&format!("there is no folder {}", short(&report.folder.path)), common.json);
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
