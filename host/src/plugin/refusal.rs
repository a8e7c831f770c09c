use std::path::PathBuf;

use super::bounds;
use crate::Error;
use crate::data::text::{cut, of_path, one_line};

/// Bytes of the details of a refusal.
const DETAILS: usize = 1 << 16;

/// Why a file isn't loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, to be read after the file's name: "is cut short: 12 of 40 bytes are there".
    pub reason: String,
    /// What to do.
    pub hint: Option<String>,
    /// What only those who debug want to read, its lines indented.
    pub details: Option<String>,
    /// Whether it is no plug-in at all, which in a folder is nothing to be told of.
    pub not_a_plugin: bool,
    /// Whether the file is as it should be, and what was asked of it is not.
    pub asked_wrongly: bool,
    /// Whether the very same bytes may pass later: what is wrong is who could write them, or what signs them.
    pub curable: bool,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Refusal {
            path: PathBuf::new(),
            reason: short_line(&reason.into()),
            hint: None,
            details: None,
            not_a_plugin: false,
            asked_wrongly: false,
            curable: false,
        }
    }

    pub(super) fn no_plugin(reason: impl Into<String>) -> Self {
        Refusal { not_a_plugin: true, ..Self::new(reason) }
    }

    pub(super) fn asked_wrongly(reason: impl Into<String>) -> Self {
        Refusal { asked_wrongly: true, ..Self::new(reason) }
    }

    pub(super) fn curable(reason: impl Into<String>) -> Self {
        Refusal { curable: true, ..Self::new(reason) }
    }

    /// Another plug-in of the same name and version was loaded before it.
    pub(crate) fn conflict(label: &str, place: &str) -> Self {
        Self::new(format!("conflicts with {place}: both are {label}, and they differ"))
            .hint("neither is used: remove one of them, or raise the version of the one that is meant")
    }

    /// It has the name of a plug-in that is built in.
    pub(crate) fn reserved(label: &str) -> Self {
        Self::new(format!("is {label}, and a plug-in of that name is built in"))
            .hint("call it something else, or leave out what is built in with --no-builtin")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(short_line(&hint.into()));
        self
    }

    pub(super) fn details(mut self, details: impl Into<String>) -> Self {
        // In each line there may be anything of the file, so that none can look like one of the program's own.
        let details = details.into();
        let lines = cut(&details, DETAILS);
        self.details =
            Some(lines.lines().map(|line| format!("      {}", one_line(line))).collect::<Vec<_>>().join("\n"));
        self
    }

    pub(crate) fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = path.into();
        self
    }

    /// In one line, without the file's name.
    pub fn line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}: {hint}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// What a refusal says may come from the file, such as the name of a symbol or of a library.
fn short_line(text: &str) -> String {
    cut(&one_line(text), bounds::TEXT).into_owned()
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = format!("{} {}", of_path(&refusal.path), refusal.reason);
        let error = if refusal.asked_wrongly { Error::usage(message) } else { Error::failure(message) };
        match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
