//! What a test found.

use crate::Error;
use plugfit_abi as abi;
use serde::{Deserialize, Serialize};

/// What a test found. It holds if nothing failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What doesn't hold, each in a sentence that follows the component's name.
    pub failures: Vec<String>,
    /// What its user should know, and a machine can be the reason for.
    pub warnings: Vec<String>,
    /// What wasn't tried, and why.
    pub notes: Vec<String>,
    /// The arrays that the failures are of.
    pub arrays: Vec<Saved>,
    #[serde(skip)]
    pub(super) about: String,
}

/// An array that something failed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Such as `y_pred`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The bits of its numbers in C order: JSON has no word for some numbers.
    pub bits: Vec<u64>,
}

impl Saved {
    /// Its numbers.
    pub fn values(&self) -> Vec<f64> {
        self.bits.iter().copied().map(f64::from_bits).collect()
    }
}

/// More of them tell nobody anything.
const MOST: usize = 8;

impl Report {
    /// Of a test that failed by this.
    pub fn of_failure(what: impl Into<String>) -> Self {
        Report { failures: vec![what.into()], ..Report::default() }
    }

    pub(super) fn fail(&mut self, what: impl std::fmt::Display) {
        let failure = format!("{what}{}", self.about);
        if self.failures.len() < MOST && !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    pub(super) fn that(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.fail(otherwise());
        }
    }

    /// What a call failed with; `what` was tried.
    pub(super) fn error(&mut self, what: impl std::fmt::Display, error: &Error) {
        self.fail(format!("{what}: {}", said(error)));
    }

    pub(super) fn note(&mut self, what: impl std::fmt::Display) {
        self.notes.push(what.to_string());
    }

    pub(super) fn warn(&mut self, what: impl std::fmt::Display) {
        self.warnings.push(what.to_string());
    }

    /// Keeps the first arrays that something failed with.
    pub(super) fn keep(&mut self, arrays: &[(&str, &[i64], Vec<f64>)]) {
        if self.failures.is_empty() || !self.arrays.is_empty() {
            return;
        }
        self.arrays = arrays
            .iter()
            .map(|(name, shape, values)| Saved {
                name: (*name).to_owned(),
                shape: shape.iter().map(|&length| length as usize).collect(),
                bits: values.iter().map(|value| value.to_bits()).collect(),
            })
            .collect();
    }
}

/// What a panic is told by.
pub(super) const PANICS: &str = "it panics ";

/// An error in words; of a panic its place too.
pub(super) fn said(error: &Error) -> String {
    match (error.kind(), error.place()) {
        (abi::ERROR_PANIC, _) => format!("{PANICS}{}", where_and_what(error)),
        _ => error.to_string(),
    }
}

/// The place and the message of a panic.
pub(crate) fn where_and_what(error: &Error) -> String {
    match error.place() {
        Some(place) => format!("at {place}: {}", error.message()),
        None => format!("somewhere: {}", error.message()),
    }
}
