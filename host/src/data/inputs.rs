//! The inputs of a dataset, in memory or on disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ndarray::ArrayViewD;

use super::array::Rows;
use super::float32::rejection_error;
use super::input_kind::InputKind;
use super::numpy::{Decoder, Layout};
use crate::{Error, Result};

/// Inputs `[N, ...]` of float32.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Inputs {
    /// Stored in memory.
    Memory(Rows<f32>),
    /// Left on disk, and read as needed.
    Disk(DiskRows),
}

impl From<Rows<f32>> for Inputs {
    fn from(rows: Rows<f32>) -> Self {
        Inputs::Memory(rows)
    }
}

impl Inputs {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Inputs::Memory(rows) => rows.len(),
            Inputs::Disk(rows) => rows.len(),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the shape of one row.
    pub fn row_shape(&self) -> &[usize] {
        match self {
            Inputs::Memory(rows) => rows.row_shape(),
            Inputs::Disk(rows) => &rows.row_shape,
        }
    }

    /// Returns a range of rows: borrowed if the inputs are in memory, else read into `buffer`, reusing its memory.
    ///
    /// # Errors
    /// Returns an error if the file can't be read or contains a number that isn't finite.
    ///
    /// # Panics
    /// Panics if the range is out of bounds.
    pub fn rows<'r>(&'r self, rows: Range<usize>, buffer: &'r mut Rows<f32>) -> Result<ArrayViewD<'r, f32>> {
        match self {
            Inputs::Memory(all) => Ok(all.slice(rows)),
            Inputs::Disk(all) => {
                assert!(rows.end <= self.len(), "rows {rows:?} of {}", self.len());
                buffer.refill(&all.row_shape, rows.len(), |values| all.read(rows, values))?;
                Ok(buffer.view())
            }
        }
    }

    /// Copies every row into `buffer`, whose memory is reused.
    pub(super) fn copy_into(&self, buffer: &mut Rows<f32>) -> Result<()> {
        match self {
            Inputs::Memory(all) => buffer.refill(all.row_shape(), all.len(), |values| {
                values.extend_from_slice(all.values());
                Ok(())
            }),
            Inputs::Disk(_) => self.rows(0..self.len(), buffer).map(drop),
        }
    }

    /// Returns the rows if they are in memory.
    pub fn in_memory(&self) -> Option<&Rows<f32>> {
        match self {
            Inputs::Memory(rows) => Some(rows),
            Inputs::Disk(_) => None,
        }
    }

    /// Creates in-memory inputs of the same row shape with no rows.
    pub(super) fn empty_like(&self) -> Inputs {
        Inputs::Memory(Rows::without_rows(self.row_shape()))
    }

    /// Replaces the contents of `batch`, created by [`empty_like`](Self::empty_like), with the rows at these indices,
    /// in that order.
    pub(super) fn gather_into(&self, rows: &[usize], batch: &mut Inputs) -> Result<()> {
        let Inputs::Memory(batch) = batch else {
            return Err(Error::usage("a batch must be in memory"));
        };
        match self {
            Inputs::Memory(all) => all.gather_into(rows, batch),
            Inputs::Disk(all) => batch.refill(&all.row_shape, rows.len(), |values| {
                // Read each run of consecutive rows at once.
                rows.chunk_by(|a, b| a + 1 == *b).try_for_each(|run| all.read(run[0]..run[0] + run.len(), values))
            })?,
        }
        Ok(())
    }

    /// Returns the rows at these indices, in that order. Rows on disk stay there.
    pub(super) fn select(&self, rows: &[usize]) -> Result<Inputs> {
        Ok(match self {
            Inputs::Memory(_) => {
                let mut selected = self.empty_like();
                self.gather_into(rows, &mut selected)?;
                selected
            }
            Inputs::Disk(all) => {
                let selected = rows.iter().map(|&row| all.row_in_file(row)).collect();
                Inputs::Disk(DiskRows { selected: Some(selected), ..all.clone() })
            }
        })
    }

    /// Removes the rows from `at` to the end and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Inputs {
        match self {
            Inputs::Memory(rows) => Inputs::Memory(rows.split_off(at)),
            Inputs::Disk(DiskRows { selected: Some(first), .. }) => {
                let selected = Some(first.split_off(at.min(first.len())));
                let Inputs::Disk(all) = &*self else { return self.empty_like() };
                Inputs::Disk(DiskRows { selected, ..all.clone() })
            }
            Inputs::Disk(first) => {
                let middle = first.rows.start + at.min(first.rows.len());
                let rest = DiskRows { rows: middle..first.rows.end, ..first.clone() };
                first.rows.end = middle;
                Inputs::Disk(rest)
            }
        }
    }
}

/// Rows in an open file. They are read, not memory-mapped, so that truncating the file causes an error rather than a
/// SIGBUS.
#[derive(Clone, Debug)]
pub struct DiskRows {
    file: Arc<File>,
    /// The name of the file in errors.
    place: String,
    /// The offset of the first number in the file.
    start: u64,
    decoder: Decoder,
    row_shape: Vec<usize>,
    /// The range of file rows that this value covers, unless it is a selection.
    rows: Range<usize>,
    /// The file rows that this value has, in this order.
    selected: Option<Vec<usize>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl PartialEq for DiskRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.rows == other.rows && self.selected == other.selected
    }
}

