//! Parquet files of flat columns.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};

use super::guarded::guarded;
use super::table::{Cell, Table};
use super::thrift;
use crate::{Error, Result};

/// How many rows are decoded at once.
const BLOCK: usize = 1024;

/// An open file and its current row.
pub struct ParquetFile {
    path: PathBuf,
    reader: SerializedFileReader<Finite>,
    header: Vec<String>,
    selected: Vec<usize>,
    columns: Vec<Column>,
    /// The next group of rows.
    group: usize,
    /// How many rows of the current one aren't read yet, by what the file says of it.
    left: usize,
    /// The rows of the block, and the current one.
    block: usize,
    row: usize,
    /// Rows read before the current one.
    before: usize,
}

/// A column's reader in the current group of rows, and the cells of the block.
#[derive(Default)]
struct Column {
    reader: Option<ColumnReader>,
    cells: Cells,
}

enum Cells {
    Numbers(Vec<Option<f64>>),
    Words(Vec<Option<String>>),
}

impl Default for Cells {
    fn default() -> Self {
        Cells::Numbers(Vec::new())
    }
}

impl ParquetFile {
    /// Opens a file; all columns are selected.
    ///
    /// # Errors
    /// It can't be read, or is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {shown}: {error}")))?;
        let reader =
            whole(|| SerializedFileReader::new(Finite(file).described()?)).map_err(|error| unreadable(path, &error))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let header: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let columns = header.iter().map(|_| Column::default()).collect();
        let selected = (0..header.len()).collect();
        Ok(ParquetFile {
            path: path.to_owned(),
            reader,
            header,
            selected,
            columns,
            group: 0,
            left: 0,
            block: 0,
            row: 0,
            before: 0,
        })
    }

    /// Decodes the next block; false at the end of the group.
    fn read_block(&mut self) -> Result<bool> {
        self.before += self.block;
        (self.block, self.row) = (0, 0);
        let mut rows = None;
        for &index in &self.selected {
            let Some(reader) = &mut self.columns[index].reader else { return Ok(false) };
            let cells = whole(|| read(reader)).map_err(|error| unreadable(&self.path, &error))?.ok_or_else(|| {
                let name = &self.header[index];
                Error::failure(format!("{}, column \"{name}\": its type isn't known here", self.path.display()))
                    .with("has", "numbers, booleans and text, one a row")
                    .hint("leave it out by naming the columns to use with `inputs`")
            })?;
            let count = match &cells {
                Cells::Numbers(cells) => cells.len(),
                Cells::Words(cells) => cells.len(),
            };
            if *rows.get_or_insert(count) != count {
                return Err(Error::failure(format!("{} has columns of different lengths", self.path.display())));
            }
            self.columns[index].cells = cells;
        }
        self.block = rows.unwrap_or(0);
        // A page of a damaged file can go on for ever, by saying that one value is repeated.
        let Some(left) = self.left.checked_sub(self.block) else {
            return Err(Error::failure(format!("{} has more rows than it says", self.path.display())));
        };
        self.left = left;
        Ok(self.block > 0)
    }
}

