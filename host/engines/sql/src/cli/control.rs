//! The progress of a query, and its interruption.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use plugfit::{Error, Result};

/// What a query shares with its observers.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    rows: AtomicU64,
}

impl Control {
    /// Creates the control of the process's only query. At the first Ctrl-C, the query ends with what it has read; at
    /// the second one, the process ends.
    ///
    /// # Errors
    /// Returns an error if there is one already.
    pub fn of_process() -> Result<Arc<Self>> {
        let control = Arc::new(Control::default());
        let shared = control.clone();
        let handler = move || {
            if shared.stop.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        match ctrlc::set_handler(handler) {
            // Tests run several queries in one process.
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(control),
            Err(error) => Err(Error::failure(format!("cannot handle Ctrl-C: {error}"))),
        }
    }

    /// Returns whether no more rows are to be read.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts rows that were read.
    pub fn add(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Returns the number of rows that were read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

/// A progress bar on stderr, if that is a terminal.
pub struct Progress {
    bar: Option<ProgressBar>,
    control: Arc<Control>,
}

impl Progress {
    /// Shows the rows that `control` counts, of `total` if it is known.
    pub fn new(control: &Arc<Control>, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = match total {
                Some(_) => "{bar:20}  {percent:>3} %  {human_pos} rows  {per_sec:>12}  {eta:>4} left",
                None => "{spinner}  {human_pos} rows  {per_sec:>12}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                let style =
                    style.with_key("per_sec", |state: &indicatif::ProgressState, f: &mut dyn std::fmt::Write| {
                        let _ = write!(f, "{:.0} rows/s", state.per_sec());
                    });
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar
        });
        Progress { bar, control: control.clone() }
    }

    /// Shows the progress until the future is ready.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(Duration::from_millis(100), &mut work).await {
                Ok(result) => {
                    if let Some(bar) = &self.bar {
                        bar.finish_and_clear();
                    }
                    return result;
                }
                Err(_) => {
                    if let Some(bar) = &self.bar {
                        bar.set_position(self.control.rows());
                    }
                }
            }
        }
    }
}
