//! Callbacks: they observe training and can influence it. Users name them in a run file or implement [`Callback`].

mod csv_logger;
mod early_stopping;
mod model_checkpoint;
mod monitor;
mod progress_bar;
mod rate;
mod tensor_board;
mod terminate_on_nan;

pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::Mode;
pub use progress_bar::ProgressBar;
pub use rate::{LearningRateScheduler, ReduceLrOnPlateau};
pub use tensor_board::TensorBoard;
pub use terminate_on_nan::TerminateOnNan;

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{History, RunFolder, Trainer};
use crate::identifier::{Call, check_keys};
use crate::text::nearest;
use crate::{Error, Host, Result};

/// Observes training and can influence it.
///
/// State that must survive a resume goes into [`state`](Self::state) and [`tensors`](Self::tensors).
pub trait Callback: Send {
    /// Returns the name for errors and checkpoints.
    fn name(&self) -> &str;

    /// Called before the first epoch, after a state was restored.
    ///
    /// # Errors
    /// Returns an error if the callback can't work; this ends the run.
    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Called before an epoch.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`train_begin`](Self::train_begin).
    fn epoch_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Called after a batch, with the mean loss of the epoch so far.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`train_begin`](Self::train_begin).
    fn batch_end(&mut self, run: &mut Run<'_, '_>, loss: f64) -> Result<()> {
        let _ = (run, loss);
        Ok(())
    }

    /// Called after an epoch, which is the last one in the history.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`train_begin`](Self::train_begin).
    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Called after training, also if it was stopped, but not after an error. The optimizer has set the parameters to
    /// the values used for evaluation.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`train_begin`](Self::train_begin).
    fn train_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Returns the name of the log value that determines the best epoch, and its direction; `None` if the callback
    /// compares no epochs.
    fn monitored(&self) -> Option<(&str, Mode)> {
        None
    }

    /// Returns the state as JSON.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Returns the part of the state that consists of large arrays.
    fn tensors(&self) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// Restores [`state`](Self::state) and [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// Returns an error if the state isn't valid for this callback.
    fn restore(&mut self, state: &Value, tensors: Vec<Vec<f32>>) -> Result<()> {
        let _ = (state, tensors);
        Ok(())
    }
}

/// The state of a run, passed to callbacks.
pub struct Run<'r, 't> {
    /// The network and its compiled configuration.
    pub trainer: &'r mut Trainer<'t>,
    /// The finished epochs.
    pub history: &'r History,
    /// The number of the current or next epoch, from 1.
    pub epoch: u64,
    /// Batches per epoch.
    pub steps: u64,
    /// Whether there is validation data.
    pub validates: bool,
    /// The run folder, if the run is saved.
    pub folder: Option<&'r RunFolder>,
    /// Set this to a reason to end the run after the current batch or epoch.
    pub stop: &'r mut Option<String>,
}

/// The names of all callback classes.
const CLASSES: [&str; 8] = [
    "CSVLogger",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
];

/// Creates callbacks from identifiers: `EarlyStopping(patience=5)`, or an object with `class_name` and `config`.
///
/// # Errors
/// Returns a usage error that names the position, if a class is unknown or a setting is invalid.
pub fn read(host: &Host, identifiers: &[Value]) -> Result<Vec<Box<dyn Callback>>> {
    let one = |(index, identifier): (usize, &Value)| {
        let place = format!("fit.callbacks[{index}]");
        read_one(host, identifier).map_err(|error| error.with("in", place))
    };
    identifiers.iter().enumerate().map(one).collect()
}

fn read_one(host: &Host, identifier: &Value) -> Result<Box<dyn Callback>> {
    let object = match identifier {
        Value::String(text) => Call::parse(text)?.into_value(),
        other => other.clone(),
    };
    let class = object["class_name"].as_str().ok_or_else(|| Error::usage(format!("{object} isn't a callback")))?;
    object.as_object().map_or(Ok(()), check_keys)?;
    if object.get("args").is_some() {
        return Err(
            Error::usage(format!("{class} takes its settings by name")).hint(format!("write {class}(key=value)"))
        );
    }
    let config = match &object["config"] {
        Value::Null => Map::new(),
        Value::Object(config) => config.clone(),
        other => return Err(Error::usage(format!("the \"config\" of {class} must be an object, not {other}"))),
    };
    Ok(match class {
        "CSVLogger" => Box::new(settings::<CsvLogger>(class, config)?),
        "EarlyStopping" => Box::new(settings::<EarlyStopping>(class, config)?),
        "LearningRateScheduler" => Box::new(LearningRateScheduler::new(host, config)?),
        "ModelCheckpoint" => Box::new(settings::<ModelCheckpoint>(class, config)?),
        "ProgressBar" => Box::new(settings::<ProgressBar>(class, config)?),
        "TensorBoard" => Box::new(settings::<TensorBoard>(class, config)?),
        "ReduceLROnPlateau" => Box::new(settings::<ReduceLrOnPlateau>(class, config)?),
        "TerminateOnNaN" => Box::new(settings::<TerminateOnNan>(class, config)?),
        other => {
            let error = Error::usage(format!("no callback is called \"{other}\""));
            let near = nearest(other, CLASSES);
            return Err(error.near(near.get(..1).unwrap_or_default()).with("has", CLASSES.join(", ")));
        }
    })
}

/// Returns every class with its settings and their defaults, for the schema.
pub(crate) fn defaults() -> [(&'static str, Map<String, Value>); CLASSES.len()] {
    fn of<T: Default + Serialize>() -> Map<String, Value> {
        match serde_json::to_value(T::default()) {
            Ok(Value::Object(settings)) => settings,
            _ => Map::new(),
        }
    }
    CLASSES.map(|class| {
        let settings = match class {
            "CSVLogger" => of::<CsvLogger>(),
            "EarlyStopping" => of::<EarlyStopping>(),
            "LearningRateScheduler" => [("schedule".to_owned(), Value::Null)].into_iter().collect(),
            "ModelCheckpoint" => of::<ModelCheckpoint>(),
            "ReduceLROnPlateau" => of::<ReduceLrOnPlateau>(),
            "TensorBoard" => of::<TensorBoard>(),
            _ => Map::new(),
        };
        (class, settings)
    })
}

/// Creates a callback from its settings.
fn settings<T: DeserializeOwned>(class: &str, config: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(config)).map_err(|error| Error::usage(format!("{class}: {error}")))
}

/// Returns the path of a file that a callback will write: in the run folder, unless `path` is absolute. A saved run
/// never overwrites files that it hasn't written. Without a run folder, the path is used as it is.
fn file_of(run: &Run<'_, '_>, path: &str) -> Result<PathBuf> {
    run.folder.map_or_else(|| Ok(PathBuf::from(path)), |folder| folder.claim(path))
}

/// Returns a copy of the network's parameters.
fn weights(run: &Run<'_, '_>) -> Vec<Vec<f32>> {
    let network = run.trainer.network();
    (0..network.parameters().len()).map(|index| network.parameter(index).to_vec()).collect()
}
