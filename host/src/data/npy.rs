//! numpy's .npy format: reads the common number types in either byte order, writes float32 and float64.
//!
//! Memory is allocated only for data that was read, so a header that claims more numbers than the file contains is
//! harmless.

use std::io::{self, Read, Write};

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};

use super::array::{Array, Rows};
use super::float32::{NO_BOOLEAN, Number, misfit, misfit_error};
use super::npy_header::{Header, MAGIC, cut_short, io_failed, not_npy};
use super::schema::InputKind;
use crate::{Error, Result};

/// Reads one array, which must extend to the end of `reader`; `place` locates it in errors.
///
/// # Errors
/// Returns an error if the data isn't an .npy array of numbers, is truncated, or has trailing bytes.
pub fn read_npy(reader: &mut dyn Read, place: &str) -> Result<Array> {
    let (header, _) = Header::read(reader, place)?;
    let array = read_numbers(reader, &header, place)?;
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
    let rows = Numbers { reader, header: &header, place }.read(decoder.width, |bytes, values| {
        let start = values.len();
        match decoder.read(bytes, values) {
            None => Ok(()),
            Some((at, what)) => {
                let at = header.in_c_order(start + at);
                Err(misfit_error(what, numbers, at, shape.get(1..).unwrap_or_default()))
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

/// Decodes numbers, multiplies them by `scale` and appends them to `values`. Returns the index of the first rejected
/// number and the reason.
type Decode = fn(bytes: &[u8], scale: f64, values: &mut Vec<f32>) -> Option<(usize, &'static str)>;

fn decode<T: Number, const WIDTH: usize>(
    bytes: &[u8],
    scale: f64,
    values: &mut Vec<f32>,
    number: impl Fn([u8; WIDTH]) -> T,
) -> Option<(usize, &'static str)> {
    let scaled = scale != 1.0;
    let (each, start) = (bytes.as_chunks::<WIDTH>().0, values.len());
    let mut all_fit = true;
    values.extend(each.iter().map(|bytes| {
        let number = number(*bytes);
        let float = (number.double() * scale) as f32;
        all_fit &= float.is_finite() && (scaled || !number.is_rounded());
        float
    }));
    if all_fit {
        return None;
    }
    let misfit = |(at, bytes): (usize, &[u8; WIDTH])| Some((at, misfit(number(*bytes), values[start + at], scaled)?));
    each.iter().enumerate().find_map(misfit)
}

/// Decodes the bytes of one element type as inputs.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The size of one element in bytes.
    pub width: usize,
    decode: Decode,
    scale: f64,
    /// Whether only 0 and 1 are accepted.
    booleans: bool,
}

impl Decoder {
    /// Returns the decoder for little-endian float32, unscaled.
    pub fn float32() -> Self {
        let decode: Decode = |bytes, scale, values| decode(bytes, scale, values, f32::from_le_bytes);
        Decoder { width: size_of::<f32>(), decode, scale: 1.0, booleans: false }
    }

    /// Decodes numbers and appends them to `values`, scaled. Returns the index of the first rejected number and the
    /// reason.
    pub fn read(&self, bytes: &[u8], values: &mut Vec<f32>) -> Option<(usize, &'static str)> {
        let (start, scaled_one) = (values.len(), self.scale as f32);
        let misfit = (self.decode)(bytes, self.scale, values);
        if misfit.is_some() || !self.booleans {
            return misfit;
        }
        let at = values[start..].iter().position(|value| *value != 0.0 && *value != scaled_one)?;
        Some((at, NO_BOOLEAN))
    }
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

impl Header {
    /// Returns the decoder for the element type as inputs, and the kind of the inputs.
    fn decoder(&self, scale: Option<f64>, known: Option<InputKind>, place: &str) -> Result<(Decoder, InputKind)> {
        let (big, kind) = self.kind();
        macro_rules! decode {
            ($type:ty) => {
                decode!($type, |number| number)
            };
            ($type:ty, $from:expr) => {{
                let little_endian: Decode =
                    |bytes, scale, values| decode(bytes, scale, values, |bytes| $from(<$type>::from_le_bytes(bytes)));
                let big_endian: Decode =
                    |bytes, scale, values| decode(bytes, scale, values, |bytes| $from(<$type>::from_be_bytes(bytes)));
                (size_of::<$type>(), if big { big_endian } else { little_endian })
            }};
        }
        let (width, decode) = match kind {
            "f4" => decode!(f32),
            "f8" => decode!(f64),
            "f2" => decode!(u16, half_to_f32),
            "i1" => decode!(i8),
            "i2" => decode!(i16),
            "u2" => decode!(u16),
            "i4" => decode!(i32),
            "u4" => decode!(u32),
            "i8" => decode!(i64),
            "u8" => decode!(u64),
            "u1" => decode!(u8),
            "b1" => decode!(u8, |byte| u8::from(byte != 0)),
            _ => return Err(self.no_numbers(place)),
        };
        let found = if kind == "b1" { InputKind::Boolean } else { InputKind::Number };
        if (found, known) == (InputKind::Boolean, Some(InputKind::Number)) {
            return Err(Error::failure("the run was trained on numbers, and these inputs are booleans")
                .with("in", place)
                .hint("correct the file, or name one like the run's"));
        }
        let booleans = known == Some(InputKind::Boolean);
        Ok((Decoder { width, decode, scale: scale.unwrap_or(1.0), booleans }, found))
    }
}

fn read_numbers(reader: &mut dyn Read, header: &Header, place: &str) -> Result<Array> {
    let mut numbers = Numbers { reader, header, place };
    let (big, kind) = header.kind();
    macro_rules! number {
        ($type:ty) => {
            move |bytes| if big { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) }
        };
    }
    Ok(match kind {
        "f4" => Array::F32(numbers.each(number!(f32))?),
        "f8" => Array::F64(numbers.each(number!(f64))?),
        "f2" => {
            let bits = number!(u16);
            Array::F32(numbers.each(move |bytes| half_to_f32(bits(bytes)))?)
        }
        "i1" => Array::I32(numbers.each(|[byte]| i32::from(byte as i8))?),
        "i2" => {
            let number = number!(i16);
            Array::I32(numbers.each(move |bytes| i32::from(number(bytes)))?)
        }
        "u2" => {
            let number = number!(u16);
            Array::I32(numbers.each(move |bytes| i32::from(number(bytes)))?)
        }
        "i4" => Array::I32(numbers.each(number!(i32))?),
        "u4" => {
            let number = number!(u32);
            Array::I64(numbers.each(move |bytes| i64::from(number(bytes)))?)
        }
        "i8" => Array::I64(numbers.each(number!(i64))?),
        "u8" => {
            let number = number!(u64);
            // Numbers too large for int64 wrap to negative ones.
            let rows = numbers.each(move |bytes| number(bytes).cast_signed())?;
            match rows.values().iter().position(|number| *number < 0) {
                None => Array::I64(rows),
                Some(at) => return Err(misfit_error("an integer is too large for int64", place, at, rows.row_shape())),
            }
        }
        "u1" => Array::U8(numbers.each(|[byte]| byte)?),
        "b1" => Array::U8(numbers.each(|[byte]| u8::from(byte != 0))?),
        _ => return Err(header.no_numbers(place)),
    })
}

/// The numbers after a header.
struct Numbers<'a> {
    reader: &'a mut dyn Read,
    header: &'a Header,
    place: &'a str,
}

impl Numbers<'_> {
    fn each<T: Copy, const SIZE: usize>(&mut self, number: impl Fn([u8; SIZE]) -> T) -> Result<Rows<T>> {
        self.read(SIZE, |bytes, values| {
            values.extend(bytes.as_chunks::<SIZE>().0.iter().map(|bytes| number(*bytes)));
            Ok(())
        })
    }

    /// Reads the numbers in blocks; `add` decodes elements of `width` bytes.
    fn read<T: Copy>(
        &mut self,
        width: usize,
        mut add: impl FnMut(&[u8], &mut Vec<T>) -> Result<()>,
    ) -> Result<Rows<T>> {
        const BLOCK: usize = 1 << 16;
        let mut block = vec![0; BLOCK];
        let mut values: Vec<T> = Vec::new();
        let too_large = || Error::failure(format!("{} doesn't fit in memory", self.place));
        let count: usize = self.header.shape.iter().product();
        while values.len() < count {
            let wanted = BLOCK.min((count - values.len()).saturating_mul(width));
            let wanted = wanted - wanted % width;
            self.reader.read_exact(&mut block[..wanted]).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => cut_short(self.place, count, &self.header.shape),
                _ => Error::failure(format!("cannot read {}: {error}", self.place)),
            })?;
            values.try_reserve(wanted / width).map_err(|_| too_large())?;
            add(&block[..wanted], &mut values)?;
        }
        let shape = &self.header.shape;
        if self.header.fortran_order && shape.len() > 1 {
            let array = ArrayD::from_shape_vec(IxDyn(shape).f(), values).map_err(|_| too_large())?;
            values = array.as_standard_layout().into_owned().into_raw_vec_and_offset().0;
        }
        Rows::new(values, shape).map_err(|error| Error::failure(format!("{}: {}", self.place, error.message())))
    }
}

/// Converts IEEE 754 binary16 to float32.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let mantissa = f32::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + mantissa / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    sign * magnitude
}

