//! CSV files with a header row.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::num::IntErrorKind;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::{Cell, Table, parse_bool};
use crate::{Error, Result};

/// An open CSV file with its header and current row.
pub struct CsvFile {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: Vec<String>,
    row: StringRecord,
    /// The position of the current row, once it was asked for: many columns may be missing in a row.
    place: OnceCell<String>,
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
        Ok(CsvFile { path: path.to_owned(), reader, header, row: StringRecord::new(), place: OnceCell::new() })
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
        self.place.take();
        self.reader.read_record(&mut self.row).map_err(|error| unreadable(&self.path, &error))
    }
    fn cell(&self, column: usize) -> Cell<'_> {
        let cell = &self.row[column];
        if let Ok(integer) = cell.parse::<i64>() {
            return Cell::Integer(integer.into());
        }
        match cell.parse::<f64>() {
            Ok(number) if number.is_nan() => Cell::Missing,
            Ok(number) => match cell.parse::<i128>().map_err(|error| *error.kind()) {
                Ok(integer) => Cell::Integer(integer),
                Err(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => Cell::Huge(number),
                Err(_) => Cell::Number(number),
            },
            Err(_) if is_missing(cell) => Cell::Missing,
            Err(_) => parse_bool(cell).map_or(Cell::Word(cell), Cell::Boolean),
        }
    }
    fn text(&self, column: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.row[column])
    }
    fn place(&self) -> String {
        let line = || self.row.position().map_or(0, |position| line(&self.path, position));
        self.place.get_or_init(|| format!("{}:{}", self.path.display(), line())).clone()
    }
}

/// Returns the line of a row, as an editor counts it. The CSV reader's own count ignores `\r` line ends, and starts a
/// row at the blank lines before it.
fn line(path: &Path, position: &csv::Position) -> u64 {
    let counted = || -> io::Result<u64> {
        let (mut line, mut after_return) = (1, false);
        for (at, byte) in (0..).zip(BufReader::new(File::open(path)?).bytes()) {
            let byte = byte?;
            if at >= position.byte() && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            // "\r\n" is one line end.
            line += u64::from(byte == b'\r' || byte == b'\n' && !after_return);
            after_return = byte == b'\r';
        }
        Ok(line)
    };
    counted().unwrap_or(position.line())
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING_WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// The words that stand for a missing value, in any case.
const MISSING_WORDS: [&str; 6] = ["na", "n/a", "nan", "null", "none", "?"];

/// Returns the cells of a CSV that stand for a missing value, in every case of their letters.
pub fn missing_words() -> Vec<String> {
    let mut cells = vec![String::new()];
    for word in MISSING_WORDS {
        let mut spellings = vec![String::new()];
        for letter in word.chars() {
            let upper = letter.to_ascii_uppercase();
            let cases: &[char] = if upper == letter { &[letter] } else { &[letter, upper] };
            spellings = spellings
                .iter()
                .flat_map(|spelling| cases.iter().map(move |case| format!("{spelling}{case}")))
                .collect();
        }
        cells.extend(spellings);
    }
    cells
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    let shown = path.display();
    let line = error.position().map_or(1, |position| line(path, position));
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Error::failure(format!("a row has {len} cells; the header has {expected_len}"))
                .with("in", format!("{shown}:{line}"))
                .hint("there is a comma too few or too many, or a cell with a comma isn't quoted")
        }
        ErrorKind::Utf8 { .. } => Error::failure("a row is not UTF-8 text")
            .with("in", format!("{shown}:{line}"))
            .hint("save the file as UTF-8"),
        ErrorKind::Io(error) => Error::failure(format!("cannot read {shown}: {error}")),
        _ => Error::failure(format!("cannot read {shown}: {error}")).with("in", format!("{shown}:{line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_numbers_match_an_editor_for_all_line_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.csv");
        // In each text, the row that starts with 7 is on line 5.
        for (what, text) in [
            ("plain", "a,b\n1,1\n2,2\n3,3\n7,7\n4,4"),
            ("blank lines", "a,b\n\n1,1\n\n7,7\n4,4\n"),
            ("a blank line first", "\na,b\n1,1\n2,2\n7,7\n"),
            ("a byte order mark", "\u{feff}a,b\n1,1\n2,2\n3,3\n7,7\n"),
            ("a line within quotes", "a,b\n1,\"x\ny\"\n2,2\n7,7\n"),
            ("lines within quotes", "a,b\n1,\"x\n\ny\"\n7,7\n"),
        ] {
            for end in ["\n", "\r\n", "\r"] {
                let text = text.replace('\n', end);
                std::fs::write(&path, &text).expect("it can be written");
                let mut file = CsvFile::open(&path).expect("it has a header");
                while file.read_row().expect("it is whole") && file.row[0] != *"7" {}
                assert_eq!(file.place(), format!("{}:5", path.display()), "{what}, {end:?}");
                // Errors of the CSV reader itself: a wrong number of cells, and invalid UTF-8.
                std::fs::write(&path, text.replace("7,7", "7,7,7")).expect("it can be written");
                let mut file = CsvFile::open(&path).expect("it has a header");
                let error = std::iter::from_fn(|| Some(file.read_row())).find_map(Result::err).expect("three cells");
                assert!(error.to_string().contains("rows.csv:5"), "{what}, {end:?}: {error}");
                let at = text.find("7,7").expect("it is there");
                let bytes = [&text.as_bytes()[..at], b"\xff,7", &text.as_bytes()[at + 3..]].concat();
                std::fs::write(&path, bytes).expect("it can be written");
                let mut file = CsvFile::open(&path).expect("it has a header");
                let error = std::iter::from_fn(|| Some(file.read_row())).find_map(Result::err).expect("no UTF-8");
                assert!(error.to_string().contains("rows.csv:5"), "{what}, {end:?}: {error}");
            }
        }
    }
}
