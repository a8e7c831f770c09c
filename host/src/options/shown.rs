//! How a program shows paths and errors.

use std::path::{Path, PathBuf};

use crate::{Error, Result, text};

/// Returns the working directory.
pub(crate) fn working_folder() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::failure(format!("the working directory can't be found: {error}")))
}

/// Returns a text for a terminal: control characters are replaced, and paths below the working directory are relative.
pub fn shown(text: &str) -> String {
    text::printable(&relative_to_working_folder(text)).into_owned()
}

/// Returns a text that is safe to print on a terminal: control characters are replaced.
pub fn printable(text: &str) -> String {
    text::printable(text).into_owned()
}

/// Makes paths below the working directory relative to it, for display.
fn relative_to_working_folder(text: &str) -> String {
    let here = working_folder().map(|here| format!("{}/", here.display())).unwrap_or_default();
    let mut parts = text.split(here.as_str());
    // In the root directory, every path would lose its first slash.
    if here.len() < 2 {
        return text.to_owned();
    }
    let mut seen = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // The match is in the middle of another path.
        if seen.ends_with(|before: char| !before.is_whitespace() && !"\"'`(=".contains(before)) {
            seen.push_str(&here);
        }
        seen.push_str(part);
    }
    seen
}

/// Returns a path for display: relative to the working directory if it is below it.
pub(crate) fn short(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = without_parent_parts(path);
    match here.as_deref().and_then(|here| path.strip_prefix(here).ok()) {
        Some(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        inside => text::printable_path(inside.unwrap_or(&path)),
    }
}

/// Removes `..` from a path: `a/b/../c` becomes `a/c`, unless `b` is a symbolic link to elsewhere.
fn without_parent_parts(path: &Path) -> PathBuf {
    let mut simplified = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if simplified.file_name().is_some() => {
                simplified.pop();
            }
            part => simplified.push(part),
        }
    }
    match (simplified.canonicalize(), path.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => simplified,
        _ => path.to_owned(),
    }
}
