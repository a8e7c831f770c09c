//! Files of rows with named columns: column kinds, and conversion of cells to numbers.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::array::Rows;
use super::csv_file::CsvFile;
use super::dataset::Dataset;
use super::float32::{ROUNDED, ROUNDED_HINT, TOO_LARGE};
use super::inputs::Growing;
use super::load::Format;
use super::parquet_file::ParquetFile;
use super::schema::InputKind;
use super::target_column::{PlannedTarget, TargetReader};
use crate::text::nearest;
use crate::{Error, Result};

/// A file that is read row by row.
pub trait Table {
    /// Returns the path of the file.
    fn path(&self) -> &Path;
    /// Returns the names of the columns.
    fn header(&self) -> &[String];
    /// Returns why a column can't be used, or `None` if its cells can be read.
    fn unusable(&self, _column: usize) -> Option<&Unusable> {
        None
    }
    /// Selects the columns to read from now on. None of them may be unusable.
    fn select(&mut self, columns: &[usize]) -> Result<()>;
    /// Advances to the next row. Returns false at the end.
    fn read_row(&mut self) -> Result<bool>;
    /// Returns a cell of the current row.
    fn cell(&self, column: usize) -> Cell<'_>;
    /// Returns a cell of the current row as text.
    fn text(&self, column: usize) -> Cow<'_, str>;
    /// Returns the position of the current row: "digits.csv:7".
    fn place(&self) -> String;
}

/// The value of a cell.
pub enum Cell<'a> {
    Number(f64),
    /// A value of an integer type, or a number written without decimal point or exponent.
    Integer(i128),
    /// An integer of more than 128 bits, rounded.
    Huge(f64),
    /// A boolean, or the word "true" or "false" in a CSV.
    Flag(bool),
    Word(&'a str),
    /// Bytes that aren't UTF-8 text.
    Bytes(&'a [u8]),
    Missing,
}

pub(super) const BYTES: &str = "bytes that aren't text";

/// Why a column can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The column contains dates, times of day or timestamps.
    Time,
    /// The column contains durations.
    Duration,
    /// The column contains several values per row.
    Lists,
    /// The column contains bytes that aren't text.
    Bytes,
    /// The column has an unsupported type: the name of the type, or the error.
    Type(String),
}

impl Unusable {
    fn error(&self, name: &str, path: &Path) -> Error {
        let what = match self {
            Unusable::Time => "dates or times",
            Unusable::Duration => "durations",
            Unusable::Lists => "lists",
            Unusable::Bytes => BYTES,
            Unusable::Type(_) => "values of a type that can't be read",
        };
        let error = Error::usage(format!("the column \"{name}\" holds {what}"));
        let error = error.with("in", path.display().to_string());
        let (error, instead) = match self {
            Unusable::Time => (error, "store it as a number, such as days since a fixed date"),
            Unusable::Duration => (error, "store it as a number, such as seconds"),
            Unusable::Lists => (error, "store each value in a column of its own"),
            Unusable::Bytes => (error, "store it as numbers, booleans or text in UTF-8"),
            Unusable::Type(found) => (error.with("found", found.clone()), "store it as numbers, booleans or text"),
        };
        error.hint(format!("{instead}, or leave it out: `inputs` names the columns to use"))
    }
}

fn open(path: &Path) -> Result<Box<dyn Table>> {
    Ok(match Format::of(path)? {
        Format::Parquet => Box::new(ParquetFile::open(path)?),
        _ => Box::new(CsvFile::open(path)?),
    })
}

