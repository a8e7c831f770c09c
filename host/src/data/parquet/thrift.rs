//! Checks that the parquet crate reads the metadata of a Parquet file in no more steps than the metadata has bytes.
//!
//! The metadata uses the Thrift compact protocol: fields, each with a type. The parquet crate skips fields that it
//! doesn't know. To skip a list of booleans it consumes no bytes and loops as often as the list claims: twenty bytes
//! can keep it busy for ever. For the fields that it knows, it assumes the expected types, so this module checks those
//! types. Otherwise the crate could split the following bytes into other fields than the ones checked here.
//!
//! The check is written by hand because the crate's own parser isn't hardened yet, see
//! <https://github.com/apache/arrow-rs/issues/9874>.

use std::io::{self, Read};

use Kind::{Any, Bool, Byte, Double, Int, List, Struct, Text};
use parquet::errors::ParquetError;

/// The type that the crate expects for a field.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The type written in the file.
    Any,
    Bool,
    Byte,
    Int,
    Double,
    Text,
    List(&'static Kind),
    /// A struct with these fields, numbered from 1; other fields are allowed.
    Struct(&'static [Kind]),
}

/// The footer of a file.
pub const FILE: Kind =
    Struct(&[Int, List(&COLUMN), Int, List(&ROW_GROUP), List(&Struct(&[Text, Text])), Text, List(&COLUMN_ORDER)]);

/// The header of a page.
pub const PAGE: Kind = Struct(&[
    Int,
    Int,
    Int,
    Int,
    Struct(&[Int, Int, Int, Int]),
    EMPTY,
    Struct(&[Int, Int, Bool]),
    Struct(&[Int, Int, Int, Int, Int, Int, Bool]),
]);

const EMPTY: Kind = Struct(&[]);

const COLUMN: Kind = Struct(&[Int, Int, Int, Text, Int, Int, Int, Int, Int, LOGICAL_TYPE]);

const LOGICAL_TYPE: Kind = Struct(&[
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    Struct(&[Int, Int]),
    EMPTY,
    TIME,
    TIME,
    Any,
    Struct(&[Byte, Bool]),
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    Struct(&[Byte]),
    Struct(&[Text]),
    Struct(&[Text, Int]),
    EMPTY,
]);

const TIME: Kind = Struct(&[Bool, Struct(&[EMPTY, EMPTY, EMPTY])]);

const COLUMN_ORDER: Kind = Struct(&[EMPTY, EMPTY, EMPTY]);

const ROW_GROUP: Kind = Struct(&[List(&CHUNK), Int, Int, List(&Struct(&[Int, Bool, Bool])), Int, Any, Int]);

const CHUNK: Kind = Struct(&[Text, Int, CHUNK_DATA, Int, Int, Int, Int]);

const CHUNK_DATA: Kind = Struct(&[
    Int,
    List(&Int),
    Any,
    Int,
    Int,
    Int,
    Int,
    Any,
    Int,
    Int,
    Int,
    Struct(&[Text, Text, Int, Int, Text, Text, Bool, Bool, Int]),
    List(&Struct(&[Int, Int, Int])),
    Int,
    Int,
    Struct(&[Int, List(&Int), List(&Int)]),
    Struct(&[BOUNDING_BOX, List(&Int)]),
]);

const BOUNDING_BOX: Kind = Struct(&[Double, Double, Double, Double, Double, Double, Double, Double]);

/// The maximum nesting depth. Valid files use less than half of it.
const DEPTH: usize = 64;

/// The remaining depth in the fields of the outermost struct.
const OUTERMOST: usize = DEPTH - 1;

// The type codes of the protocol. Codes 4 to 6 are integers of variable length.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const TEXT: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Reads a value of this kind. Returns an error if the crate would read it differently or not reach its end.
pub fn check(reader: impl Read, kind: Kind) -> Result<(), ParquetError> {
    Walk::new(reader).value(kind, STRUCT, DEPTH).map(drop)
}

/// The sizes in the header of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSizes {
    /// The size of the header itself, in bytes.
    pub header: u64,
    /// The size of the page when decompressed, including the levels.
    pub uncompressed: u64,
    /// The size of the levels that precede the compressed data.
    pub levels: u64,
    /// Whether the data isn't compressed, whatever the codec of the column.
    pub plain: bool,
}

