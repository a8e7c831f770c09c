//! numpy's .npz format: a zip archive of named .npy arrays.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use ndarray::ArrayViewD;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::npy::{read_inputs, read_npy, write_npy};
use crate::data::{Array, InputKind, Rows};
use crate::text::nearest;
use crate::{Error, Result};

/// An open .npz file.
pub struct Npz {
    archive: ZipArchive<BufReader<File>>,
    path: String,
}

impl Npz {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error if the file can't be read or isn't a valid zip archive.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {shown}: {error}")))?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            Error::failure(format!("{shown} isn't a complete .npz file: {error}")).hint("copy it, or write it, again")
        })?;
        Ok(Npz { archive, path: shown })
    }

    /// Returns the names of the arrays, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.archive.file_names().filter_map(|name| name.ok()?.strip_suffix(".npy").map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    /// Reads the array `name`.
    ///
    /// # Errors
    /// Returns an error if there is no such array or it can't be read.
    pub fn read(&mut self, name: &str) -> Result<Array> {
        let (mut array, place) = self.array(name)?;
        read_npy(&mut array, &place)
    }

    /// Reads the array `name` as [inputs](read_inputs).
    ///
    /// # Errors
    /// Returns an error in the same cases as [`read`](Self::read), and if a number is rejected as an input or has
    /// another kind.
    pub fn read_inputs(
        &mut self,
        name: &str,
        scale: Option<f64>,
        known: Option<InputKind>,
    ) -> Result<(Rows<f32>, InputKind)> {
        let numbers = format!("{}, {name}", self.path);
        let (mut array, place) = self.array(name)?;
        read_inputs(&mut array, &place, &numbers, scale, known)
    }

    /// Opens the array `name`; also returns its place for errors.
    fn array(&mut self, name: &str) -> Result<(impl Read, String)> {
        let place = format!("{}, array \"{name}\"", self.path);
        if let Some(entry) = self.archive.index_for_name(&format!("{name}.npy")) {
            let entry = self.archive.by_index(entry);
            let entry = entry.map_err(|error| Error::failure(format!("cannot read {place}: {error}")))?;
            return Ok((entry, place));
        }
        let names = self.names();
        let error = Error::usage(format!("{} has no array \"{name}\"", self.path));
        let near = nearest(name, names.iter().map(String::as_str));
        Err(error.near(&near).with("has", names.join(", ")))
    }
}

/// Writes named arrays as an uncompressed .npz, as `numpy.savez` does.
///
/// # Errors
/// Returns an error if the writer fails.
pub fn write_npz(writer: &mut dyn Write, arrays: &[(&str, ArrayViewD<'_, f32>)]) -> io::Result<()> {
    let mut archive = ZipWriter::new_stream(writer);
    for (name, values) in arrays {
        let large = values.len() > (1 << 29);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        archive.start_file(format!("{name}.npy"), options)?;
        write_npy(&mut archive, values)?;
    }
    archive.finish()?;
    Ok(())
}