impl Table for ParquetFile {
    fn path(&self) -> &Path {
        &self.path
    }
    fn header(&self) -> &[String] {
        &self.header
    }
    fn select(&mut self, columns: &[usize]) {
        self.selected = columns.to_vec();
        self.selected.sort_unstable();
        self.selected.dedup();
    }
    fn read_row(&mut self) -> Result<bool> {
        if self.row + 1 < self.block {
            self.row += 1;
            return Ok(true);
        }
        while !self.read_block()? {
            if self.group == self.reader.num_row_groups() {
                return Ok(false);
            }
            let failed = |error: ParquetError| unreadable(&self.path, &error);
            let group = self.reader.get_row_group(self.group).map_err(failed)?;
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            for &index in &self.selected {
                let column = self.reader.metadata().file_metadata().schema_descr().column(index);
                // Before it is read: a single row of a damaged one claims any number of values.
                if column.max_rep_level() > 0 {
                    let lists = format!("the column \"{}\" holds lists", self.header[index]);
                    return Err(failed(ParquetError::General(lists)));
                }
                let pages = whole(|| group.get_column_page_reader(index)).map_err(failed)?;
                self.columns[index].reader = Some(get_column_reader(column, Box::new(Pages(pages))));
            }
            self.group += 1;
        }
        Ok(true)
    }
    fn cell(&self, column: usize) -> Cell<'_> {
        match &self.columns[column].cells {
            Cells::Numbers(cells) => match cells[self.row] {
                Some(number) if !number.is_nan() => Cell::Number(number),
                _ => Cell::Missing,
            },
            Cells::Words(cells) => cells[self.row].as_deref().map_or(Cell::Missing, Cell::Word),
        }
    }
    fn text(&self, column: usize) -> Cow<'_, str> {
        match self.cell(column) {
            Cell::Number(number) => number.to_string().into(),
            Cell::Word(word) => word.into(),
            Cell::Missing => "".into(),
        }
    }
    fn place(&self) -> String {
        format!("{}, row {} (from 1)", self.path.display(), self.before + self.row + 1)
    }
}

/// Up to a block of cells; none if they aren't of a known type.
fn read(reader: &mut ColumnReader) -> Result<Option<Cells>, ParquetError> {
    let numbers = |cells: Vec<Option<f64>>| Ok(Some(Cells::Numbers(cells)));
    match reader {
        ColumnReader::BoolColumnReader(reader) => numbers(typed(reader, |value| f64::from(u8::from(*value)))?),
        ColumnReader::Int32ColumnReader(reader) => numbers(typed(reader, |value| f64::from(*value))?),
        ColumnReader::Int64ColumnReader(reader) => numbers(typed(reader, |value| *value as f64)?),
        ColumnReader::FloatColumnReader(reader) => numbers(typed(reader, |value| f64::from(*value))?),
        ColumnReader::DoubleColumnReader(reader) => numbers(typed(reader, |value| *value)?),
        ColumnReader::ByteArrayColumnReader(reader) => {
            let word = |value: &ByteArray| String::from_utf8_lossy(value.data()).into_owned();
            Ok(Some(Cells::Words(typed(reader, word)?)))
        }
        ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => Ok(None),
    }
}

fn typed<T: DataType, U>(
    reader: &mut ColumnReaderImpl<T>,
    cell: impl Fn(&T::T) -> U,
) -> Result<Vec<Option<U>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        let (read, ..) = reader.read_records(BLOCK - rows, Some(&mut levels), None, &mut values)?;
        rows += read;
        if read == 0 || rows == BLOCK {
            break;
        }
    }
    let mut values = values.iter().map(cell);
    if levels.is_empty() {
        return Ok(values.map(Some).collect());
    }
    let present = levels.iter().copied().max().unwrap_or(0).max(1);
    Ok(levels.iter().map(|&level| if level == present { values.next() } else { None }).collect())
}

/// A file whose end is an error to whoever reads beyond it: the crate would go on to pass over as many bytes as a damaged file claims.
struct Finite(File);

impl Finite {
    /// The same file, if what is at its end can be read.
    fn described(self) -> Result<Self, ParquetError> {
        // Of what is no such file, or claims to be longer than it is, the crate says so.
        let Some(end) = self.len().checked_sub(FOOTER_SIZE as u64) else { return Ok(self) };
        let [a, b, c, d, b'P', b'A', b'R', b'1'] = *self.get_bytes(end, FOOTER_SIZE)? else { return Ok(self) };
        let length = u32::from_le_bytes([a, b, c, d]);
        if let Some(start) = end.checked_sub(length.into()) {
            thrift::check(&self.get_bytes(start, length as usize)?[..], thrift::FILE)?;
        }
        Ok(self)
    }

