//! numpy's .npy format: reads the common number types in either byte order, writes float32.
//!
//! Memory is allocated only for data that was read, so a header that claims more numbers than the file contains is
//! harmless.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use ndarray::ArrayViewD;

use super::elements::{Decoder, Elements};
use super::header::{Header, cut_short, io_failed, not_npy};
use crate::data::float32::rejection_error;
use crate::data::format::Format;
use crate::data::{Array, InputKind, Rows};
use crate::files::write_npy_header;
use crate::{Error, Result};

/// Reads one array, which must extend to the end of `reader`; `place` locates it in errors.
///
/// # Errors
/// Returns an error if the data isn't an .npy array of numbers, is truncated, or has trailing bytes.
pub fn read_npy(reader: &mut dyn Read, place: &str) -> Result<Array> {
    let (header, _) = Header::read(reader, place)?;
    let array = Elements { reader, header: &header, place }.read_array()?;
    check_end(reader, place)?;
    Ok(array)
}

/// Reads one array of inputs, multiplied by `scale`, and returns its kind; `known` is the kind that it must have.
/// `place` locates the array in errors, and `numbers` its elements.
///
/// # Errors
/// Returns an error in the same cases as [`read_npy`], and if a number is rejected as an input or has another kind.
pub fn read_inputs(
    reader: &mut dyn Read,
    place: &str,
    numbers: &str,
    scale: Option<f64>,
    known: Option<InputKind>,
) -> Result<(Rows<f32>, InputKind)> {
    let (header, _) = Header::read(reader, place)?;
    let (decoder, kind) = header.decoder(scale, known, place)?;
    let shape = header.shape.clone();
    let rows = Elements { reader, header: &header, place }.read(decoder.width, |bytes, values| {
        let start = values.len();
        match decoder.read(bytes, values) {
            None => Ok(()),
            Some((at, what)) => {
                let at = header.in_c_order(start + at);
                Err(rejection_error(what, numbers, at, shape.get(1..).unwrap_or_default()))
            }
        }
    })?;
    check_end(reader, place)?;
    Ok((rows, kind))
}

fn check_end(reader: &mut dyn Read, place: &str) -> Result<()> {
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(not_npy(place, "more follows after its last number")),
        Err(error) => Err(io_failed(place, &error)),
    }
}

/// Reads an .npy file of inputs and returns their kind; `known` is the kind that they must have.
pub fn read_npy_inputs(path: &Path, scale: Option<f64>, known: Option<InputKind>) -> Result<(Rows<f32>, InputKind)> {
    let place = path.display().to_string();
    read_inputs(&mut open_npy(path)?, &place, &format!("{place}, inputs"), scale, known)
}

/// Reads an .npy file.
pub fn read_npy_file(path: &Path) -> Result<Array> {
    read_npy(&mut open_npy(path)?, &path.display().to_string())
}

fn open_npy(path: &Path) -> Result<BufReader<File>> {
    if Format::of(path)? != Format::Npy {
        return Err(Error::usage(format!("{} isn't an .npy file", path.display()))
            .hint("inputs and targets must both be .npy files"));
    }
    let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// The position, type and shape of the numbers in a file.
pub struct Layout {
    /// The offset of the first number.
    pub start: u64,
    /// Decodes the numbers.
    pub decoder: Decoder,
    /// The kind of the numbers.
    pub kind: InputKind,
    /// The shape of the array.
    pub shape: Vec<usize>,
    /// Whether the array is in Fortran order.
    pub fortran_order: bool,
}

impl Layout {
    /// Reads the header of an array of inputs; the parameters are those of [`read_inputs`].
    ///
    /// # Errors
    /// Returns an error if the header is invalid, the element type isn't a number, or the kind isn't `known`.
    pub fn read(reader: &mut dyn Read, place: &str, scale: Option<f64>, known: Option<InputKind>) -> Result<Self> {
        let (header, start) = Header::read(reader, place)?;
        let (decoder, kind) = header.decoder(scale, known, place)?;
        Ok(Layout { start, decoder, kind, shape: header.shape, fortran_order: header.fortran_order })
    }

    /// Checks that the length of the file matches the header.
    ///
    /// # Errors
    /// Returns an error if `length`, in bytes, is too small or too large.
    pub fn check_length(&self, length: u64, place: &str) -> Result<()> {
        let count: usize = self.shape.iter().product();
        let numbers = (count as u64).saturating_mul(self.decoder.width as u64);
        match length.cmp(&self.start.saturating_add(numbers)) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(cut_short(place, count, &self.shape)),
            std::cmp::Ordering::Greater => Err(not_npy(place, "more follows after its last number")),
        }
    }
}

