//! `plugfit fit --resume`: opens a saved run and restores its checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::short;
use crate::train::callbacks::Callback;
use crate::train::checkpoint::Checkpoint;
use crate::train::{History, RunFolder, RunRecord, Trainer};
use crate::{Error, Result};

/// A locked run folder, and the checkpoint to resume from.
pub struct Resumed {
    pub folder: RunFolder,
    pub record: RunRecord,
    checkpoint: PathBuf,
}

impl Resumed {
    /// Opens a run, given its folder or a checkpoint in it.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            let (folder, record) = RunFolder::resume(path)?;
            let checkpoint = folder.checkpoint();
            return Ok(Resumed { folder, record, checkpoint });
        }
        let parent = path.parent().unwrap_or(path);
        let (folder, record) = RunFolder::resume(parent)?;
        let checkpoints = [folder.checkpoint(), folder.previous_checkpoint()];
        let Some(checkpoint) = checkpoints.into_iter().find(|checkpoint| checkpoint.file_name() == path.file_name())
        else {
            return Err(Error::usage(format!("{} isn't a checkpoint of a run", path.display()))
                .hint("name the run's folder, or its checkpoint.safetensors or checkpoint-previous.safetensors"));
        };
        // The replacement of a run is stored in a subfolder.
        if fs::canonicalize(parent).ok().as_deref() != Some(folder.work()) {
            return Err(Error::usage(format!("{} belongs to a run that is being replaced", short(path))).hint(
                format!(
                    "continue the replacement with `plugfit fit --resume {}`, or remove {} to keep the run",
                    short(folder.path()),
                    short(folder.work())
                ),
            ));
        }
        Ok(Resumed { folder, record, checkpoint })
    }

    /// Restores the trainer and the callbacks from the checkpoint, and returns the finished epochs.
    pub fn restore(&self, trainer: &mut Trainer<'_>, callbacks: &mut [Box<dyn Callback>]) -> Result<History> {
        let (path, previous) = (&self.checkpoint, self.folder.previous_checkpoint());
        if !path.exists() && !self.has_begun() {
            // The run ended before its first checkpoint: train from the beginning.
            return Ok(History::default());
        }
        let checkpoint = Checkpoint::read(path).map_err(|error| self.with_other(error))?;
        let history = checkpoint.restore(trainer, callbacks)?;
        if *path == previous {
            self.folder.resume_from_previous();
        }
        Ok(history)
    }

    /// Returns whether an epoch was trained.
    fn has_begun(&self) -> bool {
        let history = fs::read(self.folder.history()).ok();
        let history: Option<Value> = history.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.folder.previous_checkpoint().exists()
            || history.and_then(|history| history.as_array().map(|epochs| !epochs.is_empty())).unwrap_or(false)
    }

    /// Adds to the error which other checkpoint can be used.
    fn with_other(&self, error: Error) -> Error {
        let other = [self.folder.previous_checkpoint(), self.folder.checkpoint()]
            .into_iter()
            .filter(|path| *path != self.checkpoint)
            .find_map(|path| Some((Checkpoint::read(&path).ok()?, path)));
        match other {
            Some((other, path)) => error
                .with("other", format!("{} is intact, from epoch {}", short(&path), other.epoch()))
                .hint(format!("continue from it with `plugfit fit --resume {}`", short(&path))),
            None => error.hint("no other checkpoint is intact: begin a new run with `plugfit fit`"),
        }
    }
}
