//! Tests that may fail, each with a reason.

use std::path::Path;

use serde::Deserialize;

use super::Pattern;
use crate::{Error, Result};

/// Tests that may fail, read from a file:
///
/// ```toml
/// [[exclude]]
/// test = "metric/PearsonCorrelation/defined"
/// reason = "Keras says NaN of a constant"
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exclusions(Vec<(Pattern, String)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exclude: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    test: String,
    reason: String,
}

impl Exclusions {
    /// Reads a file of exclusions.
    ///
    /// # Errors
    /// Returns an error if the file can't be read or parsed, or if a reason is missing.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read {shown}: {error}")))?;
        let file: File = toml::from_str(&text).map_err(|error| {
            Error::usage(format!("{shown} can't be parsed: {}", error.message()))
                .hint("it has entries [[exclude]] with test = \"…\" and reason = \"…\"")
        })?;
        if let Some(entry) = file.exclude.iter().find(|entry| entry.reason.trim().is_empty()) {
            return Err(Error::usage(format!("{shown} excludes \"{}\" without a reason", entry.test)));
        }
        Ok(Exclusions(file.exclude.into_iter().map(|entry| (Pattern::from(&*entry.test), entry.reason)).collect()))
    }

    /// Returns the entries that match none of these tests.
    pub fn unused<'a>(&'a self, paths: &'a [&str]) -> impl Iterator<Item = &'a Pattern> {
        let patterns = self.0.iter().map(|(pattern, _)| pattern);
        patterns.filter(|pattern| !paths.iter().any(|path| pattern.matches(path)))
    }

    /// Returns the reason for which a test may fail.
    pub fn reason(&self, path: &str) -> Option<String> {
        self.0.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, reason)| reason.clone())
    }
}