/// Writes an array as .npy of float32 in C order.
///
/// # Errors
/// Returns an error if the writer fails.
pub fn write_npy(writer: &mut dyn Write, values: &ArrayViewD<'_, f32>) -> io::Result<()> {
    write_npy_header(writer, "<f4", values.shape())?;
    values.iter().try_for_each(|value| writer.write_all(&value.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::super::header::MAGIC;
    use super::*;

    fn file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        with_header(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"), data)
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn read(bytes: &[u8]) -> Result<Array> {
        read_npy(&mut &bytes[..], "a.npy")
    }

    #[test]
    fn arrays_round_trip() {
        let array = ArrayD::from_shape_vec(IxDyn(&[2, 3]), vec![1.0, -2.5, 3.0, 4.0, 5.0, 1e-30]).expect("six");
        let mut bytes = Vec::new();
        write_npy(&mut bytes, &array.view()).expect("memory can be written");
        assert_eq!((bytes.len() - 24) % 64, 0, "the numbers are aligned");
        let Array::F32(rows) = read(&bytes).expect("it is whole") else { panic!("float32") };
        assert_eq!(rows.view(), array);
    }

    #[test]
    fn every_type_and_byte_order_is_read() {
        let vector = |bytes: Vec<u8>| read(&bytes).expect("an array");
        assert_eq!(
            vector(file(">f8", "False", "(1,)", &1.5_f64.to_be_bytes())),
            Array::F64(Rows::new(vec![1.5], &[1]).expect("one"))
        );
        assert_eq!(
            vector(file("<i8", "False", "(1,)", &(-7_i64).to_le_bytes())),
            Array::I64(Rows::new(vec![-7], &[1]).expect("one"))
        );
        assert_eq!(vector(file("|b1", "False", "(2,)", &[1, 0])), Array::U8(Rows::new(vec![1, 0], &[2]).expect("two")));
        assert_eq!(vector(file("|i1", "False", "(1,)", &[0xff])), Array::I32(Rows::new(vec![-1], &[1]).expect("one")));
        assert_eq!(
            vector(file("<f2", "False", "(3,)", &[0x00, 0x3c, 0x00, 0xc4, 0x01, 0x00])),
            Array::F32(Rows::new(vec![1.0, -4.0, 2f32.powi(-24)], &[3]).expect("three"))
        );
    }

    #[test]
    fn fortran_order_is_converted_to_c_order() {
        let bytes = file("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6]);
        assert_eq!(
            read(&bytes).expect("an array"),
            Array::U8(Rows::new(vec![1, 2, 3, 4, 5, 6], &[2, 3]).expect("six"))
        );
    }

    #[test]
    fn garbage_and_truncated_files_are_errors() {
        let whole = file("<f4", "False", "(2, 2)", &[0; 16]);
        assert!(read(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        for (bytes, says) in [
            (b"no array at all".to_vec(), "doesn't begin as one"),
            (file("<f4", "False", "(99999999999, 99999999999)", &[0; 8]), "more numbers than there can be"),
            (file("<f4", "False", "(99999999999,)", &[0; 8]), "cut short"),
            (file("<f4", "False", "(1,)", &[0; 8]), "more follows"),
            (file("<U3", "False", "(1,)", &[0; 12]), "contains text, of type \"<U3\""),
            (file("|O", "False", "(1,)", &[0; 12]), "contains Python objects, of type \"|O\""),
            (file("<M8[ns]", "False", "(1,)", &[0; 8]), "contains dates, times or durations"),
            (file("<c16", "False", "(1,)", &[0; 16]), "contains complex numbers"),
            (file("<f16", "False", "(1,)", &[0; 16]), "contains values that aren't read, of type \"<f16\""),
            (
                with_header(
                    "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }\n",
                    &[0; 8],
                ),
                "contains records of several fields, of type \"[('a', '<f4'), ('b', '<i4')]\"",
            ),
            (file("<u8", "False", "(2,)", &[[0; 8], [255; 8]].concat()), "an integer is too large for int64"),
            (file("<f4", "Maybe", "(1,)", &[0; 4]), "can't be parsed"),
            (file("<f4", "False", "(-1,)", &[0; 4]), "can't be parsed"),
            (file("", "False", "(1,)", &[0; 4]), "of type \"\""),
            (file("<f4", "False", "()", &[0; 4]), "at least one axis"),
            (b"\x93NUMPY\x01\x00\x04\x00\xff{'\xc3".to_vec(), "can't be parsed"),
        ] {
            let error = read(&bytes).expect_err("it isn't an array").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn no_changed_byte_causes_a_panic() {
        let whole = file("<f4", "False", "(2, 2)", &[0; 16]);
        for at in 0..whole.len() {
            for byte in [0, 1, b'\'', b'{', b'9', 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = read(&changed);
            }
        }
    }
}