impl dyn Table + '_ {
    /// Returns the index of a column by name. The column must be usable.
    fn find(&self, name: &str) -> Result<usize> {
        let column = find(self.header(), name, self.path())?;
        match self.unusable(column) {
            None => Ok(column),
            Some(unusable) => Err(unusable.error(name, self.path())),
        }
    }

    fn find_all(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.find(name)).collect()
    }

    /// Returns a cell of the current row as a finite number.
    fn number(&self, column: usize) -> Result<f64> {
        self.number_of(&self.cell(column), column)
    }

    pub(super) fn number_of(&self, cell: &Cell<'_>, column: usize) -> Result<f64> {
        match *cell {
            Cell::Number(number) | Cell::Huge(number) if number.is_finite() => Ok(number),
            Cell::Integer(integer) => Ok(integer as f64),
            Cell::Flag(flag) => Ok(f64::from(u8::from(flag))),
            Cell::Number(_) => Err(self.bad_cell("a number is infinite", column)),
            Cell::Huge(_) => Err(self.bad_cell(TOO_LARGE, column)),
            Cell::Missing => Err(self
                .bad_cell("a value is missing", column)
                .hint("fill it in, leave the row out, or name the columns to use with `inputs`")),
            Cell::Word(_) | Cell::Bytes(_) => Err(self
                .bad_cell("a cell is no number", column)
                .hint("correct it, or, if the column isn't to be used, name the others with `inputs`")),
        }
    }

    /// Returns a cell of the current row as a finite float32, multiplied by `scale`.
    fn float32(&self, column: usize, scale: f64) -> Result<f32> {
        self.finite(self.number(column)? * scale, column)
    }

    pub(super) fn finite(&self, number: f64, column: usize) -> Result<f32> {
        let number = number as f32;
        if number.is_finite() { Ok(number) } else { Err(self.bad_cell(TOO_LARGE, column)) }
    }

    /// Returns a cell of the current row as an input. An integer that isn't exact in float32 is an error, because it
    /// may be an id, unless it is scaled, which makes it a quantity.
    fn input(&self, column: usize, scale: f64, kind: &mut SeenKind) -> Result<f32> {
        let cell = self.cell(column);
        if !kind.record(&cell) {
            let (was, other) = match kind.known {
                Some(InputKind::Boolean) => ("booleans", "a number that is neither 0 nor 1"),
                _ => ("numbers", "a boolean"),
            };
            return Err(self.bad_cell(&format!("a column of {was} has {other}"), column).hint(format!(
                "the run was trained on {was} in \"{}\": correct the file, or name one like the run's",
                self.header()[column]
            )));
        }
        let float = self.finite(self.number_of(&cell, column)? * scale, column)?;
        let is_rounded = match cell {
            Cell::Integer(integer) => !float32_holds(integer),
            Cell::Huge(_) => true,
            _ => false,
        };
        if is_rounded && scale == 1.0 {
            return Err(self.bad_cell(ROUNDED, column).hint(ROUNDED_HINT));
        }
        Ok(float)
    }

    pub(super) fn bad_cell(&self, what: &str, column: usize) -> Error {
        Error::failure(what)
            .with("in", format!("{}, column \"{}\"", self.place(), self.header()[column]))
            .with("found", format!("\"{}\"", self.text(column)))
    }
}

/// The columns to read, by role.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    pub inputs: Vec<String>,
    /// The required kinds of the inputs; empty if any kind is accepted.
    pub kinds: Vec<InputKind>,
    pub targets: Vec<PlannedTarget>,
    pub sample_weight: Option<String>,
}

/// The kinds of the cells seen so far in an input column.
struct SeenKind {
    /// The required kind, if any.
    known: Option<InputKind>,
    flags: bool,
    numbers: bool,
}

impl SeenKind {
    fn new(known: Option<InputKind>) -> Self {
        SeenKind { known, flags: false, numbers: false }
    }

    /// Records a cell. Returns false if the cell isn't of the required kind.
    fn record(&mut self, cell: &Cell<'_>) -> bool {
        let flag = matches!(cell, Cell::Flag(_));
        self.flags |= flag;
        self.numbers |= !flag;
        match (self.known, cell) {
            (Some(InputKind::Number), Cell::Flag(_)) => false,
            (Some(InputKind::Boolean), Cell::Number(number)) => *number == 0.0 || *number == 1.0,
            (Some(InputKind::Boolean), Cell::Integer(integer)) => matches!(integer, 0 | 1),
            _ => true,
        }
    }

    fn kind(&self) -> InputKind {
        match (self.flags, self.numbers) {
            (true, false) => InputKind::Boolean,
            (true, true) => InputKind::Mixed,
            (false, _) => InputKind::Number,
        }
    }
}

/// The kind of a column, inferred from its first cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// Booleans.
    Flag,
    Text,
    /// Only missing values.
    Unknown,
    Unusable(Unusable),
}

/// The names and kinds of the columns of a file, in order.
pub struct Columns {
    pub names: Vec<String>,
    pub kinds: Vec<Kind>,
}

impl Columns {
    /// Reads the header, and as many rows as are needed to infer the kind of every column. If `used` is given, the
    /// kinds of other columns stay unknown, and errors in them are ignored.
    pub fn of(path: &Path, used: Option<&[String]>) -> Result<Self> {
        let mut file = open(path)?;
        let kind = |column| file.unusable(column).map_or(Kind::Unknown, |why| Kind::Unusable(why.clone()));
        let mut kinds: Vec<Kind> = (0..file.header().len()).map(kind).collect();
        let is_used = |column: &usize| used.is_none_or(|names| names.contains(&file.header()[*column]));
        let mut unknown: Vec<usize> = (0..kinds.len()).filter(|column| kinds[*column] == Kind::Unknown).collect();
        unknown.retain(is_used);
        let readable = !unknown.is_empty();
        file.select(&unknown)?;
        let mut rows = 0;
        while !unknown.is_empty() && file.read_row()? {
            rows += 1;
            for &column in &unknown {
                kinds[column] = match file.cell(column) {
                    Cell::Missing => Kind::Unknown,
                    Cell::Number(_) | Cell::Integer(_) | Cell::Huge(_) => Kind::Number,
                    Cell::Flag(_) => Kind::Flag,
                    Cell::Word(_) => Kind::Text,
                    Cell::Bytes(_) => Kind::Unusable(Unusable::Bytes),
                };
            }
            unknown.retain(|column| kinds[*column] == Kind::Unknown);
        }
        if rows == 0 && readable {
            return Err(without_rows(&[path.to_owned()]));
        }
        Ok(Columns { names: file.header().to_vec(), kinds })
    }

