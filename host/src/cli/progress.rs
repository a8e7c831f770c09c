//! The progress of training: a bar on a terminal, one line per epoch elsewhere, or JSON objects.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{event, print, warn};
use crate::compile::{Compiled, LogValue};
use crate::data::LoadedData;
use crate::train::{Epoch, Trainer, Watch};

/// Prints the progress of a fit.
pub trait Reporter: Send {
    /// Returns the watch to pass to the fit.
    fn watch(&mut self) -> &mut dyn Watch;
    /// Removes the progress bar.
    fn finish(&mut self);
}

/// Creates a reporter that suits stdout: a terminal, a file or a pipe, or `--json`.
pub fn reporter(json: bool, trainer: &Trainer<'_>, loaded: &LoadedData, stop: Arc<AtomicBool>) -> Box<dyn Reporter> {
    if json {
        return Box::new(Lines { stop });
    }
    let mut columns: Vec<String> =
        trainer.compiled().logs().map(|logs| logs.names().map(str::to_owned).collect()).unwrap_or_default();
    if loaded.validation.is_some() {
        columns.extend(columns.clone().iter().map(|name| format!("val_{name}")));
    }
    let bar = std::io::stdout().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(10));
        let style = ProgressStyle::with_template("{prefix}  {bar:20}  {percent:>3} %  {eta:>4} left  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar
    });
    // If the columns don't fit in one line, the validation values have a second line.
    let width = bar.as_ref().map_or(usize::MAX, |_| usize::from(console::Term::stdout().size().1));
    let needed = |columns: &[String]| 26 + columns.iter().map(|name| 2 + name.chars().count().max(6)).sum::<usize>();
    let below = needed(&columns) > width && columns.iter().any(|name| name.starts_with("val_"));
    if below {
        columns.retain(|name| !name.starts_with("val_"));
    }
    let mut left_out = 0;
    while needed(&columns) > width && columns.len() > 1 {
        columns.pop();
        left_out += 1;
    }
    Box::new(Table { stop, columns, below, left_out, bar, has_header: false, shown: std::time::Instant::now() })
}

struct Lines {
    stop: Arc<AtomicBool>,
}

impl Watch for Lines {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn warned(&mut self, text: &str) {
        warn(text, true);
    }
    fn epoch_ended(&mut self, epoch: &Epoch, epochs: u64) {
        let mut fields = epoch.to_json();
        fields["of"] = json!(epochs);
        event("epoch", fields);
    }
}

impl Reporter for Lines {
    fn watch(&mut self) -> &mut dyn Watch {
        self
    }
    fn finish(&mut self) {}
}

struct Table {
    stop: Arc<AtomicBool>,
    columns: Vec<String>,
    /// Whether validation values are printed on a second line.
    below: bool,
    /// The number of columns that don't fit.
    left_out: usize,
    bar: Option<ProgressBar>,
    has_header: bool,
    shown: std::time::Instant,
}

impl Table {
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print(&format!("{text}\n"))),
            None => print(&format!("{text}\n")),
        }
    }

    fn cells(&self, cell: impl Fn(&str) -> String) -> String {
        self.columns
            .iter()
            .map(|name| format!("  {:>width$}", cell(name), width = name.chars().count().max(6)))
            .collect()
    }
}

impl Watch for Table {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn batch_ended(&mut self, epoch: u64, batch: usize, batches: usize, compiled: &Compiled) {
        let Some(bar) = &self.bar else { return };
        if batch == 1 {
            bar.reset();
            bar.set_length(batches as u64);
            bar.set_prefix(format!("{epoch:>3}"));
        }
        bar.set_position(batch as u64);
        // A metric's result may cost more than a batch, so the text is updated only a few times a second.
        if self.shown.elapsed() > Duration::from_millis(150) {
            self.shown = std::time::Instant::now();
            if let Ok(logs) = compiled.logs() {
                bar.set_message(logs.to_string());
            }
        }
    }

    fn warned(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| warn(text, false)),
            None => warn(text, false),
        }
    }

    fn epoch_ended(&mut self, epoch: &Epoch, epochs: u64) {
        if !self.has_header {
            self.has_header = true;
            let header = format!("{:>7}{}     rate     time", "epoch", self.cells(str::to_owned));
            self.line(&header);
            if self.left_out > 0 {
                self.line(&format!("        ({} more in history.json)", self.left_out));
            }
        }
        let cells = self.cells(|name| epoch.logs.get(name).map_or_else(|| "-".into(), LogValue::to_string));
        let number = format!("{}/{epochs}", epoch.epoch);
        self.line(&format!("{number:>7}{cells}  {:>7.1e}  {}", epoch.learning_rate, time(epoch.seconds)));
        if self.below {
            let value =
                |name: &str| epoch.logs.get(&format!("val_{name}")).map_or_else(|| "-".into(), LogValue::to_string);
            self.line(&format!("{:>7}{}", "val", self.cells(value)));
        }
    }
}

impl Reporter for Table {
    fn watch(&mut self) -> &mut dyn Watch {
        self
    }
    fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:>4.0} ms", seconds * 1e3) } else { format!("{seconds:>5.1} s") }
}
