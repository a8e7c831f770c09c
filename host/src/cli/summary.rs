//! The output at the end of a run: its best epoch, and warnings about its loss or its predictions.

use plugfit_api::metric::Direction;
use serde_json::json;

use super::{event, print, warn};
use crate::compile::{Compiled, LogValue};
use crate::train::History;
use crate::train::callbacks::{Callback, Mode};

/// A finished run.
pub struct Summary<'r> {
    pub history: &'r History,
    pub compiled: &'r Compiled,
    pub callbacks: &'r [Box<dyn Callback>],
    pub validated: bool,
    /// The warning that the run is no better than chance.
    pub chance: Option<String>,
    /// The text that says where the run is saved.
    pub kept: &'r str,
}

/// The name of a log value, and the direction in which it improves.
type Compared = (String, Direction);

impl Summary<'_> {
    /// Warns if the loss isn't finite or the run is no better than chance, and prints the best epoch.
    pub fn show(&self, json: bool) {
        if let Some(text) = diverged(self.history, &self.loss()).as_ref().or(self.chance.as_ref()) {
            warn(text, json);
        }
        let best = self.best();
        if json {
            let best = best.map(|(name, epoch, value)| json!({"name": name, "value": value, "epoch": epoch}));
            event("end", json!({"best": best, "kept": self.kept}));
            return;
        }
        match best {
            Some((name, epoch, value)) => {
                let value = LogValue::Number(value);
                print(&format!("\nbest {name} {value} at epoch {epoch}; {}\n", self.kept));
            }
            None => print(&format!("\n{}\n", self.kept)),
        }
    }

    /// Returns the best epoch by the first value that ranks epochs: its name, the epoch and the value.
    fn best(&self) -> Option<(String, u64, f64)> {
        let loss = self.loss();
        if !numbers(self.history, &loss).any(|(_, value)| value.is_finite()) {
            return None;
        }
        let metrics = self.metrics().into_iter();
        let metrics = metrics.filter(|(name, direction)| ranks_epochs(self.history, name, *direction));
        let losses = [(loss, Direction::Minimize), ("loss".into(), Direction::Minimize)];
        self.monitored().into_iter().chain(metrics).chain(losses).find_map(|(name, direction)| {
            let (epoch, value) = self.history.best(&name, direction)?;
            let epoch = epoch.epoch;
            value.is_finite().then_some((name, epoch, value))
        })
    }

    /// Returns the name of the validation loss if the history has it, else that of the training loss.
    fn loss(&self) -> String {
        let name = "val_loss";
        let validated = self.validated && numbers(self.history, name).next().is_some();
        if validated { name.into() } else { "loss".into() }
    }

    /// Returns the values by which the callbacks compare epochs.
    fn monitored(&self) -> Vec<Compared> {
        let one = |(name, mode): (&str, Mode)| {
            let direction = match mode {
                Mode::Min => Direction::Minimize,
                Mode::Max => Direction::Maximize,
                Mode::Auto => self.compiled.direction(name)?,
            };
            Some((name.to_owned(), direction))
        };
        self.callbacks.iter().filter_map(|callback| callback.monitored()).filter_map(one).collect()
    }

    /// Returns the metrics with their directions.
    fn metrics(&self) -> Vec<Compared> {
        let prefix = if self.validated { "val_" } else { "" };
        let metrics = self.compiled.component_metrics();
        metrics.map(|(column, _, metric)| (format!("{prefix}{column}"), metric.direction())).collect()
    }
}

/// Returns the values of a log entry with the numbers of their epochs.
fn numbers<'h>(history: &'h History, name: &'h str) -> impl Iterator<Item = (u64, f64)> + 'h {
    let number = |epoch: &'h crate::train::Epoch| Some((epoch.epoch, epoch.logs.number(name)?));
    history.epochs.iter().filter_map(number)
}

/// Returns whether a value ranks epochs. A value that is equal in every epoch doesn't, such as the accuracy of a
/// regression, which is always 0. With a single epoch, every value does, except a 0 that is maximised.
fn ranks_epochs(history: &History, name: &str, direction: Direction) -> bool {
    let values: Vec<f64> = numbers(history, name).map(|(_, value)| value).filter(|value| value.is_finite()).collect();
    match values[..] {
        [] => false,
        [only] => direction != Direction::Maximize || only != 0.0,
        [first, ..] => values.iter().any(|value| *value != first),
    }
}