impl DiskRows {
    /// Opens an .npy file as inputs and returns them with their kind; `known` is the kind that they must have. Returns
    /// `None` if the array isn't in C order.
    ///
    /// # Errors
    /// Returns an error if the file isn't an .npy array of numbers, is shorter than its header claims, or has another
    /// kind.
    pub fn of_npy(path: &Path, scale: Option<f64>, known: Option<InputKind>) -> Result<Option<(Self, InputKind)>> {
        let place = path.display().to_string();
        let unreadable = |error: io::Error| Error::failure(format!("cannot read {place}: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let layout = Layout::read(&mut io::BufReader::new(&file), &place, scale, known)?;
        let length = file.metadata().map_err(unreadable)?.len();
        layout.check_length(length, &place)?;
        let Some((&len, row_shape)) = layout.shape.split_first() else {
            return Err(Error::usage(format!("{place}: an array of samples needs at least one axis")));
        };
        if layout.fortran_order && !row_shape.is_empty() {
            return Ok(None);
        }
        let row_shape = row_shape.to_vec();
        let rows = DiskRows {
            file: Arc::new(file),
            place,
            start: layout.start,
            decoder: layout.decoder,
            row_shape,
            rows: 0..len,
            selected: None,
            bytes: Arc::default(),
        };
        Ok(Some((rows, layout.kind)))
    }

    fn len(&self) -> usize {
        self.selected.as_ref().map_or(self.rows.len(), Vec::len)
    }

    /// Returns the number of a row in the file.
    fn row_in_file(&self, row: usize) -> usize {
        self.selected.as_ref().map_or(self.rows.start + row, |selected| selected[row])
    }

    /// Appends a range of rows to `values`.
    fn read(&self, rows: Range<usize>, values: &mut Vec<f32>) -> Result<()> {
        match &self.selected {
            None => self.read_in_file(self.rows.start + rows.start..self.rows.start + rows.end, values),
            // Read each run of consecutive rows at once.
            Some(selected) => selected[rows]
                .chunk_by(|a, b| a + 1 == *b)
                .try_for_each(|run| self.read_in_file(run[0]..run[0] + run.len(), values)),
        }
    }

    /// Appends a range of rows of the file to `values`.
    fn read_in_file(&self, rows: Range<usize>, values: &mut Vec<f32>) -> Result<()> {
        let row_len: usize = self.row_shape.iter().product();
        let count = rows.len() * row_len;
        let first = rows.start;
        let mut bytes = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bytes.resize(count * self.decoder.width, 0);
        let at = self.start + (first * row_len * self.decoder.width) as u64;
        read_exact_at(&self.file, &mut bytes, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::failure(format!("{} was cut short while it was read", self.place))
                .with("in", format!("row {first} (from 0)")),
            _ => Error::failure(format!("cannot read {}: {error}", self.place)),
        })?;
        match self.decoder.read(&bytes, values) {
            None => Ok(()),
            Some((at, what)) => {
                let array = format!("{}, inputs", self.place);
                Err(rejection_error(what, &array, first * row_len + at, &self.row_shape))
            }
        }
    }
}

/// Reads bytes at an offset of a file.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                at += read as u64;
            }
        }
    }
    Ok(())
}

/// Inputs under construction. They are stored in memory up to a limit, then in an unnamed temporary file.
pub struct InputsBuilder {
    values: Vec<f32>,
    limit: usize,
    file: Option<BufWriter<File>>,
}

impl InputsBuilder {
    /// Creates empty inputs that are stored in memory up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        InputsBuilder { values: Vec::new(), limit, file: None }
    }

    /// Appends a number.
    ///
    /// # Errors
    /// Returns an error if the temporary file can't be written.
    pub fn push(&mut self, value: f32) -> Result<()> {
        self.values.push(value);
        let max_values = if self.file.is_some() { 1 << 14 } else { self.limit / size_of::<f32>() };
        if self.values.len() > max_values { self.spill().map_err(spill_error) } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 16, tempfile::tempfile()?)),
        };
        self.values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
        self.values = Vec::new();
        Ok(())
    }

    /// Returns the numbers as inputs of this shape.
    ///
    /// # Errors
    /// Returns an error if the numbers don't fill the shape, or the temporary file can't be written.
    pub fn finish(mut self, shape: &[usize]) -> Result<Inputs> {
        if self.file.is_none() {
            return Ok(Inputs::Memory(Rows::new(self.values, shape)?));
        }
        self.spill().map_err(spill_error)?;
        let (Some(file), Some((&len, row_shape))) = (self.file, shape.split_first()) else {
            return Err(Error::usage("an array of samples needs at least one axis"));
        };
        let file = file.into_inner().map_err(|error| spill_error(error.into_error()))?;
        Ok(Inputs::Disk(DiskRows {
            file: Arc::new(file),
            place: "the copy of the data".into(),
            start: 0,
            decoder: Decoder::float32(),
            row_shape: row_shape.to_vec(),
            rows: 0..len,
            selected: None,
            bytes: Arc::default(),
        }))
    }
}

