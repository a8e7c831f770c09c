//! CSV files with a header row: which columns are what, and their numbers.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::array::{Array, Rows};
use super::dataset::{Dataset, Target};
use super::text::nearest;
use crate::{Error, Result};

/// Which columns are read as what.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvPlan {
    pub inputs: Vec<String>,
    pub targets: Vec<PlannedTarget>,
    pub sample_weight: Option<String>,
}

/// A target's columns.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTarget {
    pub name: String,
    pub columns: Vec<String>,
    pub classes: Classes,
}

/// What a target's cells are.
#[derive(Clone, Debug, PartialEq)]
pub enum Classes {
    /// Numbers.
    None,
    /// Words; their sorted order gives the ids.
    Learn,
    /// Words with ids from before.
    Known(Vec<String>),
}

/// What a column's cells are, as far as its first ones tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Text,
    /// Nothing but missing values.
    Unknown,
}

/// The columns of a file, in order.
pub struct Columns {
    pub names: Vec<String>,
    pub kinds: Vec<Kind>,
}

impl Columns {
    /// Reads the header, and as many rows as it takes to tell every column's kind.
    pub fn of(path: &Path) -> Result<Self> {
        let mut file = CsvFile::open(path)?;
        let mut kinds = vec![Kind::Unknown; file.header.len()];
        let mut rows = 0;
        while kinds.contains(&Kind::Unknown) && file.read_row()? {
            rows += 1;
            for (kind, cell) in kinds.iter_mut().zip(&file.row) {
                if *kind == Kind::Unknown && !is_missing(cell) {
                    *kind = if cell.parse::<f64>().is_ok() { Kind::Number } else { Kind::Text };
                }
            }
        }
        if rows == 0 {
            return Err(without_rows(&[path.to_owned()]));
        }
        Ok(Columns { names: file.header, kinds })
    }

    /// The place of the column of that name.
    pub fn find(&self, name: &str, path: &Path) -> Result<usize> {
        find(&self.names, name, path)
    }
}

