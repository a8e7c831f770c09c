//! The header of numpy's .npy format.

use std::io::{Error, Result, Write};

const MAGIC_AND_VERSION: &[u8] = b"\x93NUMPY\x01\x00";

/// Writes the header of an array in C order; `descr` is numpy's name of the type of its numbers, such as `<f4`.
///
/// # Errors
/// Returns an error if the writer fails, or if there are thousands of axes.
pub(crate) fn write_npy_header(writer: &mut dyn Write, descr: &str, shape: &[usize]) -> Result<()> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    // The header ends in a line break, and its padding aligns the numbers to 64 bytes.
    let prefix = MAGIC_AND_VERSION.len() + size_of::<u16>();
    let length = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    let header = format!("{header:<0$}\n", length - 1);
    let length = u16::try_from(header.len()).map_err(|_| Error::other("the array has too many axes"))?;
    writer.write_all(MAGIC_AND_VERSION)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(header.as_bytes())
}
