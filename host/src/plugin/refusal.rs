//! The reason for which a file isn't loaded.

use std::path::PathBuf;

use super::shown_text::shown_line;
use crate::Error;
use crate::text::{printable_line, printable_path, truncate};

/// Maximum size of a refusal's details, in bytes.
const DETAILS: usize = 1 << 16;

/// The reason for which a file isn't loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file's path.
    pub path: PathBuf,
    /// The problem, phrased to follow the file's name: "is cut short: 12 of 40 bytes are there".
    pub reason: String,
    /// Advice on what to do.
    pub hint: Option<String>,
    /// Details for debugging, with indented lines.
    pub details: Option<String>,
    /// Whether the file isn't a plug-in at all. In a folder, such a file isn't reported.
    pub not_a_plugin: bool,
    /// Whether the file is valid and the request wasn't.
    pub invalid_request: bool,
    /// Whether the same bytes may be accepted later: the problem is the file's permissions or signature.
    pub retryable: bool,
}

// The texts may come from the file, such as the name of a symbol or of a library.
impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Refusal {
            path: PathBuf::new(),
            reason: shown_line(&reason.into()),
            hint: None,
            details: None,
            not_a_plugin: false,
            invalid_request: false,
            retryable: false,
        }
    }

    pub(super) fn not_a_plugin(reason: impl Into<String>) -> Self {
        Refusal { not_a_plugin: true, ..Self::new(reason) }
    }

    pub(super) fn invalid_request(reason: impl Into<String>) -> Self {
        Refusal { invalid_request: true, ..Self::new(reason) }
    }

    pub(super) fn retryable(reason: impl Into<String>) -> Self {
        Refusal { retryable: true, ..Self::new(reason) }
    }

    /// Refuses a plug-in that differs from an already loaded one of the same name and version.
    pub(crate) fn conflict(label: &str, place: &str) -> Self {
        Self::new(format!("conflicts with {place}: both are {label}, and they differ"))
            .hint("neither is used: remove one of them, or raise the version of the one that you want to use")
    }

    /// Refuses a plug-in that has the name of a built-in one.
    pub(crate) fn reserved(label: &str) -> Self {
        Self::new(format!("is {label}, and a plug-in of that name is built in"))
            .hint("call it something else, or leave out what is built in with --no-builtin")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(shown_line(&hint.into()));
        self
    }

    pub(super) fn details(mut self, details: impl Into<String>) -> Self {
        // Any line may contain text of the file. Indentation keeps it from looking like one of the program's own.
        let details = details.into();
        let lines = truncate(&details, DETAILS);
        self.details =
            Some(lines.lines().map(|line| format!("      {}", printable_line(line))).collect::<Vec<_>>().join("\n"));
        self
    }

    pub(crate) fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = path.into();
        self
    }

    /// Returns reason and hint on one line, without the file's name.
    pub fn line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}: {hint}", self.reason),
            None => self.reason.clone(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = format!("{} {}", printable_path(&refusal.path), refusal.reason);
        let error = if refusal.invalid_request { Error::usage(message) } else { Error::failure(message) };
        match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
