//! Files of rows with named columns: which columns are what, and their numbers.

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
use super::text::nearest;
use crate::{Error, Result};

/// A file that is read row by row.
pub trait Table {
    /// The file.
    fn path(&self) -> &Path;
    /// The columns' names.
    fn header(&self) -> &[String];
    /// Why nothing in a column can be used; none if its cells can be read.
    fn unusable(&self, _column: usize) -> Option<&Unusable> {
        None
    }
    /// Reads only these columns from now on, none of them unusable.
    fn select(&mut self, columns: &[usize]) -> Result<()>;
    /// Goes to the next row; false at the end.
    fn read_row(&mut self) -> Result<bool>;
    /// A cell of the current row.
    fn cell(&self, column: usize) -> Cell<'_>;
    /// A cell as text.
    fn text(&self, column: usize) -> Cow<'_, str>;
    /// Where the current row stands: "digits.csv:7".
    fn place(&self) -> String;
}

/// What stands in a cell.
pub enum Cell<'a> {
    Number(f64),
    /// What is of an integer type, or written without a point and an exponent.
    Integer(i128),
    /// The same, of more than 128 bits: rounded.
    Huge(f64),
    /// A boolean, or the word for it.
    Flag(bool),
    Word(&'a str),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
    Missing,
}

pub(super) const BYTES: &str = "bytes that aren't text";

/// Why a column can't be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It holds dates, times of day or points in time.
    Time,
    /// It holds lengths of time.
    Duration,
    /// It holds several values a row.
    Lists,
    /// It holds bytes that aren't text.
    Bytes,
    /// It is of a type that isn't read; the type's name, or what is wrong with it.
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
            Unusable::Time => (error, "store it as the number that is meant, such as days since a fixed date"),
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
    /// The place of the column of that name, which must be usable.
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

    /// A cell of the current row as a finite number.
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

    /// A cell of the current row as a finite float32, multiplied by `scale`.
    fn float32(&self, column: usize, scale: f64) -> Result<f32> {
        self.finite(self.number(column)? * scale, column)
    }

    pub(super) fn finite(&self, number: f64, column: usize) -> Result<f32> {
        let number = number as f32;
        if number.is_finite() { Ok(number) } else { Err(self.bad_cell(TOO_LARGE, column)) }
    }

    /// A cell of the current row as an input. An integer that float32 rounds may be an id, and is refused, unless it is multiplied: what
    /// is scaled is a quantity.
    fn input(&self, column: usize, scale: f64, kind: &mut SeenKind) -> Result<f32> {
        let cell = self.cell(column);
        if !kind.take(&cell) {
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

/// Which columns are read as what.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    pub inputs: Vec<String>,
    /// The kinds that the inputs must be of; empty if any will do.
    pub kinds: Vec<InputKind>,
    pub targets: Vec<PlannedTarget>,
    pub sample_weight: Option<String>,
}

/// The kind of an input column, as far as it was read.
struct SeenKind {
    /// The kind that it must be of.
    known: Option<InputKind>,
    flags: bool,
    numbers: bool,
}

impl SeenKind {
    fn new(known: Option<InputKind>) -> Self {
        SeenKind { known, flags: false, numbers: false }
    }

    /// Takes a cell; false if it isn't of the known kind.
    fn take(&mut self, cell: &Cell<'_>) -> bool {
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

/// What a column's cells are, as far as its first ones tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// Booleans.
    Flag,
    Text,
    /// Nothing but missing values.
    Unknown,
    Unusable(Unusable),
}

/// The columns of a file, in order.
pub struct Columns {
    pub names: Vec<String>,
    pub kinds: Vec<Kind>,
}

impl Columns {
    /// Reads the header, and as many rows as it takes to tell every column's kind. Where the columns to use are known, the kinds of the
    /// others stay unknown: one that can't be read harms nobody.
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

    /// The place of the column of that name, which must be usable.
    pub fn find(&self, name: &str, path: &Path) -> Result<usize> {
        let column = find(&self.names, name, path)?;
        match &self.kinds[column] {
            Kind::Unusable(unusable) => Err(unusable.error(name, path)),
            _ => Ok(column),
        }
    }
}

/// Reads files of the same columns one after the other. Inputs are multiplied by `scale`, and
/// kept in memory up to `limit` bytes. Gives the inputs' kinds, too.
///
/// # Errors
/// With file, line and column for a cell that isn't what its column holds; for a column that isn't there; for a row
/// of another length; for no rows at all.
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

/// Whether float32 holds an integer exactly.
fn float32_holds(integer: i128) -> bool {
    // What float32 holds ends in as many zeros as it has bits beyond the mantissa.
    let bits = i128::BITS - integer.unsigned_abs().leading_zeros();
    integer.trailing_zeros() + f32::MANTISSA_DIGITS >= bits
}

/// The boolean that a word stands for.
pub fn flag(word: &str) -> Option<bool> {
    [(false, "false"), (true, "true")]
        .into_iter()
        .find_map(|(flag, name)| word.eq_ignore_ascii_case(name).then_some(flag))
}
