//! The header of numpy's .npy format, and the errors for invalid files.
//!
//! It is parsed by hand: the crates `npyz` and `ndarray-npy` parse it with `py_literal`, which takes time exponential
//! in the depth of nested lists, so that a header of 100 bytes can keep it busy for ever.

use std::io::{self, Read};

use crate::{Error, Result};

pub const MAGIC: &[u8] = b"\x93NUMPY";

pub fn not_npy(place: &str, what: &str) -> Error {
    Error::failure(format!("{place} isn't an .npy array: {what}"))
}

pub fn io_failed(place: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::failure(format!("{place} is cut short in its header")).hint("copy it, or write it, again")
        }
        _ => Error::failure(format!("cannot read {place}: {error}")),
    }
}

pub fn cut_short(place: &str, count: usize, shape: &[usize]) -> Error {
    Error::failure(format!("{place} is cut short: its header claims {count} numbers of shape {shape:?}"))
        .hint("copy it, or write it, again")
}

/// A parsed header.
#[derive(Debug, PartialEq)]
pub struct Header {
    pub descr: String,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

impl Header {
    /// Converts an index in file order to the index in C order.
    pub fn in_c_order(&self, mut at: usize) -> usize {
        if !self.fortran_order {
            return at;
        }
        let mut index = Vec::with_capacity(self.shape.len());
        for &axis in &self.shape {
            index.push(at % axis.max(1));
            at /= axis.max(1);
        }
        self.shape.iter().zip(index).fold(0, |place, (axis, index)| place * axis + index)
    }

    /// Reads a header and returns it with the offset of the first number.
    pub fn read(reader: &mut dyn Read, place: &str) -> Result<(Header, u64)> {
        let failed = |error: io::Error| io_failed(place, &error);
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(failed)?;
        if &start[..6] != MAGIC {
            return Err(not_npy(place, "it doesn't begin as one"));
        }
        let (begin, length) = match start[6] {
            1 => {
                let mut length = [0; 2];
                reader.read_exact(&mut length).map_err(failed)?;
                (10, u64::from(u16::from_le_bytes(length)))
            }
            2 | 3 => {
                let mut length = [0; 4];
                reader.read_exact(&mut length).map_err(failed)?;
                (12, u64::from(u32::from_le_bytes(length)))
            }
            version => return Err(not_npy(place, &format!("version {version} of the format isn't known"))),
        };
        const MAX_LENGTH: u64 = 1 << 16;
        if length > MAX_LENGTH {
            return Err(not_npy(place, "its header is too long"));
        }
        let mut header = vec![0; length as usize];
        reader.read_exact(&mut header).map_err(failed)?;
        let header = Header::parse(&String::from_utf8_lossy(&header));
        let header = header.ok_or_else(|| not_npy(place, "its header can't be parsed"))?;
        match header.shape.iter().try_fold(1_usize, |count, &axis| count.checked_mul(axis)) {
            Some(_) => Ok((header, begin + length)),
            None => Err(not_npy(place, "its header claims more numbers than there can be")),
        }
    }

    /// Returns whether the numbers are big-endian, and the type code without the byte order.
    pub fn kind(&self) -> (bool, &str) {
        let (order, kind) = match self.descr.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => ("<", self.descr.as_str()),
        };
        (order == ">" || (order == "=" && cfg!(target_endian = "big")), kind)
    }

    pub fn no_numbers(&self, place: &str) -> Error {
        let what = match self.kind().1 {
            "O" => "Python objects",
            kind if kind.starts_with('[') => "records of several fields",
            kind if kind.starts_with('M') || kind.starts_with('m') => "dates, times or durations",
            kind if kind.starts_with('U') || kind.starts_with('S') => "text",
            kind if kind.starts_with('c') => "complex numbers",
            _ => "values that aren't read",
        };
        Error::failure(format!("{place} contains {what}, of type \"{}\"", self.descr))
            .with("has", "float16, float32, float64, int8 to int64, uint8 to uint64, bool")
            .hint("convert it with astype before saving it")
    }

    /// Parses a Python dict such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.trim_start();
        while !rest.starts_with('}') {
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" => {
                    // A structured type: a list of fields.
                    let (value, after) = match rest.starts_with('[') {
                        true => rest.split_at(rest.rfind("]")? + 1),
                        false => quoted(rest)?,
                    };
                    (descr, rest) = (Some(value.to_owned()), after);
                }
                "fortran_order" => {
                    if let Some(after) = rest.strip_prefix("True") {
                        (fortran_order, rest) = (Some(true), after);
                    } else {
                        (fortran_order, rest) = (Some(false), rest.strip_prefix("False")?);
                    }
                }
                "shape" => {
                    let (axes, after) = rest.strip_prefix('(')?.split_once(')')?;
                    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
                    // Python 2 wrote integers as 3L.
                    let axes = axes.map(|axis| axis.strip_suffix('L').unwrap_or(axis).parse().ok());
                    (shape, rest) = (Some(axes.collect::<Option<Vec<usize>>>()?), after);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// Parses a quoted string; returns it and the rest of the text.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| *quote == '\'' || *quote == '"')?;
    text[1..].split_once(quote)
}