    fn reader(&self, start: u64) -> Result<BufReader<Self>, ParquetError> {
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

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // The crate takes bytes one after the other for what is before a page, and for the file's last, which claim nothing.
        if start.saturating_add(FOOTER_SIZE as u64) != self.len() {
            thrift::check(self.reader(start)?, thrift::PAGE)?;
        }
        self.reader(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
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

/// Pages without a dictionary that claims more values than it has bytes: the crate would make room for all of them.
struct Pages(Box<dyn PageReader>);

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.0.get_next_page()?;
        if let Some(Page::DictionaryPage { buf, num_values, .. }) = &page
            && *num_values as usize > buf.len()
        {
            let claim = format!("a dictionary claims {num_values} values in {} bytes", buf.len());
            return Err(ParquetError::General(claim));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.0.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The crate panics where a length in a damaged file is negative, and elsewhere.
fn whole<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    guarded(read).unwrap_or_else(|said| Err(ParquetError::General(said)))
}

fn unreadable(path: &Path, error: &ParquetError) -> Error {
    Error::failure(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{ByteArrayType, DoubleType, Int32Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::data::DataConfig;

    /// Three groups of 1,500 rows: a, b, and a word; the value of b in `missing` isn't there.
    fn write(path: &std::path::Path, missing: Option<usize>) {
        let schema = "message rows { required int32 a; optional double b; required binary kind (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
        let file = std::fs::File::create(path).expect("a file");
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
        for group in 0..3 {
            let rows = group * 1500..(group + 1) * 1500;
            let mut columns = writer.next_row_group().expect("a group");
            let a: Vec<i32> = rows.clone().map(|row| row as i32).collect();
            let present = rows.clone().filter(|row| Some(*row) != missing);
            let b: Vec<f64> = present.map(|row| row as f64 / 2.0).collect();
            let levels: Vec<i16> = rows.clone().map(|row| i16::from(Some(row) != missing)).collect();
            let kinds: Vec<_> = rows.map(|row| if row % 2 == 0 { "even" } else { "odd" }.into()).collect();
            let mut column = columns.next_column().expect("a").expect("a");
            column.typed::<Int32Type>().write_batch(&a, None, None).expect("written");
            column.close().expect("closed");
            let mut column = columns.next_column().expect("b").expect("b");
            column.typed::<DoubleType>().write_batch(&b, Some(&levels), None).expect("written");
            column.close().expect("closed");
            let mut column = columns.next_column().expect("kind").expect("kind");
            column.typed::<ByteArrayType>().write_batch(&kinds, None, None).expect("written");
            column.close().expect("closed");
            columns.close().expect("closed");
        }
        writer.close().expect("closed");
    }

    fn config() -> DataConfig {
        DataConfig { file: Some("rows.parquet".into()), target: Some("kind".into()), ..DataConfig::default() }
    }

    #[test]
    fn rows_of_all_groups_are_read_with_words_as_classes() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("rows.parquet"), None);
        let data = config().load(folder.path()).expect("it is read").train;
        assert_eq!((data.len(), data.inputs().row_shape()), (4500, &[2][..]));
        let values = data.inputs().in_memory().expect("small").values();
        assert!(values.chunks(2).enumerate().all(|(row, pair)| pair == [row as f32, row as f32 / 2.0]));
        let ids = data.targets()[0].values.class_ids().expect("classes");
        assert!(ids.iter().enumerate().all(|(row, id)| *id == row % 2));
        assert_eq!(data.targets()[0].class_names.as_deref(), Some(&["even".to_owned(), "odd".to_owned()][..]));
    }

    #[test]
    fn a_missing_value_and_a_file_that_is_none_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        write(&path, Some(2600));
        let error = config().load(folder.path()).expect_err("one is missing").to_string();
        assert!(error.contains("rows.parquet, row 2601 (from 1), column \"b\""), "{error}");
        let bytes = std::fs::read(&path).expect("it is there");
        for length in [0, 3, 100, bytes.len() - 5] {
            std::fs::write(&path, &bytes[..length]).expect("it can be written");
            let error = config().load(folder.path()).expect_err("cut short").to_string();
            assert!(error.contains("cannot read"), "{error}");
        }
    }

    #[test]
    fn a_column_of_lists_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        let schema = Arc::new(parse_message_type("message rows { repeated int32 several; }").expect("a schema"));
        let file = std::fs::File::create(&path).expect("a file");
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).expect("a writer");
        let mut columns = writer.next_row_group().expect("a group");
        let mut column = columns.next_column().expect("several").expect("several");
        column.typed::<Int32Type>().write_batch(&[1, 2], Some(&[1, 1]), Some(&[0, 1])).expect("written");
        column.close().expect("closed");
        columns.close().expect("closed");
        writer.close().expect("closed");
        let error = ParquetFile::open(&path).and_then(|mut file| file.read_row()).expect_err("it is no number");
        assert!(error.to_string().contains("the column \"several\" holds lists"), "{error}");
    }