/// Returns a warning if the loss isn't finite at the end, with the epoch since which it isn't.
fn diverged(history: &History, loss: &str) -> Option<String> {
    let values: Vec<(u64, f64)> = numbers(history, loss).collect();
    let not_finite = values.iter().rev().take_while(|(_, value)| !value.is_finite()).count();
    let (epoch, value) = *values.get(values.len() - not_finite)?;
    let since = if not_finite == values.len() { "in every epoch".into() } else { format!("since epoch {epoch}") };
    Some(format!("{loss} is {value} {since}: try a lower learning rate, or `clipnorm`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Compile, Logs, OutputShapes};
    use crate::train::{Epoch, callbacks};
    use crate::{Host, Identifier};

    fn history(epochs: &[&[(&str, f64)]]) -> History {
        let epoch = |(index, values): (usize, &&[(&str, f64)])| {
            let mut logs = Logs::default();
            values.iter().for_each(|(name, value)| logs.push(*name, LogValue::Number(*value)));
            Epoch { epoch: index as u64 + 1, logs, learning_rate: 0.1, seconds: 0.0 }
        };
        History { epochs: epochs.iter().enumerate().map(epoch).collect() }
    }

    /// Returns the name and the epoch of the last line.
    fn best(history: &History, callback: Option<&str>, validated: bool) -> Option<(String, u64)> {
        let host = Host::new();
        let metrics = ["accuracy"].into();
        let loss = "sparse_categorical_crossentropy".into();
        let compile = Compile { loss, metrics, optimizer: Identifier::from("SGD"), ..Compile::default() };
        let mut compiled = host.compile(compile).expect("it can be compiled");
        compiled.build(&[OutputShapes { y_true: Some(&[4]), y_pred: &[4, 3] }]).expect("the shapes fit");
        let identifiers: Vec<serde_json::Value> = callback.into_iter().map(Into::into).collect();
        let callbacks = callbacks::read(&host, &identifiers).expect("a callback");
        let summary =
            Summary { history, compiled: &compiled, callbacks: &callbacks, validated, chance: None, kept: "run" };
        summary.best().map(|(name, epoch, _)| (name, epoch))
    }

    #[test]
    fn the_best_epoch_is_by_the_monitored_value_else_a_changing_metric_else_the_loss() {
        let learnt = history(&[
            &[("loss", 0.9), ("accuracy", 0.5), ("val_loss", 0.7), ("val_accuracy", 0.6)],
            &[("loss", 0.8), ("accuracy", 0.7), ("val_loss", 0.6), ("val_accuracy", 0.5)],
            &[("loss", 0.7), ("accuracy", 0.6), ("val_loss", 0.8), ("val_accuracy", 0.4)],
        ]);
        let is = |name: &str, epoch| Some((name.to_owned(), epoch));
        assert_eq!(best(&learnt, None, true), is("val_accuracy", 1));
        assert_eq!(best(&learnt, Some("EarlyStopping"), true), is("val_loss", 2));
        assert_eq!(best(&learnt, Some("ModelCheckpoint(monitor=loss)"), true), is("loss", 3));
        assert_eq!(best(&learnt, Some("EarlyStopping(monitor=val_loss, mode=max)"), true), is("val_loss", 3));
        assert_eq!(best(&learnt, Some("CSVLogger"), true), is("val_accuracy", 1));
        assert_eq!(best(&learnt, None, false), is("accuracy", 2));

        let regression = history(&[
            &[("loss", 0.9), ("accuracy", 0.0), ("val_loss", 0.7), ("val_accuracy", 0.0)],
            &[("loss", 0.8), ("accuracy", 0.0), ("val_loss", 0.6), ("val_accuracy", 0.0)],
        ]);
        assert_eq!(best(&regression, None, true), is("val_loss", 2));
        assert_eq!(best(&regression, None, false), is("loss", 2));
        assert_eq!(best(&history(&[&[("loss", 0.9), ("accuracy", 0.0)]]), None, true), is("loss", 1), "none validated");
        let only = history(&[&[("loss", 0.9), ("accuracy", 0.5), ("val_loss", 0.7), ("val_accuracy", 0.6)]]);
        assert_eq!(best(&only, None, true), is("val_accuracy", 1), "a single epoch");
        assert_eq!(best(&only, None, false), is("accuracy", 1));
        let once = history(&[&[("loss", 0.9), ("val_accuracy", 0.6)], &[("loss", 0.8)]]);
        assert_eq!(best(&once, None, true), is("val_accuracy", 1), "validated once");
        assert_eq!(best(&History::default(), None, true), None);
    }

    #[test]
    fn a_loss_that_is_no_longer_finite_is_reported() {
        let nan = f64::NAN;
        let later =
            history(&[&[("val_loss", 0.5), ("val_accuracy", 0.6)], &[("val_loss", nan), ("val_accuracy", 0.1)]]);
        assert_eq!(best(&later, Some("EarlyStopping"), true), Some(("val_loss".into(), 1)));
        let text = diverged(&later, "val_loss").expect("it is NaN at the end");
        assert!(text.contains("val_loss is NaN since epoch 2"), "{text}");
        let always =
            history(&[&[("val_loss", nan), ("val_accuracy", 0.2)], &[("val_loss", nan), ("val_accuracy", 0.1)]]);
        assert_eq!(
            best(&always, None, true),
            None,
            "an accuracy of predictions that are NaN isn't the best of anything"
        );
        assert!(diverged(&always, "val_loss").is_some_and(|text| text.contains("in every epoch")));
        assert_eq!(diverged(&history(&[&[("loss", nan)], &[("loss", 0.5)]]), "loss"), None, "it recovered");
        assert_eq!(diverged(&History::default(), "loss"), None);
    }
}
