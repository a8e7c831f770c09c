//! The pages of a Parquet file's columns, without those that claim more than there is.
//!
//! The parquet crate believes what a file says of itself. What it says is compared here with the bytes that are there, before the crate
//! allocates memory for it or goes through it.

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

/// A file whose end is an error to whoever reads beyond it. Without that, the crate passes over as many bytes as a damaged file claims.
pub struct Finite {
    file: File,
    /// The codec of the column that is read, and where the bytes of the page are whose header was read last, with what it says.
    codec: Compression,
    page: Mutex<Option<(u64, PageSizes)>>,
}

impl Finite {
    /// Takes a file, if what is at its end can be read.
    ///
    /// # Errors
    /// The file can't be read, or its footer isn't what the crate takes it for.
    pub fn described(file: File) -> Result<Self> {
        let file = Finite::of_column(file, Compression::UNCOMPRESSED);
        // Of what is no such file, or claims to be longer than it is, the crate says so.
        let Some(end) = file.len().checked_sub(FOOTER_SIZE as u64) else { return Ok(file) };
        let [a, b, c, d, b'P', b'A', b'R', b'1'] = *file.get_bytes(end, FOOTER_SIZE)? else { return Ok(file) };
        let length = u32::from_le_bytes([a, b, c, d]);
        if let Some(start) = end.checked_sub(length.into()) {
            thrift::check(&file.get_bytes(start, length as usize)?[..], thrift::FILE)?;
        }
        Ok(file)
    }

    /// To read a column.
    fn of_column(file: File, codec: Compression) -> Self {
        Finite { file, codec, page: Mutex::default() }
    }

    fn reader(&self, start: u64) -> Result<BufReader<Ending>> {
        self.file.get_read(start).map(|reader| BufReader::new(Ending(reader.into_inner())))
    }

    fn page(&self) -> MutexGuard<'_, Option<(u64, PageSizes)>> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Length for Finite {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Finite {
    type T = BufReader<Ending>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // The crate takes bytes one after the other for a page's header, and for the file's last bytes, which claim nothing.
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

/// Reads up to the end, which is an error.
pub struct Ending(File);

impl Read for Ending {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Refuses a page that expands beyond what its header says. The other codecs are told the size; with these, the crate decompresses all
/// there is before it compares.
fn check_expansion(codec: Compression, page: &[u8], sizes: PageSizes) -> Result<()> {
    /// What deflate makes of a byte, at most, and how many bytes that may be before it is looked at.
    const DEFLATE: usize = 1032;
    const HARMLESS: usize = 1 << 30;
    let Some(compressed) = usize::try_from(sizes.levels).ok().and_then(|levels| page.get(levels..)) else {
        return Ok(());
    };
    let expanded: Box<dyn Read + '_> = match codec {
        _ if sizes.plain => return Ok(()),
        Compression::GZIP(_) if compressed.len() > HARMLESS / DEFLATE => Box::new(MultiGzDecoder::new(compressed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(compressed, 4096)),
        _ => return Ok(()),
    };
    let claimed = sizes.uncompressed.saturating_sub(sizes.levels);
    // What can't be decompressed, the crate says.
    match io::copy(&mut expanded.take(claimed.saturating_add(1)), &mut io::sink()) {
        Ok(count) if count > claimed => {
            Err(ParquetError::General(format!("a page expands beyond the {claimed} bytes that it claims")))
        }
        _ => Ok(()),
    }
}

/// One group of rows, for the Arrow reader.
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
        let file = Arc::new(Finite::of_column(self.file.try_clone()?, chunk.compression()));
        let pages = Box::new(SerializedPageReader::new(file, chunk, self.num_rows(), None)?);
        let most_levels = self.metadata().file_metadata().schema_descr().column(column).max_def_level();
        Ok(Box::new(OneChunk(Some(Pages { pages, most_levels }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata().row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
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
    fn a_page_that_expands_beyond_what_it_claims_is_refused() {
        let zeros = vec![0; 1 << 16];
        let mut brotli = Vec::new();
        brotli::BrotliCompress(&mut &zeros[..], &mut brotli, &Default::default()).expect("memory can be written");
        // Of levels, four bytes.
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
