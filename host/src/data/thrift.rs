//! Whether what a Parquet file says of itself is read in no more steps than it has bytes.
//!
//! It is in Thrift's compact form: fields, each with its type. The parquet crate passes over fields that it doesn't know, and there
//! over the booleans of a list without taking a byte, as many as the list claims: twenty bytes can keep it busy for ever. The fields that
//! it knows it takes to be of the type that it expects, so these types are compared here; else what it reads as a field behind one
//! could be another than what is looked at.

use std::io::{self, Read};

use Kind::{Any, Byte, Double, Flag, List, Struct, Text, Whole};
use parquet::errors::ParquetError;

/// As what the crate reads a field.
#[derive(Clone, Copy)]
pub enum Kind {
    /// As what it says that it is.
    Any,
    Flag,
    Byte,
    Whole,
    Double,
    Text,
    List(&'static Kind),
    /// With these fields, numbered from 1, and others.
    Struct(&'static [Kind]),
}

/// What is at the end of a file.
pub const FILE: Kind =
    Struct(&[Whole, List(&COLUMN), Whole, List(&ROW_GROUP), List(&Struct(&[Text, Text])), Text, List(&COLUMN_ORDER)]);

/// What is before a page.
pub const PAGE: Kind = Struct(&[
    Whole,
    Whole,
    Whole,
    Whole,
    Struct(&[Whole, Whole, Whole, Whole]),
    EMPTY,
    Struct(&[Whole, Whole, Flag]),
    Struct(&[Whole, Whole, Whole, Whole, Whole, Whole, Flag]),
]);

const EMPTY: Kind = Struct(&[]);

const COLUMN: Kind = Struct(&[Whole, Whole, Whole, Text, Whole, Whole, Whole, Whole, Whole, LOGICAL_TYPE]);

const LOGICAL_TYPE: Kind = Struct(&[
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    Struct(&[Whole, Whole]),
    EMPTY,
    TIME,
    TIME,
    Any,
    Struct(&[Byte, Flag]),
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    EMPTY,
    Struct(&[Byte]),
    Struct(&[Text]),
    Struct(&[Text, Whole]),
    EMPTY,
]);

const TIME: Kind = Struct(&[Flag, Struct(&[EMPTY, EMPTY, EMPTY])]);

const COLUMN_ORDER: Kind = Struct(&[EMPTY, EMPTY, EMPTY]);

const ROW_GROUP: Kind = Struct(&[List(&CHUNK), Whole, Whole, List(&Struct(&[Whole, Flag, Flag])), Whole, Any, Whole]);

const CHUNK: Kind = Struct(&[Text, Whole, CHUNK_DATA, Whole, Whole, Whole, Whole]);

const CHUNK_DATA: Kind = Struct(&[
    Whole,
    List(&Whole),
    Any,
    Whole,
    Whole,
    Whole,
    Whole,
    Any,
    Whole,
    Whole,
    Whole,
    Struct(&[Text, Text, Whole, Whole, Text, Text, Flag, Flag, Whole]),
    List(&Struct(&[Whole, Whole, Whole])),
    Whole,
    Whole,
    Struct(&[Whole, List(&Whole), List(&Whole)]),
    Struct(&[BOUNDING_BOX, List(&Whole)]),
]);

const BOUNDING_BOX: Kind = Struct(&[Double, Double, Double, Double, Double, Double, Double, Double]);

/// Nothing in a file that is whole is nested half as deeply.
const DEPTH: usize = 64;

/// The depth of the fields of the outermost struct.
const OUTERMOST: usize = DEPTH - 1;

// The types as a file writes them; 4 to 6 are numbers, whose lengths are their own.
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

/// Reads what is of that kind, and refuses it if the crate would read it otherwise or not get to its end.
pub fn check(reader: impl Read, kind: Kind) -> Result<(), ParquetError> {
    Walk::new(reader).pass(kind, STRUCT, DEPTH).map(drop)
}

/// What a page's header says of the bytes that follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSizes {
    /// The header's own bytes.
    pub header: u64,
    /// The page's bytes once it is decompressed, the levels included.
    pub uncompressed: u64,
    /// The bytes of levels that are before what is compressed.
    pub levels: u64,
    /// Whether the rest isn't compressed, whatever the column's codec.
    pub plain: bool,
}

/// As [`check`], of a page's header.
pub fn check_page(reader: impl Read) -> Result<PageSizes, ParquetError> {
    let mut walk = Walk::new(reader);
    walk.pass(PAGE, STRUCT, DEPTH)?;
    Ok(PageSizes { header: walk.read, ..walk.page })
}

fn refusal(what: String) -> ParquetError {
    ParquetError::General(what)
}

impl Kind {
    /// Maps are of no kind: Parquet has none.
    fn is_written_as(self, written: u8) -> bool {
        match self {
            Any => matches!(written, TRUE..=SET | STRUCT | UUID),
            Flag => matches!(written, TRUE | FALSE),
            Byte => written == BYTE,
            Whole => matches!(written, 4..=6),
            Double => written == DOUBLE,
            Text => written == TEXT,
            List(_) => matches!(written, LIST | SET),
            Struct(_) => written == STRUCT,
        }
    }
}

struct Walk<R> {
    reader: R,
    /// How many bytes were read.
    read: u64,
    /// The field of the outermost struct that is read.
    outermost: i16,
    /// If it is a page's header, what it says.
    page: PageSizes,
}

impl<R: Read> Walk<R> {
    fn new(reader: R) -> Self {
        Walk { reader, read: 0, outermost: 0, page: PageSizes::default() }
    }

