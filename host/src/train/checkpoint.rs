//! Checkpoints: the complete state of a run after an epoch, in one file that is replaced atomically.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::SafeTensors;
use serde_json::{Value, json};

use super::callbacks::Callback;
use super::checksum::{self, Verdict};
use super::history::History;
use super::tensors::{self, SLOT, Stored, WEIGHT};
use super::trainer::Trainer;
use crate::component::OptimizerState;
use crate::files::write_atomically;
use crate::plugin::SlotValues;
use crate::{Error, Result};

/// The prefix of the names of a callback's tensors.
const CALLBACK: &str = "callback:";
/// The current version of the format; its checksum covers the whole file.
const VERSION: u64 = 2;
/// The previous version, without a checksum; it can still be read.
const WITHOUT_CHECKSUM: u64 = 1;

/// Writes a checkpoint.
///
/// # Errors
/// Returns an error if the file can't be written; an existing file is unchanged then.
pub fn save(trainer: &Trainer<'_>, history: &History, callbacks: &[Box<dyn Callback>], path: &Path) -> Result<()> {
    let network = trainer.network();
    let mut tensors: Vec<(String, SlotValues)> = Vec::new();
    for (index, parameter) in network.parameters().iter().enumerate() {
        let values = SlotValues::Single(network.parameter(index).to_vec());
        tensors.push((format!("{WEIGHT}{}", parameter.path), values));
    }
    let optimizer = trainer.compiled().optimizer().map(crate::component::Optimizer::state);
    let (mut steps, mut rate) = (0, None);
    if let Some(state) = optimizer {
        (steps, rate) = (state.steps, state.learning_rate);
        tensors.extend(state.tensors.into_iter().map(|(name, values)| (format!("{SLOT}{name}"), values)));
    }
    for (index, callback) in callbacks.iter().enumerate() {
        for (i, values) in callback.tensors().into_iter().enumerate() {
            tensors.push((format!("{CALLBACK}{index}:{i}"), SlotValues::Single(values)));
        }
    }
    let states: Vec<Value> =
        callbacks.iter().map(|callback| json!({"name": callback.name(), "state": callback.state()})).collect();
    let about = json!({
        "version": VERSION,
        "steps": steps,
        "learning_rate": rate,
        "history": history.to_saved(),
        "callbacks": states,
    });
    let views = tensors.into_iter().map(|(name, values)| (name, Stored::vector(values)));
    let bytes = checksum::serialize(views, Some(("plugfit", about.to_string())))
        .map_err(|error| Error::failure(format!("the checkpoint can't be written: {error}")))?;
    write_atomically(path, |writer| writer.write_all(&bytes))
}

/// A checkpoint that was read and checked.
pub struct Checkpoint {
    place: String,
    about: Value,
    tensors: HashMap<String, SlotValues>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, is damaged, or isn't a checkpoint.
    pub fn read(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let bad = |why: String| Error::failure(format!("cannot resume from {place}: {why}"));
        let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        let damaged = || bad("it is damaged: its checksum doesn't match".into());
        let verdict = checksum::check(&bytes);
        if verdict == Verdict::Damaged {
            return Err(damaged());
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
        let about = header.metadata().as_ref().and_then(|metadata| metadata.get("plugfit"));
        let about: Value = about
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| bad("it isn't a checkpoint".into()))?;
        match (about["version"].as_u64(), verdict) {
            (Some(WITHOUT_CHECKSUM), _) | (Some(VERSION), Verdict::Whole) => {}
            (Some(VERSION), _) => return Err(damaged()),
            _ => return Err(bad(format!("it is of version {}; this program reads {VERSION}", about["version"]))),
        }
        let tensors = tensors::read(&bytes).map_err(bad)?;
        let tensors = tensors.into_iter().map(|(name, stored)| (name, stored.values)).collect();
        Ok(Checkpoint { place, about, tensors })
    }

    /// Returns the number of its last epoch.
    pub fn epoch(&self) -> u64 {
        let history = History::from_saved(&self.about["history"]);
        history.and_then(|history| history.epochs.last().map(|epoch| epoch.epoch)).unwrap_or(0)
    }

    /// Restores the network, the optimizer and the callbacks, and returns the history.
    ///
    /// # Errors
    /// Returns an error if the checkpoint belongs to a different run. The trainer may be partly changed then.
    pub fn restore(mut self, trainer: &mut Trainer<'_>, callbacks: &mut [Box<dyn Callback>]) -> Result<History> {
        let place = self.place;
        let bad = |why: String| Error::failure(format!("cannot resume from {place}: {why}"));
        let single = |tensors: &mut HashMap<String, SlotValues>, name: &str| match tensors.remove(name) {
            Some(SlotValues::Single(values)) => Some(values),
            _ => None,
        };
        let parameters = trainer.network().parameters();
        let paths: Vec<String> = parameters.iter().map(|parameter| parameter.path.clone()).collect();
        let mut weights = Vec::new();
        for path in &paths {
            let values = single(&mut self.tensors, &format!("{WEIGHT}{path}"));
            weights.push(values.ok_or_else(|| bad(format!("it has no \"{path}\"")))?);
        }
        trainer.set_weights(&weights).map_err(|error| bad(error.to_string()))?;
        let saved = self.about["callbacks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = |saved: &[Value]| {
            saved.iter().map(|callback| callback["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        if names(saved) != callbacks.iter().map(|callback| callback.name().to_owned()).collect::<Vec<_>>() {
            return Err(bad(format!("it was written with the callbacks {}", names(saved).join(", ")))
                .hint("resume with the same callbacks"));
        }
        for (index, (callback, saved)) in callbacks.iter_mut().zip(saved).enumerate() {
            let each = (0..).map_while(|i| single(&mut self.tensors, &format!("{CALLBACK}{index}:{i}")));
            callback.restore(&saved["state"], each.collect())?;
        }
        let slots =
            self.tensors.into_iter().filter_map(|(name, values)| Some((name.strip_prefix(SLOT)?.to_owned(), values)));
        let state = OptimizerState {
            steps: self.about["steps"].as_u64().unwrap_or(0),
            learning_rate: self.about["learning_rate"].as_f64(),
            tensors: slots.collect(),
        };
        trainer.restore_optimizer(&state)?;
        History::from_saved(&self.about["history"]).ok_or_else(|| bad("its history can't be read".into()))
    }
}

/// Reads a checkpoint, restores the network, the optimizer and the callbacks, and returns the history.
///
/// # Errors
/// Returns an error if the file can't be read, is damaged, or belongs to a different run. The trainer may be partly
/// changed then.
pub fn load(trainer: &mut Trainer<'_>, callbacks: &mut [Box<dyn Callback>], path: &Path) -> Result<History> {
    Checkpoint::read(path)?.restore(trainer, callbacks)
}