    #[test]
    fn a_page_that_claims_more_than_there_is_ends_at_the_files_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        write(&path, None);
        let mut bytes = std::fs::read(&path).expect("it is there");
        // The header of the first page: a field that nobody knows, a list of 2^31 - 1 bytes.
        bytes[4..11].copy_from_slice(&[0x79, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x07]);
        std::fs::write(&path, &bytes).expect("it can be written");
        let begin = std::time::Instant::now();
        let error = ParquetFile::open(&path).and_then(|mut file| file.read_row()).expect_err("it isn't there");
        assert!(error.to_string().contains("cannot read"), "{error}");
        assert!(begin.elapsed().as_secs() < 60, "it took {:?}", begin.elapsed());
    }

    #[test]
    fn booleans_that_take_no_bytes_are_refused_before_the_crate_passes_over_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("it can be written");
            let error = ParquetFile::open(&path).and_then(|mut file| file.read_row()).expect_err("they aren't there");
            assert!(error.to_string().contains("claims 1000 values that take no bytes"), "{error}");
        };
        // A field 10, a list: of what the file says at its end, and before the first page.
        let many = [0xa9, 0xf1, 0xe8, 0x07, 0];
        refused(&[b"PAR1".as_slice(), &many, &5_u32.to_le_bytes(), b"PAR1"].concat());
        write(&path, None);
        let mut bytes = std::fs::read(&path).expect("it is there");
        bytes[4..9].copy_from_slice(&many);
        refused(&bytes);
    }

    #[test]
    fn a_file_with_more_rows_than_it_says_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        write(&path, None);
        let mut file = ParquetFile::open(&path).expect("it is whole");
        assert!(file.read_row().expect("a first row"));
        file.left = 100;
        let error = (0..1500).find_map(|_| file.read_row().err()).expect("it goes on").to_string();
        assert!(error.contains("has more rows than it says"), "{error}");
    }

    #[test]
    fn a_dictionary_that_claims_more_values_than_bytes_is_refused() {
        struct Lying;
        impl Iterator for Lying {
            type Item = Result<Page, ParquetError>;
            fn next(&mut self) -> Option<Self::Item> {
                self.get_next_page().transpose()
            }
        }
        impl PageReader for Lying {
            fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
                let (buf, encoding) = (Bytes::from_static(&[0; 24]), parquet::basic::Encoding::PLAIN);
                Ok(Some(Page::DictionaryPage { buf, num_values: 939_524_092, encoding, is_sorted: false }))
            }
            fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
                Ok(None)
            }
            fn skip_next_page(&mut self) -> Result<(), ParquetError> {
                Ok(())
            }
        }
        let Err(error) = Pages(Box::new(Lying)).get_next_page() else { panic!("so many aren't there") };
        assert!(error.to_string().contains("939524092 values in 24 bytes"), "{error}");
    }

    #[test]
    fn a_file_with_any_wrong_byte_in_its_footer_is_read_or_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        write(&path, None);
        let bytes = std::fs::read(&path).expect("it is there");
        let (_, length) = bytes[..bytes.len() - 4].split_last_chunk::<4>().expect("a footer");
        let footer = bytes.len() - 8 - u32::from_le_bytes(*length) as usize..bytes.len() - 8;
        for at in footer {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).expect("it can be written");
            let read = ParquetFile::open(&path).and_then(|mut file| file.read_row());
            let _ = read.map_err(|error| assert!(error.to_string().contains("rows.parquet"), "{error}"));
        }
    }
}