    /// Reads a value; gives the number that it is, or 0.
    fn pass(&mut self, kind: Kind, written: u8, depth: usize) -> Result<u64, ParquetError> {
        let depth = depth.checked_sub(1).ok_or_else(|| refusal("its fields are nested too deeply".into()))?;
        if !kind.is_written_as(written) {
            return Err(refusal(format!("a field has the type {written}, which it can't have")));
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
            LIST | SET => self.list(if let List(of) = kind { *of } else { Any }, depth)?,
            STRUCT => self.fields(if let Struct(fields) = kind { fields } else { &[] }, depth)?,
            // Zigzag; a size that is negative is refused by the crate.
            _ => return self.number().map(|number| if number & 1 == 0 { number >> 1 } else { 0 }),
        }
        Ok(0)
    }

    fn list(&mut self, kind: Kind, depth: usize) -> Result<(), ParquetError> {
        let (count, written) = match self.byte()? {
            // Some writers give an empty list no type.
            0 => return Ok(()),
            header if header >> 4 == 15 => (self.number()?, header & 15),
            header => (u64::from(header >> 4), header & 15),
        };
        if matches!(written, TRUE | FALSE) && count > 0 {
            return Err(refusal(format!("a list claims {count} values that take no bytes")));
        }
        (0..count).try_for_each(|_| self.pass(kind, written, depth).map(drop))
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
                // Zigzag, cut as the crate does it.
                ((number >> 1) as i64 ^ -((number & 1) as i64)) as i16
            } else {
                id.checked_add(i16::from(step)).ok_or_else(|| refusal("its fields have no numbers left".into()))?
            };
            if depth == OUTERMOST {
                self.outermost = id;
            }
            let known = usize::try_from(id).ok().and_then(|id| fields.get(id.checked_sub(1)?));
            let number = self.pass(known.copied().unwrap_or(Any), written, depth)?;
            match (self.outermost, OUTERMOST - depth, id) {
                (2, 0, 2) => self.page.uncompressed = number,
                // The header of a page of the second version: definition levels, repetition levels, whether the rest is compressed.
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

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64, ParquetError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(refusal("a number is longer than ten bytes".into()))
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

    fn said(bytes: &[u8], kind: Kind) -> String {
        check(bytes, kind).expect_err("it is refused").to_string()
    }

    #[test]
    fn booleans_of_a_list_that_take_no_bytes_are_refused() {
        // In a field 10, which nobody knows: alone, in a list of lists, in a struct; of either type.
        let most = [0xff, 0xff, 0xff, 0xff, 0x07];
        for before in [&[0xa9, 0xf1][..], &[0xa9, 0xf2], &[0xaa, 0xf1], &[0xa9, 0x19, 0xf1], &[0xac, 0x19, 0xf1]] {
            let bytes = [before, &most, &[0, 0]].concat();
            for kind in [FILE, PAGE] {
                let said = said(&bytes, kind);
                assert!(said.contains("claims 2147483647 values that take no bytes"), "{before:x?}: {said}");
            }
        }
        assert!(check(&[0xa9, 0x01, 0][..], FILE).is_ok(), "none take no bytes");
        assert!(check(&[0xa9, 0x38, 1, b'a', 0, 0, 0][..], FILE).is_ok(), "an unknown list of words");
    }

    #[test]
    fn a_field_of_another_type_than_the_crate_takes_it_for_is_refused() {
        // The version as a text of nine bytes: the crate reads it as the number 9, and goes on within the text.
        let hidden = [0x18, 9, 0xa9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0];
        assert!(said(&hidden, FILE).contains("has the type 8"), "{}", said(&hidden, FILE));
        // By its number in full, cut to sixteen bits as the crate cuts it: 65537 is 1.
        let cut = [0x08, 0x82, 0x80, 0x08, 0, 0];
        assert!(said(&cut, FILE).contains("has the type 8"), "{}", said(&cut, FILE));
        // A name of the schema that is a number; and a map, of which Parquet has none.
        assert!(said(&[0x29, 0x1c, 0x45, 2, 0, 0], FILE).contains("has the type 5"));
        assert!(said(&[0xab, 1, 0x11, 0], FILE).contains("has the type 11"));
    }

    #[test]
    fn the_sizes_of_a_page_are_those_of_its_header() {
        // Of the first version: type 0, 300 bytes that are 200 compressed; 9 values, in no encoding that matters.
        let first = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0x90, 3, 0x2c, 0x15, 18, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 7, 7];
        let sizes = PageSizes { header: first.len() as u64 - 2, uncompressed: 300, levels: 0, plain: false };
        assert_eq!(check_page(&first[..]).expect("a header"), sizes);
        // Of the second: 5 bytes of definition levels and 4 of repetition levels, not compressed.
        let second = [
            0x15, 6, 0x15, 0xd8, 4, 0x15, 0x90, 3, 0x5c, 0x15, 18, 0x15, 0, 0x15, 18, 0x15, 0, 0x15, 10, 0x15, 8, 0x12,
            0, 0,
        ];
        let sizes = PageSizes { header: second.len() as u64, uncompressed: 300, levels: 9, plain: true };
        assert_eq!(check_page(&second[..]).expect("a header"), sizes);
    }

    #[test]
    fn what_goes_on_beyond_its_end_or_too_deeply_is_refused() {
        assert!(said(&[0xa8, 0x7f, 0], FILE).contains("127 bytes are claimed where 1 are left"));
        assert!(said(&[[0x15].as_slice(), &[0xff; 11]].concat(), FILE).contains("longer than ten bytes"));
        assert!(said(&[[0xa9].as_slice(), &[0x19; 100]].concat(), FILE).contains("nested too deeply"));
        assert!(check(&[0x15, 2][..], FILE).is_err(), "no end");
    }
}
