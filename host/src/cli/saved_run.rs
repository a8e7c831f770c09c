//! Saved runs: opens a run folder, and loads the plug-ins and weights of the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Common, plugins, short, warn, working_folder};
use crate::compile::Compiled;
use crate::data::{Dataset, Schema};
use crate::files::{name_of, path_of};
use crate::network::Sequential;
use crate::plugin::{self, Origin, Plugin};
use crate::text::printable_line;
use crate::train::{RunFile, RunFolder, RunRecord, load_weights};
use crate::{Error, Host, Result};

/// A saved run: its network with weights, and the host and configuration for it.
pub struct SavedRun {
    pub file: RunFile,
    pub host: Host,
    pub network: Sequential,
    pub record: RunRecord,
}

/// Opens a run folder, and loads the run's plug-ins and weights.
pub fn open(path: &Path, common: &Common) -> Result<SavedRun> {
    let (folder, record) = RunFolder::open(path)?;
    let file = run_file(&folder, &record)?;
    let host =
        plugins::host(common, Some(&file), plugins::applicable_locks(common, Some(&file), record.lock.as_deref())?)?;
    plugins::warn_of_refusals(&host, common);
    warn_of_changes(&record, digests(&host), common);
    let config = file.network()?;
    let mut network = Sequential::new(&config, &record.schema.input_shape, 0)?;
    if !folder.weights().exists() {
        let run = short(path);
        return Err(Error::failure(format!("{run} has no weights yet: the run ended before it wrote them"))
            .hint(format!("`plugfit fit --resume {run}` continues it, and writes them at its end")));
    }
    load_weights(&mut network, &folder.weights())?;
    Ok(SavedRun { file, host, network, record })
}

impl SavedRun {
    /// Returns how the run's data were read.
    pub fn schema(&self) -> &Schema {
        &self.record.schema
    }

    /// Returns the names of the classes of each output whose target has any. A single output belongs to a single target,
    /// whatever they are called.
    pub fn class_names(&self) -> Vec<(&str, &[String])> {
        let outputs = crate::network::Network::output_names(&self.network);
        let targets = &self.schema().targets;
        let target = |output: &String| match (outputs, &targets[..]) {
            ([_], [target]) => Some(target),
            _ => targets.iter().find(|target| target.name == *output),
        };
        let names = |output: &'_ String| target(output).and_then(|target| target.class_names.as_deref());
        outputs.iter().filter_map(|output| Some((output.as_str(), names(output)?))).collect()
    }

    /// Compiles the run's optimizer, losses and metrics.
    pub fn compiled(&self) -> Result<Compiled> {
        let mut compile = self.file.compile()?;
        compile.outputs = crate::network::Network::output_names(&self.network).to_vec();
        self.host.compile(compile)
    }

    /// Loads the run's validation data, or its training data if there are none. Adds notes for the user.
    pub fn validation_data(&self, notes: &mut Vec<String>) -> Result<Dataset> {
        let loaded = self.file.data()?.load_again(self.file.folder(), self.schema())?;
        notes.extend(loaded.notes);
        Ok(loaded.validation.unwrap_or(loaded.train))
    }
}

/// Returns the configuration of a saved run.
pub fn run_file(folder: &RunFolder, record: &RunRecord) -> Result<RunFile> {
    let name = folder.work().join("run.json").display().to_string();
    let file = RunFile::from_json(&record.config, &name, &working_folder()?)?;
    Ok(file.with_lock_folders(lock_folders(folder.path(), record)))
}

/// Returns the folders in which a lock is searched for a saved run: that of the lock in training, the run folder, its
/// parent, and the parent's parent if the parent is called `runs`.
fn lock_folders(run: &Path, record: &RunRecord) -> Vec<PathBuf> {
    let lock_folder = record.lock.as_ref().map(|lock| path_of(lock, Path::new("")));
    let lock_folder = lock_folder.and_then(|lock| lock.parent().map(Path::to_owned));
    let around = run.ancestors().skip(1).take(2).map(Path::to_owned);
    let is_in_runs = run.parent().is_some_and(|parent| parent.ends_with("runs"));
    lock_folder.into_iter().chain([run.to_owned()]).chain(around.take(if is_in_runs { 2 } else { 1 })).collect()
}

/// Returns the digest of each loaded file: of plug-ins by name and version, of libraries of C functions by path.
pub fn digests(host: &Host) -> BTreeMap<String, String> {
    let digest = |plugin: &Arc<Plugin>| match plugin.origin() {
        Origin::BuiltIn => None,
        Origin::File(_) => Some((plugin.label().to_owned(), plugin.digest().to_owned())),
    };
    host.plugins().iter().filter_map(digest).chain(function_digests()).collect()
}

fn function_digests() -> impl Iterator<Item = (String, String)> {
    plugin::function_digests().into_iter().map(|(path, digest)| (name_of(&path), digest))
}

/// Returns the record of a resumed run. It keeps the digests and the lock of `begun`, for later comparisons.
pub fn resumed_record(mut record: RunRecord, begun: RunRecord) -> RunRecord {
    record.digests.extend(begun.digests);
    RunRecord { lock: begun.lock.or(record.lock), ..record }
}

/// Warns of C functions whose libraries differ from those in training. Building the losses loads the libraries, so call
/// this afterwards.
pub fn warn_of_functions(record: &RunRecord, common: &Common) {
    warn_of_changes(record, function_digests().collect(), common);
}

/// Warns of files that differ from those that the run was trained with.
pub fn warn_of_changes(record: &RunRecord, digests: BTreeMap<String, String>, common: &Common) {
    let name = |label: &str| label.rsplit_once(' ').map_or(label.to_owned(), |(name, _)| name.to_owned());
    for (label, digest) in digests {
        let shown = printable_line(&label);
        let text = match record.digests.get(&label) {
            Some(before) if *before == digest => continue,
            Some(_) => format!("{shown} isn't the file that the run was trained with: results may differ"),
            None => match record.plugins.iter().find(|(before, _)| name(before) == name(&label)) {
                Some((before, _)) if *before != label => {
                    format!("the run was trained with {before}, and {shown} is loaded now: results may differ")
                }
                _ => continue,
            },
        };
        warn(&text, common.json);
    }
}
