//! The formats of data files.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file format, determined by the file name extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Parquet,
    Npy,
    Npz,
}

impl Format {
    /// Returns the format of one file.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv") => Ok(Format::Csv),
            Some("parquet") => Ok(Format::Parquet),
            Some("npy") => Ok(Format::Npy),
            Some("npz") => Ok(Format::Npz),
            _ => Err(Error::usage(format!("{} is in no known format", path.display()))
                .with("known", ".csv, .parquet, .npy, .npz")),
        }
    }

    /// Returns the common format of several files.
    pub fn of_all(paths: &[PathBuf]) -> Result<Self> {
        let Some((first, rest)) = paths.split_first() else { return Err(Error::usage("data names no file")) };
        let format = Format::of(first)?;
        for path in rest {
            if Format::of(path)? != format {
                let message = format!("{} and {} are in different formats", first.display(), path.display());
                return Err(Error::usage(message));
            }
        }
        Ok(format)
    }
}

/// Returns the only path, or an error if there isn't exactly one.
pub fn single_path(paths: &[PathBuf]) -> Result<&Path> {
    match paths {
        [path] => Ok(path),
        _ => Err(Error::usage("several files at once are read only as .csv or .parquet").with("found", listed(paths))),
    }
}

/// Returns the paths, separated by commas.
pub fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
