//! `plugfit lock`: writes plugfit.lock.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Common, absolute, event, plugins, print, short, warn, working_folder};
use crate::plugin::find::{self, Source};
use crate::plugin::{Lock, Locked};
use crate::train::RunFile;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A run file, whose plug-ins are locked too; plugfit.lock is written beside it [default: in the working directory]
    #[arg(value_parser = absolute())]
    file: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.file.as_deref().map(RunFile::read).transpose()?;
    let mut files = Vec::new();
    let named = file.as_ref().map(RunFile::plugins).transpose()?.unwrap_or_default();
    for path in common.options.plugins.iter().chain(&named) {
        match path.is_file() {
            true => files.push(path.clone()),
            false => files.extend(libraries(path)?),
        }
    }
    // With a lock, the folders in $PLUGFIT_PLUGINS aren't searched.
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
        "{} lists {} plug-ins; in its folder, no others are loaded\n",
        short(lock.path()),
        lock.plugins().len()
    ));
    Ok(())
}

fn libraries(folder: &Path) -> Result<Vec<PathBuf>> {
    find::libraries(folder).map_err(|error| Error::failure(format!("cannot read {}: {error}", short(folder))))
}