/// Writes an array as .npy of float32 in C order.
///
/// # Errors
/// Returns an error if the writer fails.
pub fn write_npy(writer: &mut dyn Write, values: &ArrayViewD<'_, f32>) -> io::Result<()> {
    write_header(writer, "<f4", values.shape())?;
    values.iter().try_for_each(|value| writer.write_all(&value.to_le_bytes()))
}

/// Writes an array as .npy of float64; `values` is in C order.
///
/// # Errors
/// Returns an error if the writer fails.
pub fn write_npy_doubles(writer: &mut dyn Write, shape: &[usize], values: &[f64]) -> io::Result<()> {
    write_header(writer, "<f8", shape)?;
    values.iter().try_for_each(|value| writer.write_all(&value.to_le_bytes()))
}

fn write_header(writer: &mut dyn Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    // The header ends in a line break, and its padding aligns the numbers to 64 bytes.
    const PREFIX: usize = 10;
    let padding = (PREFIX + header.len() + 1).next_multiple_of(64) - (PREFIX + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    writer.write_all(MAGIC)?;
    writer.write_all(&[1, 0])?;
    let length = u16::try_from(header.len()).map_err(|_| io::Error::other("the array has too many axes"))?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(header.as_bytes())
}

#[cfg(test)]
mod tests {
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
            (file("<U3", "False", "(1,)", &[0; 12]), "holds text, of type \"<U3\""),
            (file("|O", "False", "(1,)", &[0; 12]), "holds Python objects, of type \"|O\""),
            (file("<M8[ns]", "False", "(1,)", &[0; 8]), "holds dates, times or durations"),
            (file("<c16", "False", "(1,)", &[0; 16]), "holds complex numbers"),
            (file("<f16", "False", "(1,)", &[0; 16]), "holds values that aren't read, of type \"<f16\""),
            (
                with_header(
                    "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }\n",
                    &[0; 8],
                ),
                "holds records of several fields, of type \"[('a', '<f4'), ('b', '<i4')]\"",
            ),
            (file("<u8", "False", "(2,)", &[[0; 8], [255; 8]].concat()), "an integer is too large for int64"),
            (file("<f4", "Maybe", "(1,)", &[0; 4]), "can't be understood"),
            (file("<f4", "False", "(-1,)", &[0; 4]), "can't be understood"),
            (file("", "False", "(1,)", &[0; 4]), "of type \"\""),
            (file("<f4", "False", "()", &[0; 4]), "at least one axis"),
            (b"\x93NUMPY\x01\x00\x04\x00\xff{'\xc3".to_vec(), "can't be understood"),
        ] {
            let error = read(&bytes).expect_err("it is no array").to_string();
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
