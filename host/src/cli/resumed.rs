//! A kept run that is to go on.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::short;
use crate::train::callbacks::Callback;
use crate::train::checkpoint::Checkpoint;
use crate::train::{History, RunFolder, RunRecord, Trainer};
use crate::{Error, Result};

/// A run's folder, which is locked, and the checkpoint to go on from.
pub struct Resumed {
    pub folder: RunFolder,
    pub record: RunRecord,
    checkpoint: PathBuf,
}

impl Resumed {
    /// Opens a run by its folder, or by a checkpoint in it.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            let (folder, record) = RunFolder::resume(path)?;
            let checkpoint = folder.checkpoint();
            return Ok(Resumed { folder, record, checkpoint });
        }
        let (folder, record) = RunFolder::resume(path.parent().unwrap_or(path))?;
        let checkpoints = [folder.checkpoint(), folder.previous_checkpoint()];
        let named = checkpoints.into_iter().find(|checkpoint| checkpoint.file_name() == path.file_name());
        match named {
            Some(checkpoint) => Ok(Resumed { folder, record, checkpoint }),
            None => Err(Error::usage(format!("{} is no checkpoint of a run", path.display()))
                .hint("name the run's folder, or its checkpoint.safetensors or checkpoint-previous.safetensors")),
        }
    }

    /// Makes the trainer and the callbacks as they were, and gives the epochs that are done.
    pub fn restore(&self, trainer: &mut Trainer<'_>, callbacks: &mut [Box<dyn Callback>]) -> Result<History> {
        let (path, previous) = (&self.checkpoint, self.folder.previous_checkpoint());
        if !path.exists() && !self.has_begun() {
            // It ended before its first checkpoint: it starts again.
            return Ok(History::default());
        }
        let checkpoint = Checkpoint::read(path).map_err(|error| self.with_older(error))?;
        let history = checkpoint.restore(trainer, callbacks)?;
        if *path == previous {
            self.folder.go_back()?;
        }
        Ok(history)
    }

    /// Whether epochs were trained.
    fn has_begun(&self) -> bool {
        let history = std::fs::read(self.folder.history()).ok();
        let history: Option<Value> = history.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.folder.previous_checkpoint().exists()
            || history.and_then(|history| history.as_array().map(|epochs| !epochs.is_empty())).unwrap_or(false)
    }

    /// Says which older checkpoint can be used.
    fn with_older(&self, error: Error) -> Error {
        let previous = self.folder.previous_checkpoint();
        let older = if self.checkpoint == previous { None } else { Checkpoint::read(&previous).ok() };
        match older {
            Some(older) => error
                .with("older", format!("{} is whole, of epoch {}", short(&previous), older.epoch()))
                .hint(format!("go on from it with `plugfit fit --resume {}`", short(&previous))),
            None => error.hint("no older checkpoint is whole: begin a new run with `plugfit fit`"),
        }
    }
}
