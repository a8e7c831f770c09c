//! The report of a test.

use crate::{Error, Result};
use plugfit_abi as abi;
use serde::{Deserialize, Serialize};

/// The findings of a test, which passes if there are no failures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The failures, each a sentence without its subject, the component.
    pub failures: Vec<String>,
    /// Findings that the machine may cause.
    pub warnings: Vec<String>,
    /// What wasn't tested, with the reason.
    pub notes: Vec<String>,
    /// The arrays of the first failure.
    pub arrays: Vec<Saved>,
    /// A suffix for failures, such as the configuration.
    #[serde(skip)]
    pub(super) about: String,
}

/// An array of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The name, such as `y_pred`.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The bits of the numbers in C order, because JSON can't represent NaN and infinity.
    pub bits: Vec<u64>,
}

impl Saved {
    /// Returns the numbers.
    pub fn values(&self) -> Vec<f64> {
        self.bits.iter().copied().map(f64::from_bits).collect()
    }
}

/// The maximum number of failures in a report.
const MAX_FAILURES: usize = 8;

impl Report {
    /// Creates the report of a test with this failure.
    pub fn of_failure(what: impl Into<String>) -> Self {
        Report { failures: vec![what.into()], ..Report::default() }
    }

    /// Adds a failure.
    pub(super) fn fail(&mut self, what: impl std::fmt::Display) {
        let failure = format!("{what}{}", self.about);
        if self.failures.len() < MAX_FAILURES && !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Adds the failure `otherwise` unless `holds`.
    pub(super) fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.fail(otherwise());
        }
    }

    /// Adds the failure of a call; `what` describes the call.
    pub(super) fn error(&mut self, what: impl std::fmt::Display, error: &Error) {
        self.fail(format!("{what}: {}", describe_error(error)));
    }

    /// Adds a note.
    pub(super) fn note(&mut self, what: impl std::fmt::Display) {
        self.notes.push(what.to_string());
    }

    /// Adds a warning.
    /// Notes why a test isn't tried, as the result of it.
    pub(super) fn skip(&mut self, why: &str) -> Result<()> {
        self.note(why);
        Ok(())
    }

    pub(super) fn warn(&mut self, what: impl std::fmt::Display) {
        self.warnings.push(what.to_string());
    }

    /// Stores the arrays if something failed and none are stored yet.
    pub(super) fn save_arrays(&mut self, arrays: &[(&str, &[i64], Vec<f64>)]) {
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

/// The start of the description of a panic.
pub(super) const PANIC_PREFIX: &str = "it panics ";

/// Describes an error, with its place if it is a panic.
pub(super) fn describe_error(error: &Error) -> String {
    match (error.kind(), error.place()) {
        (abi::ERROR_PANIC, _) => format!("{PANIC_PREFIX}{}", error.place_and_message()),
        _ => error.to_string(),
    }
}
