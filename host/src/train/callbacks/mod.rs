//! What looks on while a network is trained, and may act: by identifier in a run's file, or a type of one's own.

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
use crate::data::text::nearest;
use crate::identifier::{Call, check_keys};
use crate::{Error, Host, Result};

/// Looks on while a network is trained.
///
/// What one keeps from epoch to epoch goes into [`state`](Self::state), so that a resumed run goes on as if nothing had happened.
pub trait Callback: Send {
    /// What errors and checkpoints call it.
    fn name(&self) -> &str;

    /// Before the first epoch; what was restored is there already.
    ///
    /// # Errors
    /// It can't do its work; the run ends.
    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Before an epoch.
    ///
    /// # Errors
    /// As [`train_begin`](Self::train_begin).
    fn epoch_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// After a batch, of this mean loss so far.
    ///
    /// # Errors
    /// As [`train_begin`](Self::train_begin).
    fn batch_end(&mut self, run: &mut Run<'_, '_>, loss: f64) -> Result<()> {
        let _ = (run, loss);
        Ok(())
    }

    /// After an epoch, which is the last of the history.
    ///
    /// # Errors
    /// As [`train_begin`](Self::train_begin).
    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// After the last epoch, or where the run was stopped; not after an error. The optimizer has moved the parameters to where they
    /// shall be evaluated.
    ///
    /// # Errors
    /// As [`train_begin`](Self::train_begin).
    fn train_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// The name in the log of the value that decides which epoch is the best, and which way it is better; none: it compares no epochs.
    fn monitored(&self) -> Option<(&str, Mode)> {
        None
    }

    /// What it keeps, as JSON.
    fn state(&self) -> Value {
        Value::Null
    }

    /// What it keeps of numbers that are many.
    fn tensors(&self) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// Goes on from [`state`](Self::state) and [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// They aren't its own.
    fn restore(&mut self, state: &Value, tensors: Vec<Vec<f32>>) -> Result<()> {
        let _ = (state, tensors);
        Ok(())
    }
}

/// A run, as its callbacks see it.
pub struct Run<'r, 't> {
    /// The network and what it was compiled with.
    pub trainer: &'r mut Trainer<'t>,
    /// The epochs done.
    pub history: &'r History,
    /// The number of the epoch that is next or under way, from 1.
    pub epoch: u64,
    /// Batches in an epoch.
    pub steps: u64,
    /// Whether there are validation data.
    pub validates: bool,
    /// Where the run is kept, if it is.
    pub folder: Option<&'r RunFolder>,
    /// Set to end the run after this batch or epoch: the reason.
    pub stop: &'r mut Option<String>,
}

/// The classes there are.
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

/// Reads callbacks from identifiers: `EarlyStopping(patience=5)`, or an object with `class_name` and `config`.
///
/// # Errors
/// A usage error that names the place, for an unknown class or a setting that can't be.
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
    let class = object["class_name"].as_str().ok_or_else(|| Error::usage(format!("{object} is no callback")))?;
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
            let error = match nearest(other, CLASSES)[..] {
                [near, ..] => error.with("near", near),
                [] => error,
            };
            return Err(error.with("has", CLASSES.join(", ")));
        }
    })
}

/// Every class with its settings and their defaults, for the schema.
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

/// A callback from its settings.
fn settings<T: DeserializeOwned>(class: &str, config: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(config)).map_err(|error| Error::usage(format!("{class}: {error}")))
}

/// A file that a callback is going to write: in the run's folder, unless it is named in full. A run that is kept writes over no file that
/// isn't its own; without a folder it is as the caller says.
fn file_of(run: &Run<'_, '_>, path: &str) -> Result<PathBuf> {
    run.folder.map_or_else(|| Ok(PathBuf::from(path)), |folder| folder.claim(path))
}

/// The parameters of the network.
fn weights(run: &Run<'_, '_>) -> Vec<Vec<f32>> {
    let network = run.trainer.network();
    (0..network.parameters().len()).map(|index| network.parameter(index).to_vec()).collect()
}
