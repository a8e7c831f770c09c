//! The target of a check: a plug-in, or a C function of a library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugfit_api::testing::{self, Case};
use serde_json::Value;

use crate::plugin::{self, LoadOptions, Plugin, Refusal};

/// The file or function that an argument refers to.
#[derive(Debug, PartialEq)]
pub enum Target {
    Plugin(PathBuf),
    /// `library#function`.
    Function(PathBuf, String),
}

/// The tests that apply to a C function. All others test settings, examples and declarations, which it doesn't have.
const OF_A_FUNCTION: [&str; 20] = [
    "again",
    "threads",
    "overhead",
    "inputs",
    "buffers",
    "float_mode",
    "signals",
    "directory",
    "umask",
    "descriptors",
    "gradient",
    "edges",
    "line",
    "fused",
    "weights",
    "rows",
    "large",
    "finite",
    "odd",
    "empty",
];

impl Target {
    /// Parses an argument. If the whole path exists, a `#` in it is part of the file name.
    pub fn of(path: &Path) -> Self {
        let parts = path.to_str().and_then(|text| text.rsplit_once('#'));
        match parts.filter(|(library, name)| !library.is_empty() && !name.is_empty() && !path.exists()) {
            Some((library, name)) => Target::Function(library.into(), name.to_owned()),
            None => Target::Plugin(path.to_owned()),
        }
    }

    /// Returns the manifest in the file; no code of the target runs.
    pub fn manifest(&self, options: &LoadOptions) -> Result<Value, Refusal> {
        let manifest = match self {
            Target::Plugin(path) => {
                let only = LoadOptions { manifests_only: true, isolate: None, ..options.clone() };
                Plugin::open(path, &only)?.manifest().clone()
            }
            Target::Function(library, name) => plugin::function_manifest(library, name, options)?,
        };
        // The manifest was read from JSON, so it can be serialized.
        Ok(serde_json::to_value(manifest).unwrap_or_default())
    }

    pub fn load(&self, options: &LoadOptions) -> Result<Arc<Plugin>, Refusal> {
        match self {
            Target::Plugin(path) => Plugin::open(path, options),
            Target::Function(library, name) => plugin::function(library, name, options),
        }
    }

    /// Returns the tests in the order in which they run.
    pub fn cases(&self, manifest: &Value) -> Vec<Case> {
        let mut cases = testing::cases(manifest);
        if let Target::Function(..) = self {
            cases.retain(|case| OF_A_FUNCTION.contains(&case.test.name));
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_sign_names_a_function_unless_there_is_such_a_file() {
        assert_eq!(Target::of(Path::new("lib.so#mine")), Target::Function("lib.so".into(), "mine".into()));
        assert_eq!(Target::of(Path::new("lib.so")), Target::Plugin("lib.so".into()));
        assert_eq!(Target::of(Path::new("lib.so#")), Target::Plugin("lib.so#".into()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a#b.so");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Target::of(&path), Target::Plugin(path));
    }

    #[test]
    fn the_tests_of_a_function_exist() {
        let names: Vec<&str> = testing::tests().iter().map(|test| test.name).collect();
        assert!(OF_A_FUNCTION.iter().all(|name| names.contains(name)));
    }
}
