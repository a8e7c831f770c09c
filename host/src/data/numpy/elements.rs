//! The element types of numpy's .npy format, and reading of the elements after a header.

use std::io::{self, Read};

use half::f16;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::header::{Header, cut_short};
use crate::data::float32::{NO_BOOLEAN, rejection, rejection_error};
use crate::data::number::Number;
use crate::data::{Array, InputKind, Rows};
use crate::{Error, Result};

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
        let float = (number.to_f64() * scale) as f32;
        all_fit &= float.is_finite() && (scaled || !number.is_inexact_f32());
        float
    }));
    if all_fit {
        return None;
    }
    let rejection =
        |(at, bytes): (usize, &[u8; WIDTH])| Some((at, rejection(number(*bytes), values[start + at], scaled)?));
    each.iter().enumerate().find_map(rejection)
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
        let rejection = (self.decode)(bytes, self.scale, values);
        if rejection.is_some() || !self.booleans {
            return rejection;
        }
        let at = values[start..].iter().position(|value| *value != 0.0 && *value != scaled_one)?;
        Some((at, NO_BOOLEAN))
    }
}

impl Header {
    /// Returns the decoder for the element type as inputs, and the kind of the inputs.
    pub fn decoder(&self, scale: Option<f64>, known: Option<InputKind>, place: &str) -> Result<(Decoder, InputKind)> {
        let kind = self.kind().1;
        let Some((width, decode)) = self.decode() else { return Err(self.no_numbers(place)) };
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

/// Returns an error for an integer that is too large for int64, and so has become negative.
fn check_no_wrap(rows: &Rows<i64>, place: &str) -> Result<()> {
    match rows.values().iter().position(|number| *number < 0) {
        None => Ok(()),
        Some(at) => Err(rejection_error("an integer is too large for int64", place, at, rows.row_shape())),
    }
}

fn is_nonzero(byte: u8) -> u8 {
    u8::from(byte != 0)
}

/// Defines the element types. In each row: the type code, the type in the file, its conversion to a number for inputs,
/// and the type of the array with the conversion to it.
macro_rules! element_types {
    ($($code:literal => $type:ty, $input:expr, $array:ident($convert:expr);)*) => {
        impl Header {
            /// Returns the size of an element and the function that decodes elements as inputs, or `None` if the
            /// elements aren't numbers.
            fn decode(&self) -> Option<(usize, Decode)> {
                let (big_endian, code) = self.kind();
                Some(match code {
                    $($code => {
                        let little: Decode =
                            |bytes, scale, values| decode(bytes, scale, values, |b| $input(<$type>::from_le_bytes(b)));
                        let big: Decode =
                            |bytes, scale, values| decode(bytes, scale, values, |b| $input(<$type>::from_be_bytes(b)));
                        (size_of::<$type>(), if big_endian { big } else { little })
                    })*
                    _ => return None,
                })
            }
        }

        impl Elements<'_> {
            /// Reads the elements without conversion to float32.
            pub fn read_array(mut self) -> Result<Array> {
                let (big_endian, code) = self.header.kind();
                let array = match code {
                    $($code => Array::$array(self.read_each(|bytes| {
                        $convert(if big_endian { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) })
                    })?),)*
                    _ => return Err(self.header.no_numbers(self.place)),
                };
                if let ("u8", Array::I64(rows)) = (code, &array) {
                    check_no_wrap(rows, self.place)?;
                }
                Ok(array)
            }
        }
    };
}
element_types! {
    "f2" => f16, f32::from, F32(f32::from);
    "f4" => f32, f32::from, F32(f32::from);
    "f8" => f64, f64::from, F64(f64::from);
    "i1" => i8, i8::from, I32(i32::from);
    "i2" => i16, i16::from, I32(i32::from);
    "u2" => u16, u16::from, I32(i32::from);
    "i4" => i32, i32::from, I32(i32::from);
    "u4" => u32, u32::from, I64(i64::from);
    "i8" => i64, i64::from, I64(i64::from);
    "u8" => u64, u64::from, I64(u64::cast_signed);
    "u1" => u8, u8::from, U8(u8::from);
    "b1" => u8, is_nonzero, U8(is_nonzero);
}

/// The elements after a header.
pub struct Elements<'a> {
    pub reader: &'a mut dyn Read,
    pub header: &'a Header,
    pub place: &'a str,
}

impl Elements<'_> {
    fn read_each<T: Copy, const SIZE: usize>(&mut self, number: impl Fn([u8; SIZE]) -> T) -> Result<Rows<T>> {
        self.read(SIZE, |bytes, values| {
            values.extend(bytes.as_chunks::<SIZE>().0.iter().map(|bytes| number(*bytes)));
            Ok(())
        })
    }

    /// Reads the elements in blocks; `add` decodes elements of `width` bytes.
    pub fn read<T: Copy>(
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
