//! Validates the pages of a Parquet file before the parquet crate reads them.
//!
//! The parquet crate trusts the sizes in a file. This module compares them with the bytes in the file before the crate
//! allocates memory for them or iterates over them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::thrift::{self, PageSizes};

/// A file for which reading past the end is an error. Otherwise the crate skips as many bytes as a damaged file claims.
pub struct CheckedFile {
    file: File,
    /// The codec of the column that is read.
    codec: Compression,
    /// The offset of the page after the last header read, and the sizes in that header.
    page: Mutex<Option<(u64, PageSizes)>>,
}

impl CheckedFile {
    /// Wraps a file after checking its footer.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, or if the crate would misread the footer.
    pub fn with_checked_footer(file: File) -> Result<Self> {
        let file = CheckedFile::of_column(file, Compression::UNCOMPRESSED);
        // The crate reports files that aren't Parquet, or whose footer claims to be longer than the file.
        let Some(end) = file.len().checked_sub(FOOTER_SIZE as u64) else { return Ok(file) };
        let [a, b, c, d, b'P', b'A', b'R', b'1'] = *file.get_bytes(end, FOOTER_SIZE)? else { return Ok(file) };
        let length = u32::from_le_bytes([a, b, c, d]);
        if let Some(start) = end.checked_sub(length.into()) {
            thrift::check(&file.get_bytes(start, length as usize)?[..], thrift::FILE)?;
        }
        Ok(file)
    }

    /// Wraps a file to read a column with this codec.
    fn of_column(file: File, codec: Compression) -> Self {
        CheckedFile { file, codec, page: Mutex::default() }
    }

    fn reader(&self, start: u64) -> Result<BufReader<EofIsError>> {
        self.file.get_read(start).map(|reader| BufReader::new(EofIsError(reader.into_inner())))
    }

    fn page(&self) -> MutexGuard<'_, Option<(u64, PageSizes)>> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for CheckedFile {
    type T = BufReader<EofIsError>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // The crate calls `get_read` only for page headers, and for the last bytes of the file, which need no check.
        if start.saturating_add(FOOTER_SIZE as u64) != self.len() {
            let sizes = thrift::check_page(self.reader(start)?)?;
            *self.page() = Some((start.saturating_add(sizes.header), sizes));
        }
        self.reader(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!("{length} bytes are claimed at {start}")));
        }
        let bytes = self.file.get_bytes(start, length)?;
        if let Some((at, sizes)) = self.page().take()
            && at == start
        {
            check_expansion(self.codec, &bytes, sizes)?;
        }
        Ok(bytes)
    }
}

/// A reader that returns an error at the end of the file.
pub struct EofIsError(File);

