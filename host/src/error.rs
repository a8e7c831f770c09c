//! The one error type of the host: what happened, where, and what to do next.

use std::fmt;

/// What kind of mistake it was; decides the program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Asked wrongly: an unknown name, a bad configuration. Exit status 2.
    Usage,
    /// Asked rightly, and it failed: a file that can't be read, a loss that is not a number. Exit status 1.
    Failure,
    /// A plug-in's own failure: an error it gave, a panic, a wrong shape. Exit status 1.
    Plugin,
    /// The process of an isolated plug-in ended, and with it all of its components. Exit status 1.
    Crash,
    /// Stopped by the user. Exit status 130.
    Interrupted,
}

/// An error that a person can act upon.
///
/// Displayed as a first line that says what happened, then one indented line for each detail: a short label
/// (`in`, `near`, `looked`) and its text, or a text alone that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    details: Vec<(&'static str, String)>,
    /// The row of the batch that is at fault.
    row: Option<usize>,
}

/// What the host's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), details: Vec::new(), row: None }
    }

    /// The caller asked for something that can't be.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Something went wrong while doing what was asked.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failure, message)
    }

    /// A plug-in failed.
    pub fn plugin(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Plugin, message)
    }

    /// The process of an isolated plug-in ended.
    pub fn crash(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Crash, message)
    }

    /// The user stopped it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// Adds a labelled line, such as `in      fit.toml:19`.
    #[must_use]
    pub fn with(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.details.push((label, text.into()));
        self
    }

    /// Adds a line that says what to do next.
    #[must_use]
    pub fn hint(self, text: impl Into<String>) -> Self {
        self.with("", text)
    }

    /// With the row of the batch that is at fault.
    #[must_use]
    pub(crate) fn at_row(self, row: Option<usize>) -> Self {
        Error { row, ..self }
    }

    /// Says which row of the data the row of the batch is.
    #[must_use]
    pub(crate) fn in_data(mut self, row_of: impl FnOnce(usize) -> Option<usize>) -> Self {
        match self.row.take().and_then(|row| row_of(row).map(|of_data| (row, of_data))) {
            Some((row, of_data)) => self.with("row", format!("{row} of the batch is {of_data} of the data (from 0)")),
            None => self,
        }
    }

    /// The same as a mistake of whoever asked.
    #[must_use]
    pub(crate) fn into_usage(self) -> Self {
        Error { kind: ErrorKind::Usage, ..self }
    }

    /// Rewrites the text of every line with this label.
    #[must_use]
    pub(crate) fn map_detail(mut self, label: &str, rewrite: impl Fn(&str) -> String) -> Self {
        for (_, text) in self.details.iter_mut().filter(|(found, _)| *found == label) {
            *text = rewrite(text);
        }
        self
    }

    /// What kind of mistake it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The first line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The lines below it: label (may be empty) and text.
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    /// The exit status that the program ends with: 2 for usage, 130 when interrupted, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Interrupted => 130,
            ErrorKind::Failure | ErrorKind::Plugin | ErrorKind::Crash => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (label, text) in &self.details {
            if label.is_empty() {
                write!(f, "\n  {text}")?;
            } else {
                write!(f, "\n  {label:<7} {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_says_what_then_labelled_lines_then_what_to_do() {
        let error = Error::usage("no metric is called \"AUCC\"").with("near", "AUC").hint("`plugfit list` shows all");
        assert_eq!(error.to_string(), "no metric is called \"AUCC\"\n  near    AUC\n  `plugfit list` shows all");
        assert_eq!(error.exit_code(), 2);
    }
}
