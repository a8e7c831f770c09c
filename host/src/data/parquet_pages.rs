//! The pages of a Parquet file's columns, without those that claim more than there is.
//!
//! The parquet crate believes what a file says of itself. What it says is compared here with the bytes that are there, before the crate
//! allocates memory for it or goes through it.

use std::fs::File;
use std::io::{self, BufReader, Read};

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};

use super::thrift;

/// A file whose end is an error to whoever reads beyond it. Without that, the crate passes over as many bytes as a damaged file claims.
pub struct Finite(File);

impl Finite {
    /// Takes a file, if what is at its end can be read.
    ///
    /// # Errors
    /// The file can't be read, or its footer isn't what the crate takes it for.
    pub fn described(file: File) -> Result<Self> {
        let file = Finite(file);
        // Of what is no such file, or claims to be longer than it is, the crate says so.
        let Some(end) = file.len().checked_sub(FOOTER_SIZE as u64) else { return Ok(file) };
        let [a, b, c, d, b'P', b'A', b'R', b'1'] = *file.get_bytes(end, FOOTER_SIZE)? else { return Ok(file) };
        let length = u32::from_le_bytes([a, b, c, d]);
        if let Some(start) = end.checked_sub(length.into()) {
            thrift::check(&file.get_bytes(start, length as usize)?[..], thrift::FILE)?;
        }
        Ok(file)
    }

    fn reader(&self, start: u64) -> Result<BufReader<Self>> {
        self.0.get_read(start).map(|reader| BufReader::new(Finite(reader.into_inner())))
    }
}

impl Length for Finite {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Finite {
    type T = BufReader<Finite>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // The crate takes bytes one after the other for a page's header, and for the file's last bytes, which claim nothing.
        if start.saturating_add(FOOTER_SIZE as u64) != self.len() {
            thrift::check(self.reader(start)?, thrift::PAGE)?;
        }
        self.reader(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!("{length} bytes are claimed at {start}")));
        }
        self.0.get_bytes(start, length)
    }
}

