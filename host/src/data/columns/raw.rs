//! The raw numbers of the columns of a table, until they are encoded.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;

use crate::data::inputs::{read_exact_at, spill_error};
use crate::{Error, Result};

/// Rows of float64, `[N, columns]`, in memory or in an unnamed temporary file.
#[derive(Debug)]
pub struct RawRows {
    width: usize,
    len: usize,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<f64>),
    Disk(File),
}

impl RawRows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Calls `examine` with some of these columns at a time, and their values in these rows, until all were examined.
    ///
    /// # Errors
    /// Returns an error if the temporary file can't be read.
    pub fn for_columns(
        &self,
        columns: Range<usize>,
        rows: &[usize],
        mut examine: impl FnMut(Range<usize>, Vec<Vec<f64>>),
    ) -> Result<()> {
        /// The most bytes of the values at a time, unless a column has more.
        const GROUP: usize = 64 << 20;
        let group = (GROUP / size_of::<f64>() / rows.len().max(1)).max(1);
        for first in columns.clone().step_by(group) {
            let members = first..(first + group).min(columns.end);
            let mut values: Vec<Vec<f64>> = members.clone().map(|_| Vec::with_capacity(rows.len())).collect();
            self.for_each(rows, |row| {
                for (values, value) in values.iter_mut().zip(&row[members.clone()]) {
                    values.push(*value);
                }
                Ok(())
            })?;
            examine(members, values);
        }
        Ok(())
    }

    /// Calls `read` with each of these rows, in this order.
    ///
    /// # Errors
    /// Returns an error if the temporary file can't be read, and the first error of `read`.
    pub fn for_each(&self, rows: &[usize], mut read: impl FnMut(&[f64]) -> Result<()>) -> Result<()> {
        match &self.store {
            Store::Memory(values) => rows.iter().try_for_each(|row| read(&values[row * self.width..][..self.width])),
            Store::Disk(file) => {
                /// The most bytes that are read at once, unless a row has more.
                const BLOCK: usize = 1 << 20;
                let row_bytes = self.width * size_of::<f64>();
                let (mut bytes, mut values) = (Vec::new(), Vec::with_capacity(self.width));
                for run in rows.chunk_by(|a, b| a + 1 == *b) {
                    for block in run.chunks((BLOCK / row_bytes.max(1)).max(1)) {
                        bytes.resize(block.len() * row_bytes, 0);
                        read_exact_at(file, &mut bytes, (block[0] * row_bytes) as u64).map_err(|error| {
                            Error::failure(format!("cannot read the copy of the data on disk: {error}"))
                        })?;
                        for row in bytes.chunks_exact(row_bytes) {
                            values.clear();
                            let numbers = row.as_chunks::<8>().0;
                            values.extend(numbers.iter().map(|number| f64::from_le_bytes(*number)));
                            read(&values)?;
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

/// Rows under construction. They are stored in memory up to a number of values, then in a temporary file.
#[derive(Debug)]
pub struct RawBuilder {
    width: usize,
    len: usize,
    most_values: usize,
    values: Vec<f64>,
    file: Option<BufWriter<File>>,
}

impl RawBuilder {
    /// Creates rows of `width` columns, of which up to `most_values` numbers are stored in memory.
    pub fn new(width: usize, most_values: usize) -> Self {
        RawBuilder { width, len: 0, most_values, values: Vec::new(), file: None }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Returns an error if the temporary file can't be written.
    pub fn push(&mut self, row: &[f64]) -> Result<()> {
        debug_assert_eq!(row.len(), self.width);
        self.values.extend_from_slice(row);
        self.len += 1;
        let most = if self.file.is_some() { 1 << 14 } else { self.most_values };
        if self.values.len() > most { self.spill().map_err(spill_error) } else { Ok(()) }
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

    /// Returns the rows.
    ///
    /// # Errors
    /// Returns an error if the temporary file can't be written.
    pub fn finish(mut self) -> Result<RawRows> {
        let store = if self.file.is_none() {
            Store::Memory(self.values)
        } else {
            self.spill().map_err(spill_error)?;
            match self.file {
                Some(file) => Store::Disk(file.into_inner().map_err(|error| spill_error(error.into_error()))?),
                None => Store::Memory(Vec::new()),
            }
        };
        Ok(RawRows { width: self.width, len: self.len, store })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_on_disk_equal_those_in_memory() {
        for most in [usize::MAX, 0, 100] {
            let mut builder = RawBuilder::new(3, most);
            (0..20_000).try_for_each(|row| builder.push(&[f64::from(row), f64::NAN, 0.1])).expect("there is room");
            let rows = builder.finish().expect("it is written");
            assert_eq!((rows.len(), matches!(rows.store, Store::Disk(_))), (20_000, most < usize::MAX));
            let mut found = Vec::new();
            let read = |row: &[f64]| {
                assert!(row[1].is_nan() && row[2] == 0.1);
                found.push(row[0]);
                Ok(())
            };
            rows.for_each(&[19_999, 3, 4, 5, 0], read).expect("they are there");
            assert_eq!(found, [19_999.0, 3.0, 4.0, 5.0, 0.0]);
        }
    }
}
