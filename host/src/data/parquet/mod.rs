//! Reads Parquet files: columns of numbers, booleans and text, at the top level or within structs.

mod catch_panic;
mod cells;
#[cfg(test)]
mod damaged_tests;
#[cfg(test)]
mod files_tests;
mod pages;
#[cfg(test)]
mod structs_tests;
#[cfg(test)]
mod tests;
mod thrift;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema_by_columns};
use parquet::basic::Repetition;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescriptor;

use self::catch_panic::catch_panic;
use self::cells::{Cells, leaf_types, leaves};
use self::pages::{CheckedFile, Group};
use super::columns::format_date;
use super::table::{Cell, Table, Unusable};
use crate::{Error, Result};

/// The number of rows decoded at once.
const BLOCK: usize = 1024;

/// An open Parquet file and its current row.
pub struct ParquetFile {
    path: PathBuf,
    file: File,
    metadata: ParquetMetaData,
    header: Vec<String>,
    columns: Vec<Column>,
    /// The indices of the columns to read, in file order.
    selected: Vec<usize>,
    levels: FieldLevels,
    /// The reader of the current row group.
    reader: Option<ParquetRecordBatchReader>,
    /// The index of the next row group.
    group: usize,
    /// The number of unread rows in the current row group, according to the file metadata.
    remaining: usize,
    /// The number of rows in the block.
    block: usize,
    /// The index of the current row in the block.
    row: usize,
    /// The number of rows before the block.
    rows_before: usize,
}

struct Column {
    /// The index of the leaf column in the file. The leaf columns of one list form one column.
    leaf: usize,
    unusable: Option<Unusable>,
    /// If Arrow stores dates as plain integers, their unit in seconds.
    date_unit: Option<f64>,
    /// The cells of the block, if the column is selected.
    cells: Cells,
}

impl ParquetFile {
    /// Opens a file and selects all readable columns.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, isn't a Parquet file, or has two columns of the same name.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {shown}: {error}")))?;
        let failed = |error: ParquetError| unreadable(path, &error);
        let read =
            || ParquetMetaDataReader::new().parse_and_finish(&CheckedFile::with_checked_footer(file.try_clone()?)?);
        let metadata = catch_panic(read).map_err(failed)?;
        let described = metadata.file_metadata();
        let (header, columns) = columns(described);
        let mut seen = std::collections::HashSet::new();
        if let Some(name) = header.iter().find(|name| !seen.insert(*name)) {
            return Err(Error::failure(format!("{shown} has two columns called \"{name}\"")).hint("rename one of them"));
        }
        let levels = catch_panic(|| levels(described.schema_descr(), [])).map_err(failed)?;
        let mut table = ParquetFile {
            path: path.to_owned(),
            file,
            metadata,
            header,
            columns,
            selected: Vec::new(),
            levels,
            reader: None,
            group: 0,
            remaining: 0,
            block: 0,
            row: 0,
            rows_before: 0,
        };
        let usable = |column: &usize| table.columns[*column].unusable.is_none();
        let usable: Vec<usize> = (0..table.columns.len()).filter(usable).collect();
        table.select(&usable)?;
        Ok(table)
    }

    /// Decodes the next block. Returns false at the end of the row group.
    fn read_block(&mut self) -> Result<bool> {
        self.rows_before += self.block;
        (self.block, self.row) = (0, 0);
        if self.selected.is_empty() {
            self.block = self.remaining.min(BLOCK);
        } else if let Some(reader) = &mut self.reader {
            let failed = |error: ArrowError| unreadable(&self.path, &error.into());
            let batch = catch_panic(|| Ok(reader.next().transpose()?)).map_err(|error| {
                let hint = "copy it, or write it, again; with `inputs`, columns that aren't named are not read";
                unreadable(&self.path, &error).hint(hint)
            })?;
            let Some(batch) = batch else {
                return match self.remaining {
                    0 => Ok(false),
                    _ => Err(Error::failure(format!("{} has fewer rows than it says", self.path.display()))),
                };
            };
            let mut arrays = Vec::with_capacity(self.selected.len());
            batch.columns().iter().try_for_each(|array| leaves(array, None, &mut arrays)).map_err(failed)?;
            for (&index, array) in self.selected.iter().zip(&arrays) {
                let cells = catch_panic(|| Ok(Cells::read(array)?)).map_err(|error| {
                    let rows = self.rows_before + 1..=self.rows_before + batch.num_rows();
                    let place =
                        format!("column \"{}\", rows {} to {} (from 1)", self.header[index], rows.start(), rows.end());
                    unreadable(&self.path, &error).with("in", place)
                })?;
                self.columns[index].cells = match (cells, self.columns[index].date_unit) {
                    (Cells::Integers(dates), Some(unit)) => Cells::Dates(dates, unit),
                    (cells, _) => cells,
                };
            }
            self.block = batch.num_rows();
        }
        // A page of a damaged file can repeat one value without end.
        let Some(remaining) = self.remaining.checked_sub(self.block) else {
            return Err(Error::failure(format!("{} has more rows than it says", self.path.display())));
        };
        self.remaining = remaining;
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
    fn unusable(&self, column: usize) -> Option<&Unusable> {
        self.columns[column].unusable.as_ref()
    }
    fn select(&mut self, columns: &[usize]) -> Result<()> {
        self.selected = columns.to_vec();
        self.selected.sort_unstable();
        self.selected.dedup();
        let leaves = self.selected.iter().map(|&column| self.columns[column].leaf);
        let schema = self.metadata.file_metadata().schema_descr();
        self.levels = catch_panic(|| levels(schema, leaves)).map_err(|error| unreadable(&self.path, &error))?;
        Ok(())
    }
    fn read_row(&mut self) -> Result<bool> {
        if self.row + 1 < self.block {
            self.row += 1;
            return Ok(true);
        }
        while !self.read_block()? {
            if self.group == self.metadata.num_row_groups() {
                return Ok(false);
            }
            let group = Group { file: &self.file, metadata: &self.metadata, index: self.group };
            let reader =
                catch_panic(|| ParquetRecordBatchReader::try_new_with_row_groups(&self.levels, &group, BLOCK, None));
            self.reader = Some(reader.map_err(|error| unreadable(&self.path, &error))?);
            let rows = self.metadata.row_group(self.group).num_rows();
            self.remaining = usize::try_from(rows).unwrap_or(0);
            self.group += 1;
        }
        Ok(true)
    }
    fn cell(&self, column: usize) -> Cell<'_> {
        self.columns[column].cells.get(self.row)
    }
    fn text(&self, column: usize) -> Cow<'_, str> {
        match self.cell(column) {
            Cell::Number(number) | Cell::Huge(number) => number.to_string().into(),
            Cell::Integer(number) => number.to_string().into(),
            Cell::Boolean(boolean) => boolean.to_string().into(),
            Cell::Date(seconds) => format_date(seconds).into(),
            Cell::Word(word) => word.into(),
            Cell::Bytes(bytes) => String::from_utf8_lossy(bytes),
            Cell::Missing => "".into(),
        }
    }
    fn place(&self) -> String {
        format!("{}, row {} (from 1)", self.path.display(), self.rows_before + self.row + 1)
    }
}