/// Like [`check`], for the header of a page. Returns the sizes in it.
pub fn check_page(reader: impl Read) -> Result<PageSizes, ParquetError> {
    let mut walk = Walk::new(reader);
    walk.value(PAGE, STRUCT, DEPTH)?;
    Ok(PageSizes { header: walk.read, ..walk.page })
}

fn invalid(what: String) -> ParquetError {
    ParquetError::General(what)
}

impl Kind {
    /// Returns whether a field of this kind may have this type code. Maps are never accepted: Parquet has none.
    fn is_written_as(self, written: u8) -> bool {
        match self {
            Any => matches!(written, TRUE..=SET | STRUCT | UUID),
            Bool => matches!(written, TRUE | FALSE),
            Byte => written == BYTE,
            Int => matches!(written, 4..=6),
            Double => written == DOUBLE,
            Text => written == TEXT,
            List(_) => matches!(written, LIST | SET),
            Struct(_) => written == STRUCT,
        }
    }
}

struct Walk<R> {
    reader: R,
    /// The number of bytes read.
    read: u64,
    /// The number of the current field of the outermost struct.
    outermost: i16,
    /// The sizes read so far, if the value is the header of a page.
    page: PageSizes,
}

impl<R: Read> Walk<R> {
    fn new(reader: R) -> Self {
        Walk { reader, read: 0, outermost: 0, page: PageSizes::default() }
    }

    /// Reads a value. Returns its number if it is an integer, else 0.
    fn value(&mut self, kind: Kind, written: u8, depth: usize) -> Result<u64, ParquetError> {
        let depth = depth.checked_sub(1).ok_or_else(|| invalid("its fields are nested too deeply".into()))?;
        if !kind.is_written_as(written) {
            return Err(invalid(format!("a field has the type {written}, which it can't have")));
        }
        match written {
            TRUE | FALSE => {}
            BYTE => self.skip(1)?,
            DOUBLE => self.skip(8)?,
            UUID => self.skip(16)?,
            TEXT => {
                let length = self.number()?;
                self.skip(length)?;
            }
            LIST | SET => self.list(if let List(element) = kind { *element } else { Any }, depth)?,
            STRUCT => self.fields(if let Struct(fields) = kind { fields } else { &[] }, depth)?,
            // Zigzag. Negative numbers become 0; the crate rejects negative sizes.
            _ => return self.number().map(|number| if number & 1 == 0 { number >> 1 } else { 0 }),
        }
        Ok(0)
    }

    fn list(&mut self, kind: Kind, depth: usize) -> Result<(), ParquetError> {
        let (count, written) = match self.byte()? {
            // Some writers write no element type for an empty list.
            0 => return Ok(()),
            header if header >> 4 == 15 => (self.number()?, header & 15),
            header => (u64::from(header >> 4), header & 15),
        };
        if matches!(written, TRUE | FALSE) && count > 0 {
            return Err(invalid(format!("a list claims {count} values that take no bytes")));
        }
        (0..count).try_for_each(|_| self.value(kind, written, depth).map(drop))
    }

    fn fields(&mut self, fields: &[Kind], depth: usize) -> Result<(), ParquetError> {
        let mut id = 0_i16;
        loop {
            let header = self.byte()?;
            let (step, written) = (header >> 4, header & 15);
            if written == STOP {
                return Ok(());
            }
            id = if step == 0 {
                let number = self.number()?;
                // Zigzag, truncated as in the crate.
                ((number >> 1) as i64 ^ -((number & 1) as i64)) as i16
            } else {
                id.checked_add(i16::from(step)).ok_or_else(|| invalid("its fields have no numbers left".into()))?
            };
            if depth == OUTERMOST {
                self.outermost = id;
            }
            let known = usize::try_from(id).ok().and_then(|id| fields.get(id.checked_sub(1)?));
            let number = self.value(known.copied().unwrap_or(Any), written, depth)?;
            match (self.outermost, OUTERMOST - depth, id) {
                (2, 0, 2) => self.page.uncompressed = number,
                // The header of a version 2 page: sizes of definition levels and repetition levels, and whether the
                // data is compressed.
                (8, 1, 5 | 6) => self.page.levels = self.page.levels.saturating_add(number),
                (8, 1, 7) => self.page.plain = written == FALSE,
                _ => {}
            }
        }
    }