impl Read for EofIsError {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Rejects a page that expands beyond the size in its header. The crate passes that size to the other codecs; for GZIP
/// and Brotli it compares only after decompressing everything.
fn check_expansion(codec: Compression, page: &[u8], sizes: PageSizes) -> Result<()> {
    /// The maximum expansion factor of deflate.
    const DEFLATE: usize = 1032;
    /// Up to this many expanded bytes, no check is needed.
    const UNCHECKED: usize = 1 << 30;
    let Some(compressed) = usize::try_from(sizes.levels).ok().and_then(|levels| page.get(levels..)) else {
        return Ok(());
    };
    let expanded: Box<dyn Read + '_> = match codec {
        _ if sizes.plain => return Ok(()),
        Compression::GZIP(_) if compressed.len() > UNCHECKED / DEFLATE => Box::new(MultiGzDecoder::new(compressed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(compressed, 4096)),
        _ => return Ok(()),
    };
    let claimed = sizes.uncompressed.saturating_sub(sizes.levels);
    // The crate reports data that can't be decompressed.
    match io::copy(&mut expanded.take(claimed.saturating_add(1)), &mut io::sink()) {
        Ok(count) if count > claimed => {
            Err(ParquetError::General(format!("a page expands beyond the {claimed} bytes that it claims")))
        }
        _ => Ok(()),
    }
}

/// One row group, for the Arrow reader.
pub struct Group<'a> {
    pub file: &'a File,
    pub metadata: &'a ParquetMetaData,
    pub index: usize,
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata().row_group(self.index).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.index).column(column);
        let file = Arc::new(CheckedFile::of_column(self.file.try_clone()?, chunk.compression()));
        let pages = Box::new(SerializedPageReader::new(file, chunk, self.num_rows(), None)?);
        let max_def_level = self.metadata().file_metadata().schema_descr().column(column).max_def_level();
        Ok(Box::new(OneChunk(Some(Pages { pages, max_def_level }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata().row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// The pages of one column in one row group.
struct OneChunk(Option<Pages>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

/// Pages that are checked not to claim more values than their bytes can contain, because the crate would allocate
/// memory for all of them.
struct Pages {
    pages: Box<dyn PageReader>,
    /// The maximum definition level of the column; 0 if it has no missing values.
    max_def_level: i16,
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
                // Two lists: the lengths of the prefixes shared with the previous value, and of the suffixes.
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

    /// Returns the values of a data page, after its levels. There are no repetition levels, because columns of lists
    /// are never read.
    fn values<'p>(&self, page: &'p Page) -> Option<&'p [u8]> {
        match page {
            Page::DataPage { buf, .. } if self.max_def_level == 0 => Some(buf),
            #[expect(deprecated, reason = "old files have it")]
            Page::DataPage { buf, def_level_encoding: Encoding::BIT_PACKED, num_values, .. } => {
                let bits = 16 - self.max_def_level.leading_zeros() as usize;
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

/// Returns the number of integers in a DELTA_BINARY_PACKED list and the bytes after the list, or `None` if it is
/// truncated.
fn delta_packed(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let block = uleb128(&mut rest)?;
    let miniblocks = uleb128(&mut rest)?;
    let count = uleb128(&mut rest)?;
    uleb128(&mut rest)?;
    let per_miniblock = usize::try_from(block.checked_div(miniblocks)?).ok()?;
    let miniblocks = usize::try_from(miniblocks).ok()?;
    // The first value is in the list header.
    let mut remaining = count.saturating_sub(1);
    while remaining > 0 {
        uleb128(&mut rest)?;
        let (widths, values) = rest.split_at_checked(miniblocks)?;
        rest = values;
        for &width in widths {
            if remaining == 0 {
                break;
            }
            rest = rest.get(per_miniblock.checked_mul(width.into())? / 8..)?;
            remaining = remaining.saturating_sub(per_miniblock.max(1) as u64);
        }
    }
    Some((count, rest))
}

/// Reads a ULEB128 integer: seven bits per byte, least significant first.
fn uleb128(rest: &mut &[u8]) -> Option<u64> {
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

    /// A reader that returns one page.
    struct OnePage(Option<Page>);

    impl Iterator for OnePage {
        type Item = Result<Page>;
        fn next(&mut self) -> Option<Self::Item> {
            self.get_next_page().transpose()
        }
    }

    impl PageReader for OnePage {
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

    fn page_error(page: Page, max_def_level: i16) -> String {
        let mut pages = Pages { pages: Box::new(OnePage(Some(page))), max_def_level };
        let Err(error) = pages.get_next_page() else { panic!("the page claims too much") };
        error.to_string()
    }

    #[test]
    fn a_dictionary_with_more_values_than_bytes_is_rejected() {
        let (buf, encoding) = (Bytes::from_static(&[0; 24]), Encoding::PLAIN);
        let error = page_error(Page::DictionaryPage { buf, num_values: 939_524_092, encoding, is_sorted: false }, 0);
        assert!(error.contains("939524092 values in 24 bytes"), "{error}");
    }

    #[test]
    fn a_page_that_expands_beyond_its_claimed_size_is_rejected() {
        let zeros = vec![0; 1 << 16];
        let mut brotli = Vec::new();
        brotli::BrotliCompress(&mut &zeros[..], &mut brotli, &Default::default()).expect("memory can be written");
        // Four bytes of levels.
        let page = [&[1, 2, 3, 4], &brotli[..]].concat();
        let codec = Compression::BROTLI(parquet::basic::BrotliLevel::default());
        let sizes = PageSizes { header: 0, uncompressed: 4 + zeros.len() as u64, levels: 4, plain: false };
        assert!(check_expansion(codec, &page, sizes).is_ok());
        let error = check_expansion(codec, &page, PageSizes { uncompressed: 1000, ..sizes }).expect_err("a bomb");
        assert!(error.to_string().contains("expands beyond the 996 bytes that it claims"), "{error}");
        assert!(check_expansion(codec, &page, PageSizes { uncompressed: 1000, plain: true, ..sizes }).is_ok());

        let mut noise = vec![0; 1_200_000];
        noise.iter_mut().fold(1_u32, |state, byte| {
            *byte = (state >> 24) as u8;
            state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
        });
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &noise).expect("memory can be written");
        let gzip = gzip.finish().expect("memory can be written");
        let codec = Compression::GZIP(parquet::basic::GzipLevel::default());
        let sizes = PageSizes { uncompressed: noise.len() as u64, ..PageSizes::default() };
        assert!(check_expansion(codec, &gzip, sizes).is_ok());
        assert!(check_expansion(codec, &gzip, PageSizes { uncompressed: 1000, ..sizes }).is_err());
    }

    #[test]
    fn a_page_with_more_lengths_than_values_is_rejected() {
        let page = |buf: &[u8], encoding| Page::DataPage {
            buf: Bytes::copy_from_slice(buf),
            num_values: 3,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        // Blocks of 128 in 4 miniblocks; 2^34 values, the first 0.
        let many = [0x80, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x40, 0];
        // 3 values, the first 0; a block with its minimum delta and four bit widths.
        let three = [0x80, 1, 4, 3, 0, 0, 0, 0, 0, 0];
        let levels = [2, 0, 0, 0, 6, 1];
        let block = [0; 64];
        for (bytes, encoding, max_def_level) in [
            ([&many[..], &block].concat(), Encoding::DELTA_LENGTH_BYTE_ARRAY, 0),
            ([&levels[..], &many, &block].concat(), Encoding::DELTA_LENGTH_BYTE_ARRAY, 1),
            ([&many[..], &block].concat(), Encoding::DELTA_BYTE_ARRAY, 0),
            ([&three[..], &many, &block].concat(), Encoding::DELTA_BYTE_ARRAY, 0),
        ] {
            let error = page_error(page(&bytes, encoding), max_def_level);
            assert!(error.contains("cut short") || error.contains("3 values claims 17179869184"), "{error}");
        }
        let mut pages =
            Pages { pages: Box::new(OnePage(Some(page(&three, Encoding::DELTA_LENGTH_BYTE_ARRAY)))), max_def_level: 0 };
        assert!(pages.get_next_page().is_ok());
        assert_eq!(delta_packed(&[&three[..], &[7, 7]].concat()), Some((3, &[7, 7][..])));
    }
}