/// Reads files of the same columns one after the other. Inputs are multiplied by `scale`.
///
/// # Errors
/// With file, line and column for a cell that isn't what its column holds; for a column that isn't there; for a row
/// of another length; for no rows at all.
pub fn read_csv(paths: &[PathBuf], plan: &CsvPlan, scale: Option<f64>) -> Result<Dataset> {
    let mut inputs = Vec::new();
    let mut targets: Vec<TargetReader> = plan.targets.iter().map(TargetReader::new).collect();
    let mut sample_weight = Vec::new();
    let mut len = 0;
    for path in paths {
        let mut file = CsvFile::open(path)?;
        let input_columns = file.find_all(&plan.inputs)?;
        let target_columns =
            plan.targets.iter().map(|target| file.find_all(&target.columns)).collect::<Result<Vec<_>>>()?;
        let weight_column = plan.sample_weight.as_ref().map(|name| find(&file.header, name, path)).transpose()?;
        while file.read_row()? {
            for &column in &input_columns {
                inputs.push(file.float32(column, scale.unwrap_or(1.0))?);
            }
            for (target, columns) in targets.iter_mut().zip(&target_columns) {
                target.read(&file, columns)?;
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
    let inputs = Rows::new(inputs, &[len, plan.inputs.len()])?;
    let targets = targets.into_iter().map(|target| target.finish(len)).collect::<Result<_>>()?;
    let sample_weight = plan.sample_weight.is_some().then(|| Rows::new(sample_weight, &[len])).transpose()?;
    Dataset::new(inputs, targets, sample_weight)
}

/// An open file, its header and its current row.
struct CsvFile {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: Vec<String>,
    row: StringRecord,
}

impl CsvFile {
    fn open(path: &Path) -> Result<Self> {
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

    /// Goes to the next row; false at the end.
    fn read_row(&mut self) -> Result<bool> {
        self.reader.read_record(&mut self.row).map_err(|error| unreadable(&self.path, &error))
    }

    fn find_all(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| find(&self.header, name, &self.path)).collect()
    }

    /// A cell of the current row as a finite number.
    fn number(&self, column: usize) -> Result<f64> {
        let cell = &self.row[column];
        match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ if is_missing(cell) => Err(self
                .bad_cell("a value is missing", column)
                .hint("fill it in, leave the row out, or name the columns to use with `inputs`")),
            Ok(_) => Err(self.bad_cell("a number is infinite", column)),
            Err(_) => Err(self
                .bad_cell("a cell is no number", column)
                .hint("correct it, or, if the column isn't to be used, name the others with `inputs`")),
        }
    }

    /// A cell of the current row as a finite float32.
    fn float32(&self, column: usize, scale: f64) -> Result<f32> {
        let number = (self.number(column)? * scale) as f32;
        if number.is_finite() { Ok(number) } else { Err(self.bad_cell("a number is too large for float32", column)) }
    }

    fn bad_cell(&self, what: &str, column: usize) -> Error {
        let line = self.row.position().map_or(0, csv::Position::line);
        Error::failure(what)
            .with("in", format!("{}:{line}, column \"{}\"", self.path.display(), self.header[column]))
            .with("found", format!("\"{}\"", &self.row[column]))
    }
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

/// Collects a target.
struct TargetReader<'a> {
    plan: &'a PlannedTarget,
    numbers: Vec<f64>,
    ids: Vec<i32>,
    id_of: HashMap<String, i32>,
}

impl<'a> TargetReader<'a> {
    fn new(plan: &'a PlannedTarget) -> Self {
        let id_of = match &plan.classes {
            Classes::Known(names) => names.iter().cloned().zip(0..).collect(),
            Classes::None | Classes::Learn => HashMap::new(),
        };
        TargetReader { plan, numbers: Vec::new(), ids: Vec::new(), id_of }
    }

    /// Takes this target's cells of the current row.
    fn read(&mut self, file: &CsvFile, columns: &[usize]) -> Result<()> {
        if self.plan.classes == Classes::None {
            for &column in columns {
                let number = file.number(column)?;
                if number.abs() > f64::from(f32::MAX) {
                    return Err(file.bad_cell("a number is too large for float32", column));
                }
                self.numbers.push(number);
            }
            return Ok(());
        }
        for &column in columns {
            let word = &file.row[column];
            if word.is_empty() {
                return Err(file.bad_cell("a class name is missing", column).hint("fill it in, or leave the row out"));
            }
            let id = match (self.id_of.get(word), &self.plan.classes) {
                (Some(id), _) => *id,
                (None, Classes::Known(names)) => {
                    let error = file.bad_cell("a class isn't among those that were trained", column);
                    return Err(error.with("has", names.join(", ")));
                }
                (None, _) => {
                    let id = self.id_of.len() as i32;
                    self.id_of.insert(word.to_owned(), id);
                    id
                }
            };
            self.ids.push(id);
        }
        Ok(())
    }

    fn finish(self, len: usize) -> Result<Target> {
        let shape = match self.plan.columns.len() {
            1 => vec![len],
            columns => vec![len, columns],
        };
        let name = self.plan.name.clone();
        match &self.plan.classes {
            Classes::None => Ok(Target { name, values: narrowest(self.numbers, &shape)?, class_names: None }),
            Classes::Known(names) => {
                let values = Array::I32(Rows::new(self.ids, &shape)?);
                Ok(Target { name, values, class_names: Some(names.clone()) })
            }
            Classes::Learn => {
                let mut words: Vec<(String, i32)> = self.id_of.into_iter().collect();
                words.sort_unstable();
                let mut sorted_id = vec![0; words.len()];
                for (sorted, (_, id)) in (0..).zip(&words) {
                    sorted_id[*id as usize] = sorted;
                }
                let ids = self.ids.into_iter().map(|id| sorted_id[id as usize]).collect();
                let class_names = words.into_iter().map(|(word, _)| word).collect();
                Ok(Target { name, values: Array::I32(Rows::new(ids, &shape)?), class_names: Some(class_names) })
            }
        }
    }
}

/// Whole numbers as int32 or int64, anything else as float32.
fn narrowest(numbers: Vec<f64>, shape: &[usize]) -> Result<Array> {
    /// Up to here float64 holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = numbers.iter().all(|number| number.fract() == 0.0);
    let largest = numbers.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()));
    Ok(if whole && largest <= f64::from(i32::MAX) {
        Array::I32(Rows::new(numbers.into_iter().map(|number| number as i32).collect(), shape)?)
    } else if whole && largest < EXACT {
        Array::I64(Rows::new(numbers.into_iter().map(|number| number as i64).collect(), shape)?)
    } else {
        Array::F32(Rows::new(numbers.into_iter().map(|number| number as f32).collect(), shape)?)
    })
}