    /// Returns the index of a column by name. The column must be usable.
    pub fn find(&self, name: &str, path: &Path) -> Result<usize> {
        let column = find(&self.names, name, path)?;
        match &self.kinds[column] {
            Kind::Unusable(unusable) => Err(unusable.error(name, path)),
            _ => Ok(column),
        }
    }
}

/// Reads files with the same columns one after the other. Inputs are multiplied by `scale`, and stored in memory up to
/// `limit` bytes. Also returns the kinds of the inputs.
///
/// # Errors
/// Returns an error, with file, line and column, if a cell doesn't match the kind of its column, or if a row has the
/// wrong length. Returns an error if a column is missing or there are no rows.
pub fn read_table(
    paths: &[PathBuf],
    plan: &TablePlan,
    scale: Option<f64>,
    limit: usize,
) -> Result<(Dataset, Vec<InputKind>)> {
    let mut inputs = Growing::new(limit);
    let mut kinds: Vec<SeenKind> =
        (0..plan.inputs.len()).map(|index| SeenKind::new(plan.kinds.get(index).copied())).collect();
    let mut targets: Vec<TargetReader> = plan.targets.iter().map(TargetReader::new).collect();
    let mut sample_weight = Vec::new();
    let mut len = 0;
    for path in paths {
        let mut file = open(path)?;
        let input_columns = file.find_all(&plan.inputs)?;
        let target_columns =
            plan.targets.iter().map(|target| file.find_all(&target.columns)).collect::<Result<Vec<_>>>()?;
        let weight_column = plan.sample_weight.as_ref().map(|name| file.find(name)).transpose()?;
        file.select(&[&input_columns[..], &target_columns.concat(), weight_column.as_slice()].concat())?;
        while file.read_row()? {
            for (&column, kind) in input_columns.iter().zip(&mut kinds) {
                inputs.push(file.input(column, scale.unwrap_or(1.0), kind)?)?;
            }
            for (target, columns) in targets.iter_mut().zip(&target_columns) {
                target.read(&*file, columns)?;
            }
            if let Some(column) = weight_column {
                sample_weight.push(file.float32(column, 1.0)?);
            }
            len += 1;
        }
    }
    if len == 0 {
        return Err(without_rows(paths));
    }
    let inputs = inputs.finish(&[len, plan.inputs.len()])?;
    let targets = targets.into_iter().map(|target| target.finish(len)).collect::<Result<_>>()?;
    let sample_weight = plan.sample_weight.is_some().then(|| Rows::new(sample_weight, &[len])).transpose()?;
    Ok((Dataset::new(inputs, targets, sample_weight)?, kinds.iter().map(SeenKind::kind).collect()))
}

fn find(header: &[String], name: &str, path: &Path) -> Result<usize> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let error = Error::usage(format!("{} has no column \"{name}\"", path.display()));
        let near = nearest(name, header.iter().map(String::as_str));
        if near.is_empty() {
            const SHOWN: usize = 12;
            let more = if header.len() > SHOWN { ", …" } else { "" };
            error.with("has", header[..header.len().min(SHOWN)].join(", ") + more)
        } else {
            error.with("near", near.join(", "))
        }
    })
}

fn without_rows(paths: &[PathBuf]) -> Error {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Error::failure(format!("{} has no rows below its header", names.join(", ")))
}

/// Returns whether an integer is exact in float32.
fn float32_holds(integer: i128) -> bool {
    // An integer is exact if it has at least as many trailing zeros as it has bits beyond the mantissa.
    let bits = i128::BITS - integer.unsigned_abs().leading_zeros();
    integer.trailing_zeros() + f32::MANTISSA_DIGITS >= bits
}

/// Parses "true" or "false", in any case.
pub fn flag(word: &str) -> Option<bool> {
    [(false, "false"), (true, "true")]
        .into_iter()
        .find_map(|(flag, name)| word.eq_ignore_ascii_case(name).then_some(flag))
}