/// The error for a temporary file that can't be written.
pub(super) fn spill_error(error: io::Error) -> Error {
    Error::failure(format!("cannot keep the data on disk: {error}"))
        .with("in", std::env::temp_dir().display().to_string())
        .hint("set $TMPDIR to a folder with enough space, or set data.in_memory = true")
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::data::numpy::write_npy;

    fn file(rows: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        let values = (0..rows * 3).map(|value| value as f32).collect();
        let array = ArrayD::from_shape_vec(vec![rows, 3], values).expect("rows of three");
        write_npy(&mut File::create(&path).expect("a file"), &array.view()).expect("it is written");
        (folder, path)
    }

    #[test]
    fn rows_on_disk_are_scaled_and_split() {
        let (_folder, path) = file(10);
        let mut first =
            Inputs::Disk(DiskRows::of_npy(&path, Some(2.0), None).expect("an array").expect("in C order").0);
        let rest = first.split_off(7);
        assert_eq!((first.len(), rest.len(), rest.row_shape()), (7, 3, &[3][..]));
        let mut batch = first.empty_like();
        rest.gather_into(&[2, 0, 1], &mut batch).expect("they are there");
        let values = batch.in_memory().expect("a batch is in memory").values();
        assert_eq!(values, [54.0, 56.0, 58.0, 42.0, 44.0, 46.0, 48.0, 50.0, 52.0]);
        let mut buffer = Rows::without_rows(&[3]);
        let read = first.rows(5..7, &mut buffer).expect("they are there");
        assert_eq!((read.shape(), read[[1, 2]]), (&[2, 3][..], 40.0));
    }

    #[test]
    fn selected_rows_stay_on_disk() {
        let (_folder, path) = file(10);
        let inputs = Inputs::Disk(DiskRows::of_npy(&path, None, None).expect("an array").expect("in C order").0);
        let mut odd = inputs.select(&[1, 3, 5, 6, 7, 9]).expect("they are there");
        assert!(odd.in_memory().is_none());
        let first = |inputs: &Inputs, range: Range<usize>| {
            let mut buffer = Rows::without_rows(&[3]);
            let rows = inputs.rows(range, &mut buffer).expect("they are there");
            rows.outer_iter().map(|row| row[0] / 3.0).collect::<Vec<_>>()
        };
        assert_eq!(first(&odd, 0..6), [1.0, 3.0, 5.0, 6.0, 7.0, 9.0]);
        let again = odd.select(&[5, 0, 3]).expect("they are there");
        assert_eq!((again.len(), first(&again, 1..3)), (3, vec![1.0, 6.0]));
        let rest = odd.split_off(4);
        assert_eq!((first(&odd, 2..4), first(&rest, 0..2)), (vec![5.0, 6.0], vec![7.0, 9.0]));
        let mut batch = rest.empty_like();
        rest.gather_into(&[1, 0], &mut batch).expect("they are there");
        assert_eq!(batch.in_memory().expect("a batch is in memory").values()[..2], [27.0, 28.0]);
    }

    #[test]
    fn truncation_and_nan_are_errors_with_their_row() {
        let (_folder, path) = file(10);
        let inputs = Inputs::Disk(DiskRows::of_npy(&path, None, None).expect("an array").expect("in C order").0);
        let bytes = std::fs::read(&path).expect("it is there");
        let mut damaged = bytes.clone();
        let last = damaged.len() - 4;
        damaged[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, damaged).expect("it can be written");
        let mut batch = inputs.empty_like();
        let error = inputs.gather_into(&[0, 9], &mut batch).expect_err("a NaN").to_string();
        assert!(error.contains("row 9 (from 0)"), "{error}");
        std::fs::write(&path, &bytes[..bytes.len() - 40]).expect("it can be written");
        let error = inputs.gather_into(&[9], &mut batch).expect_err("cut short").to_string();
        assert!(error.contains("x.npy was cut short"), "{error}");
        let error = DiskRows::of_npy(&path, None, None).expect_err("cut short").to_string();
        assert!(error.contains("is cut short: its header claims 30 numbers"), "{error}");
    }

    #[test]
    fn inputs_beyond_the_limit_are_stored_on_disk() {
        for (limit, on_disk) in [(1 << 20, false), (0, true), (100, true)] {
            let mut builder = InputsBuilder::new(limit);
            (0..60_000).try_for_each(|value| builder.push(value as f32)).expect("there is room");
            let inputs = builder.finish(&[20_000, 3]).expect("it fills the shape");
            assert_eq!(inputs.in_memory().is_none(), on_disk);
            let mut batch = inputs.empty_like();
            inputs.gather_into(&[19_999, 1], &mut batch).expect("they are there");
            let values = batch.in_memory().expect("a batch").values();
            assert_eq!(values, [59_997.0, 59_998.0, 59_999.0, 3.0, 4.0, 5.0]);
        }
    }
}
