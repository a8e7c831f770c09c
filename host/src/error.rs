//! The error type of the host: what happened, where, and what to do next.

use std::borrow::Borrow;
use std::fmt;

use crate::text::nearest;

/// The kind of an error; determines the exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A wrong request: an unknown name, an invalid configuration. Exit status 2.
    Usage,
    /// A valid request that failed: an unreadable file, a loss that is not a number. Exit status 1.
    Failure,
    /// A failure inside a plug-in: an error it returned, a panic, a wrong shape. Exit status 1.
    Plugin,
    /// The process of an isolated plug-in ended, and all of its components with it. Exit status 1.
    Crash,
    /// The user interrupted the program. Exit status 130.
    Interrupted,
}

/// An error with details that help the user to fix it.
///
/// `Display` writes the message on the first line, then one indented line for each detail: a short label (`in`, `near`,
/// `looked`) and a text, or a text without a label that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    details: Vec<(&'static str, String)>,
    /// The row of the batch that caused the error.
    row: Option<usize>,
}

/// The result type of the host's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), details: Vec::new(), row: None }
    }

    /// Creates an error for a request that is invalid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Creates an error for a valid request that failed.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failure, message)
    }

    /// Creates an error for a failure inside a plug-in.
    pub fn plugin(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Plugin, message)
    }

    /// Creates an error for an isolated plug-in whose process ended.
    pub fn crash(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Crash, message)
    }

    /// Creates an error for an interruption by the user.
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

    /// Adds the names that are similar to an unknown one, if there are any.
    #[must_use]
    pub(crate) fn near(self, names: &[impl Borrow<str>]) -> Self {
        if names.is_empty() { self } else { self.with("near", names.join(", ")) }
    }

    /// Adds the names that are similar to an unknown one, or all that there are if none is.
    #[must_use]
    pub(crate) fn near_or_all<'a>(self, name: &str, all: impl Iterator<Item = &'a str> + Clone) -> Self {
        match &nearest(name, all.clone())[..] {
            [] => self.with("has", all.collect::<Vec<_>>().join(", ")),
            near => self.near(near),
        }
    }

    /// Sets the row of the batch that caused the error.
    #[must_use]
    pub(crate) fn at_row(self, row: Option<usize>) -> Self {
        Error { row, ..self }
    }

    /// Adds a detail that maps the row of the batch to the row of the data.
    #[must_use]
    pub(crate) fn in_data(mut self, row_of: impl FnOnce(usize) -> Option<usize>) -> Self {
        match self.row.take().and_then(|row| row_of(row).map(|data_row| (row, data_row))) {
            Some((row, data_row)) => self.with("row", format!("{row} of the batch is {data_row} of the data (from 0)")),
            None => self,
        }
    }

    /// Changes the kind to [`ErrorKind::Usage`].
    #[must_use]
    pub(crate) fn into_usage(self) -> Self {
        Error { kind: ErrorKind::Usage, ..self }
    }

    /// Rewrites the text of every detail with this label.
    #[must_use]
    pub(crate) fn map_detail(mut self, label: &str, rewrite: impl Fn(&str) -> String) -> Self {
        for (_, text) in self.details.iter_mut().filter(|(found, _)| *found == label) {
            *text = rewrite(text);
        }
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the first line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the details below the first line: label (may be empty) and text.
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    /// Returns the exit status of the program: 2 for usage errors, 130 for an interruption, otherwise 1.
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

impl From<plugfit_formula::Error> for Error {
    fn from(error: plugfit_formula::Error) -> Self {
        Error::failure(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_writes_message_then_labelled_details_then_hint() {
        let error = Error::usage("no metric is called \"AUCC\"").with("near", "AUC").hint("`plugfit list` shows all");
        assert_eq!(error.to_string(), "no metric is called \"AUCC\"\n  near    AUC\n  `plugfit list` shows all");
        assert_eq!(error.exit_code(), 2);
    }
}