impl Read for Finite {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// One group of rows, for the Arrow reader.
pub struct Group<'a> {
    pub file: &'a SerializedFileReader<Finite>,
    pub index: usize,
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata().row_group(self.index).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let pages = self.file.get_row_group(self.index)?.get_column_page_reader(column)?;
        let most_levels = self.metadata().file_metadata().schema_descr().column(column).max_def_level();
        Ok(Box::new(OneChunk(Some(Pages { pages, most_levels }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata().row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.file.metadata()
    }
}

/// The pages of one column in one group of rows.
struct OneChunk(Option<Pages>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

/// Pages, of which none claims more values than it has bytes for: the crate would allocate memory for all of them.
struct Pages {
    pages: Box<dyn PageReader>,
    /// The column's highest definition level; 0: it has no missing values.
    most_levels: i16,
}

impl Pages {
    fn check(&self, page: &Page) -> Result<()> {
        let (lengths, lists) = match page {
            Page::DictionaryPage { buf, num_values, .. } if *num_values as usize > buf.len() => {
                let claim = format!("a dictionary claims {num_values} values in {} bytes", buf.len());
                return Err(ParquetError::General(claim));
            }
            Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => match encoding {
                Encoding::DELTA_LENGTH_BYTE_ARRAY => (self.values(page), 1),
                // The lengths of what is taken over from the value before, and of what follows.
                Encoding::DELTA_BYTE_ARRAY => (self.values(page), 2),
                _ => return Ok(()),
            },
            Page::DictionaryPage { .. } => return Ok(()),
        };
        let mut rest = lengths.ok_or_else(|| ParquetError::EOF("a page is cut short".into()))?;
        for _ in 0..lists {
            let (count, after) = delta_packed(rest).ok_or_else(|| ParquetError::EOF("a page is cut short".into()))?;
            if count > page.num_values().into() {
                let claim = format!("a page of {} values claims {count} lengths", page.num_values());
                return Err(ParquetError::General(claim));
            }
            rest = after;
        }
        Ok(())
    }

    /// The bytes of a data page from its first value on. Columns of lists are never read: there are no repetition levels.
    fn values<'p>(&self, page: &'p Page) -> Option<&'p [u8]> {
        match page {
            Page::DataPage { buf, .. } if self.most_levels == 0 => Some(buf),
            #[expect(deprecated, reason = "old files have it")]
            Page::DataPage { buf, def_level_encoding: Encoding::BIT_PACKED, num_values, .. } => {
                let bits = 16 - self.most_levels.leading_zeros() as usize;
                buf.get((*num_values as usize).checked_mul(bits)?.div_ceil(8)..)
            }
            Page::DataPage { buf, .. } => {
                let (length, levels) = buf.split_first_chunk::<4>()?;
                levels.get(u32::from_le_bytes(*length) as usize..)
            }
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                buf.get((*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?..)
            }
            Page::DictionaryPage { .. } => None,
        }
    }
}

/// How many integers a list in the encoding DELTA_BINARY_PACKED claims, and what follows it; none if it is cut short.
fn delta_packed(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let block = variable_length(&mut rest)?;
    let parts = variable_length(&mut rest)?;
    let count = variable_length(&mut rest)?;
    variable_length(&mut rest)?;
    let per_part = usize::try_from(block.checked_div(parts)?).ok()?;
    let parts = usize::try_from(parts).ok()?;
    // The first value has been before the blocks.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        variable_length(&mut rest)?;
        let (widths, values) = rest.split_at_checked(parts)?;
        rest = values;
        for &width in widths {
            if left == 0 {
                break;
            }
            rest = rest.get(per_part.checked_mul(width.into())? / 8..)?;
            left = left.saturating_sub(per_part.max(1) as u64);
        }
    }
    Some((count, rest))
}

/// Takes an integer of seven bits a byte, the lowest first.
fn variable_length(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.iter().try_for_each(|page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives one page.
    struct Lying(Option<Page>);

    impl Iterator for Lying {
        type Item = Result<Page>;
        fn next(&mut self) -> Option<Self::Item> {
            self.get_next_page().transpose()
        }
    }

    impl PageReader for Lying {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            Ok(self.0.take())
        }
        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            Ok(None)
        }
        fn skip_next_page(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn refused(page: Page, most_levels: i16) -> String {
        let mut pages = Pages { pages: Box::new(Lying(Some(page))), most_levels };
        let Err(error) = pages.get_next_page() else { panic!("so many aren't there") };
        error.to_string()
    }

    #[test]
    fn a_dictionary_that_claims_more_values_than_bytes_is_refused() {
        let (buf, encoding) = (Bytes::from_static(&[0; 24]), Encoding::PLAIN);
        let error = refused(Page::DictionaryPage { buf, num_values: 939_524_092, encoding, is_sorted: false }, 0);
        assert!(error.contains("939524092 values in 24 bytes"), "{error}");
    }

    #[test]
    fn a_page_that_claims_more_lengths_than_values_is_refused() {
        let page = |buf: &[u8], encoding| Page::DataPage {
            buf: Bytes::copy_from_slice(buf),
            num_values: 3,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        // Blocks of 128 in 4 parts; 2^34 values, the first 0.
        let many = [0x80, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x40, 0];
        // 3 values, the first 0; a block of its least difference and four widths.
        let three = [0x80, 1, 4, 3, 0, 0, 0, 0, 0, 0];
        let levels = [2, 0, 0, 0, 6, 1];
        let block = [0; 64];
        for (bytes, encoding, most_levels) in [
            ([&many[..], &block].concat(), Encoding::DELTA_LENGTH_BYTE_ARRAY, 0),
            ([&levels[..], &many, &block].concat(), Encoding::DELTA_LENGTH_BYTE_ARRAY, 1),
            ([&many[..], &block].concat(), Encoding::DELTA_BYTE_ARRAY, 0),
            ([&three[..], &many, &block].concat(), Encoding::DELTA_BYTE_ARRAY, 0),
        ] {
            let error = refused(page(&bytes, encoding), most_levels);
            assert!(error.contains("cut short") || error.contains("3 values claims 17179869184"), "{error}");
        }
        let mut pages =
            Pages { pages: Box::new(Lying(Some(page(&three, Encoding::DELTA_LENGTH_BYTE_ARRAY)))), most_levels: 0 };
        assert!(pages.get_next_page().is_ok());
        assert_eq!(delta_packed(&[&three[..], &[7, 7]].concat()), Some((3, &[7, 7][..])));
    }
}