/// Returns the names of the columns and the columns. A column in a struct is called "struct.column"; the leaf columns
/// of a list share the name of the list.
fn columns(file: &FileMetaData) -> (Vec<String>, Vec<Column>) {
    let schema = file.schema_descr();
    let (mut header, mut columns) = (Vec::new(), Vec::new());
    for leaf in 0..schema.num_columns() {
        let column = schema.column(leaf);
        let lists = column.max_rep_level() > 0;
        let name = if lists { list_name(schema, leaf) } else { column.path().string() };
        let continues_list = |last: &Column| last.unusable == Some(Unusable::Lists) && header.last() == Some(&name);
        let same_root = leaf > 0 && schema.get_column_root_idx(leaf) == schema.get_column_root_idx(leaf - 1);
        if lists && same_root && columns.last().is_some_and(continues_list) {
            continue;
        }
        header.push(name);
        columns.push(Column {
            leaf,
            unusable: lists.then_some(Unusable::Lists),
            date_unit: None,
            cells: Cells::Missing,
        });
    }
    let flat: Vec<usize> = (0..columns.len()).filter(|&column| columns[column].unusable.is_none()).collect();
    // Arrow-specific types, such as durations, are described by the Arrow schema in the file metadata.
    let arrow = file.key_value_metadata();
    let types = |leaves: &[usize], arrow| {
        let mut found = Vec::new();
        let mask = ProjectionMask::leaves(schema, leaves.iter().copied());
        let types = catch_panic(|| parquet_to_arrow_schema_by_columns(schema, mask, arrow))?;
        types.fields.iter().for_each(|field| leaf_types(field.data_type(), &mut found));
        match found.len() == leaves.len() {
            true => Ok(found),
            false => Err(ParquetError::General("its schema can't be parsed".into())),
        }
    };
    let leaves: Vec<usize> = flat.iter().map(|&column| columns[column].leaf).collect();
    let all = types(&leaves, arrow).or_else(|_| types(&leaves, None)).ok();
    for (place, &column) in flat.iter().enumerate() {
        // If a type is unknown to the crate, find it by converting the columns one by one.
        let found = match &all {
            Some(all) => Ok(all[place].clone()),
            None => types(&leaves[place..=place], None).map(|mut only| only.remove(0)),
        };
        columns[column].unusable = match found {
            Ok(data_type) => {
                columns[column].date_unit = Cells::unit_of_stored_dates(&data_type);
                Cells::unusable(&data_type)
            }
            Err(error) => Some(Unusable::Type(error.to_string())),
        };
    }
    (header, columns)
}

/// Returns the name of the list that a leaf column belongs to.
fn list_name(schema: &SchemaDescriptor, leaf: usize) -> String {
    let path = schema.column(leaf).path().parts().to_vec();
    let mut group = schema.get_column_root(leaf);
    let mut depth = 0;
    while group.get_basic_info().repetition() != Repetition::REPEATED && group.is_group() && depth + 1 < path.len() {
        depth += 1;
        let Some(field) = group.get_fields().iter().find(|field| field.name() == path[depth]) else { break };
        group = field;
    }
    path[..depth.max(1)].join(".")
}

/// Returns the Arrow fields of these leaf columns.
fn levels(schema: &SchemaDescriptor, leaves: impl IntoIterator<Item = usize>) -> Result<FieldLevels, ParquetError> {
    parquet_to_arrow_field_levels(schema, ProjectionMask::leaves(schema, leaves), None)
}

fn unreadable(path: &Path, error: &ParquetError) -> Error {
    Error::failure(format!("cannot read {}: {error}", path.display()))
}
