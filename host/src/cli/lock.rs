//! `plugfit lock`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, plugins, print, short, warn, working_folder};
use crate::data::names::path_of;
use crate::plugin::find::{self, Source};
use crate::plugin::{Lock, Locked};
use crate::train::RunFile;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A run's file, whose plug-ins are locked, in a plugfit.lock beside it [default: those of the folders that are looked in always]
    #[arg(value_parser = absolute())]
    file: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.file.as_deref().map(RunFile::read).transpose()?;
    let mut files = Vec::new();
    let named = file.as_ref().map(RunFile::plugins).transpose()?.unwrap_or_default();
    for path in common.plugins.iter().chain(&named) {
        match path.is_file() {
            true => files.push(path.clone()),
            false => files.extend(libraries(path)?),
        }
    }
    // Under the lock no variable of the environment adds a folder.
    for folder in find::default_folders().into_iter().filter(|folder| folder.source != Source::Environment) {
        files.extend(libraries(&folder.path)?);
    }
    let options = plugins::options(common, file.as_ref(), Vec::new())?;
    let mut locked: Vec<Locked> = Vec::new();
    for path in files {
        match Locked::of(&path, &options) {
            Ok(plugin) if locked.iter().any(|other| other.sha256 == plugin.sha256) => {}
            Ok(plugin) => locked.push(plugin),
            Err(refusal) if refusal.not_a_plugin => {}
            Err(refusal) => warn(&format!("left out: {} {}", short(&path), refusal.line()), common.json),
        }
    }
    let folder = file.as_ref().map_or_else(working_folder, |file| Ok(file.folder().to_owned()))?;
    let lock = Lock::new(folder.join(Lock::NAME), locked);
    lock.write()?;
    if common.json {
        event("lock", json!({"file": lock.path().display().to_string(), "plugins": lock.plugins()}));
        return Ok(());
    }
    for plugin in lock.plugins() {
        print(&format!("{} {}   {}   {}\n", plugin.name, plugin.version, &plugin.sha256[..16], short(&plugin.from)));
    }
    print(&format!(
        "{} holds {} plug-ins: nothing else is loaded where it is\n",
        short(lock.path()),
        lock.plugins().len()
    ));
    Ok(())
}

fn libraries(folder: &Path) -> Result<Vec<PathBuf>> {
    find::libraries(folder).map_err(|error| Error::failure(format!("cannot read {}: {error}", short(folder))))
}

/// The locks that hold here: those beside the run's file or the kept run, and that of the current folder. A stranger's run may bring a lock of
/// its own, which takes nothing from the user's. `then` is the lock that held as a kept run was trained.
pub fn here(common: &Common, file: Option<&RunFile>, then: Option<&str>) -> Result<Vec<Lock>> {
    let beside = file.map(RunFile::beside).unwrap_or_default().iter().map(|folder| folder.join(Lock::NAME));
    let mut paths: Vec<PathBuf> = beside.chain([working_folder()?.join(Lock::NAME)]).collect();
    let mut seen = std::collections::HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    let locks = paths.iter().filter_map(|path| Lock::at(path).transpose()).collect::<Result<Vec<_>>>()?;
    if !locks.is_empty() {
        return Ok(locks);
    }
    let looked =
        |error: Error| error.with("looked", paths.iter().map(|path| short(path)).collect::<Vec<_>>().join(", "));
    match (common.locked, then) {
        (_, Some(then)) => {
            let then = short(&path_of(then, Path::new("")));
            Err(looked(Error::usage(format!("the run was trained under {then}, which isn't there any more")))
                .hint("put it back, or write a new one with `plugfit lock`: with the run's file, or with --plugins from this folder"))
        }
        (true, None) => Err(looked(Error::usage(format!("there is no {}", Lock::NAME)))
            .hint("write it with `plugfit lock`: with the run's file, or from this folder")),
        (false, None) => Ok(locks),
    }
}
