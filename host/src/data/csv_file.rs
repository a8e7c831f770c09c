//! CSV files with a header row.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::table::{Cell, Table, flag};
use crate::{Error, Result};

/// An open file, its header and its current row.
pub struct CsvFile {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: Vec<String>,
    row: StringRecord,
}

impl CsvFile {
    pub fn open(path: &Path) -> Result<Self> {
        let mut reader =
            ReaderBuilder::new().trim(Trim::All).from_path(path).map_err(|error| unreadable(path, &error))?;
        let header = reader.headers().map_err(|error| unreadable(path, &error))?;
        let header: Vec<String> = header.iter().map(str::to_owned).collect();
        let shown = path.display();
        if header.iter().all(String::is_empty) {
            return Err(
                Error::failure(format!("{shown} is empty")).hint("a header row and at least one more are needed")
            );
        }
        if header.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(Error::failure(format!("{shown} has no header row"))
                .with("line 1", header.join(","))
                .hint("put the columns' names in the first row"));
        }
        if let ([only], Some(other)) = (&header[..], header[0].chars().find(|c| matches!(c, ';' | '\t' | '|'))) {
            return Err(Error::failure(format!("{shown} separates its columns by {other:?}"))
                .with("line 1", only)
                .hint("only commas are understood"));
        }
        let mut seen = HashSet::new();
        if let Some(name) = header.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
            return Err(Error::failure(format!("{shown} has two columns called \"{name}\"")).hint("rename one of them"));
        }
        Ok(CsvFile { path: path.to_owned(), reader, header, row: StringRecord::new() })
    }
}

impl Table for CsvFile {
    fn path(&self) -> &Path {
        &self.path
    }
    fn header(&self) -> &[String] {
        &self.header
    }
    fn select(&mut self, _columns: &[usize]) -> Result<()> {
        Ok(())
    }
    fn read_row(&mut self) -> Result<bool> {
        self.reader.read_record(&mut self.row).map_err(|error| unreadable(&self.path, &error))
    }
    fn cell(&self, column: usize) -> Cell<'_> {
        let cell = &self.row[column];
        if let Ok(integer) = cell.parse::<i64>() {
            return Cell::Integer(integer.into());
        }
        match cell.parse::<f64>() {
            Ok(number) if number.is_nan() => Cell::Missing,
            Ok(number) => cell.parse().map_or(Cell::Number(number), Cell::Integer),
            Err(_) if is_missing(cell) => Cell::Missing,
            Err(_) => flag(cell).map_or(Cell::Word(cell), Cell::Flag),
        }
    }
    fn text(&self, column: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.row[column])
    }
    fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.row.position().map_or(0, csv::Position::line))
    }
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || ["na", "n/a", "nan", "null", "none", "?"].iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    let shown = path.display();
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Error::failure(format!("a row has {len} cells; the header has {expected_len}"))
                .with("in", format!("{shown}:{line}"))
                .hint("a comma is missing or too many, or a cell with a comma isn't quoted")
        }
        ErrorKind::Utf8 { .. } => Error::failure("a row is not UTF-8 text")
            .with("in", format!("{shown}:{line}"))
            .hint("save the file as UTF-8"),
        ErrorKind::Io(error) => Error::failure(format!("cannot read {shown}: {error}")),
        _ => Error::failure(format!("cannot read {shown}: {error}")).with("in", format!("{shown}:{line}")),
    }
}