    fn byte(&mut self) -> Result<u8, ParquetError> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    /// Reads a ULEB128 integer: seven bits per byte, least significant first.
    fn number(&mut self) -> Result<u64, ParquetError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(invalid("a number is longer than ten bytes".into()))
    }

    fn skip(&mut self, length: u64) -> Result<(), ParquetError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        self.read += skipped;
        if skipped < length {
            return Err(ParquetError::EOF(format!("{length} bytes are claimed where {skipped} are left")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(bytes: &[u8], kind: Kind) -> String {
        check(bytes, kind).expect_err("it is refused").to_string()
    }

    #[test]
    fn lists_of_booleans_without_bytes_are_rejected() {
        // In the unknown field 10: alone, in a list of lists, in a struct; with either boolean type.
        let most = [0xff, 0xff, 0xff, 0xff, 0x07];
        for before in [&[0xa9, 0xf1][..], &[0xa9, 0xf2], &[0xaa, 0xf1], &[0xa9, 0x19, 0xf1], &[0xac, 0x19, 0xf1]] {
            let bytes = [before, &most, &[0, 0]].concat();
            for kind in [FILE, PAGE] {
                let error = check_error(&bytes, kind);
                assert!(error.contains("claims 2147483647 values that take no bytes"), "{before:x?}: {error}");
            }
        }
        assert!(check(&[0xa9, 0x01, 0][..], FILE).is_ok(), "none take no bytes");
        assert!(check(&[0xa9, 0x38, 1, b'a', 0, 0, 0][..], FILE).is_ok(), "an unknown list of words");
    }

    #[test]
    fn a_field_of_an_unexpected_type_is_rejected() {
        // The version as a text of nine bytes: the crate would read the number 9 and continue within the text.
        let hidden = [0x18, 9, 0xa9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0];
        assert!(check_error(&hidden, FILE).contains("has the type 8"), "{}", check_error(&hidden, FILE));
        // An explicit field number, truncated to 16 bits as in the crate: 65537 becomes 1.
        let cut = [0x08, 0x82, 0x80, 0x08, 0, 0];
        assert!(check_error(&cut, FILE).contains("has the type 8"), "{}", check_error(&cut, FILE));
        // A schema element name that is a number; and a map, which Parquet doesn't have.
        assert!(check_error(&[0x29, 0x1c, 0x45, 2, 0, 0], FILE).contains("has the type 5"));
        assert!(check_error(&[0xab, 1, 0x11, 0], FILE).contains("has the type 11"));
    }

    #[test]
    fn page_sizes_are_read_from_the_header() {
        // Version 1: type 0, 300 bytes, 200 compressed; 9 values, encodings irrelevant.
        let first = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0x90, 3, 0x2c, 0x15, 18, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 7, 7];
        let sizes = PageSizes { header: first.len() as u64 - 2, uncompressed: 300, levels: 0, plain: false };
        assert_eq!(check_page(&first[..]).expect("a header"), sizes);
        // Version 2: 5 bytes of definition levels and 4 of repetition levels, not compressed.
        let second = [
            0x15, 6, 0x15, 0xd8, 4, 0x15, 0x90, 3, 0x5c, 0x15, 18, 0x15, 0, 0x15, 18, 0x15, 0, 0x15, 10, 0x15, 8, 0x12,
            0, 0,
        ];
        let sizes = PageSizes { header: second.len() as u64, uncompressed: 300, levels: 9, plain: true };
        assert_eq!(check_page(&second[..]).expect("a header"), sizes);
    }

    #[test]
    fn truncated_and_deeply_nested_values_are_rejected() {
        assert!(check_error(&[0xa8, 0x7f, 0], FILE).contains("127 bytes are claimed where 1 are left"));
        assert!(check_error(&[[0x15].as_slice(), &[0xff; 11]].concat(), FILE).contains("longer than ten bytes"));
        assert!(check_error(&[[0xa9].as_slice(), &[0x19; 100]].concat(), FILE).contains("nested too deeply"));
        assert!(check(&[0x15, 2][..], FILE).is_err(), "no end");
    }
}
