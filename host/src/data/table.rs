//! Files of rows with named columns: which columns are what, and their numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::array::{Array, Rows};
use super::csv_file::CsvFile;
use super::dataset::{Dataset, Target};
use super::inputs::Growing;
use super::load::Format;
use super::parquet_file::ParquetFile;
use super::text::nearest;
use crate::{Error, Result};

/// A file that is read row by row.
pub trait Table {
    /// The file.
    fn path(&self) -> &Path;
    /// The columns' names.
    fn header(&self) -> &[String];
    /// Reads only these columns from now on.
    fn select(&mut self, columns: &[usize]);
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
    Word(&'a str),
    Missing,
}

fn open(path: &Path) -> Result<Box<dyn Table>> {
    Ok(match Format::of(path)? {
        Format::Parquet => Box::new(ParquetFile::open(path)?),
        _ => Box::new(CsvFile::open(path)?),
    })
}

impl dyn Table + '_ {
    fn find_all(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| find(self.header(), name, self.path())).collect()
    }

    /// A cell of the current row as a finite number.
    fn number(&self, column: usize) -> Result<f64> {
        match self.cell(column) {
            Cell::Number(number) if number.is_finite() => Ok(number),
            Cell::Number(_) => Err(self.bad_cell("a number is infinite", column)),
            Cell::Missing => Err(self
                .bad_cell("a value is missing", column)
                .hint("fill it in, leave the row out, or name the columns to use with `inputs`")),
            Cell::Word(_) => Err(self
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
        Error::failure(what)
            .with("in", format!("{}, column \"{}\"", self.place(), self.header()[column]))
            .with("found", format!("\"{}\"", self.text(column)))
    }
}

/// Which columns are read as what.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
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
        let mut file = open(path)?;
        let mut kinds = vec![Kind::Unknown; file.header().len()];
        let mut rows = 0;
        while kinds.contains(&Kind::Unknown) && file.read_row()? {
            rows += 1;
            for (column, kind) in kinds.iter_mut().enumerate().filter(|(_, kind)| **kind == Kind::Unknown) {
                *kind = match file.cell(column) {
                    Cell::Missing => Kind::Unknown,
                    Cell::Number(_) => Kind::Number,
                    Cell::Word(_) => Kind::Text,
                };
            }
        }
        if rows == 0 {
            return Err(without_rows(&[path.to_owned()]));
        }
        Ok(Columns { names: file.header().to_vec(), kinds })
    }

    /// The place of the column of that name.
    pub fn find(&self, name: &str, path: &Path) -> Result<usize> {
        find(&self.names, name, path)
    }
}

/// Reads files of the same columns one after the other. Inputs are multiplied by `scale`, and
/// kept in memory up to `limit` bytes.
///
/// # Errors
/// With file, line and column for a cell that isn't what its column holds; for a column that isn't there; for a row
/// of another length; for no rows at all.
pub fn read_table(paths: &[PathBuf], plan: &TablePlan, scale: Option<f64>, limit: usize) -> Result<Dataset> {
    let mut inputs = Growing::new(limit);
    let mut targets: Vec<TargetReader> = plan.targets.iter().map(TargetReader::new).collect();
    let mut sample_weight = Vec::new();
    let mut len = 0;
    for path in paths {
        let mut file = open(path)?;
        let input_columns = file.find_all(&plan.inputs)?;
        let target_columns =
            plan.targets.iter().map(|target| file.find_all(&target.columns)).collect::<Result<Vec<_>>>()?;
        let weight_column = plan.sample_weight.as_ref().map(|name| find(file.header(), name, path)).transpose()?;
        file.select(&[&input_columns[..], &target_columns.concat(), weight_column.as_slice()].concat());
        while file.read_row()? {
            for &column in &input_columns {
                inputs.push(file.float32(column, scale.unwrap_or(1.0))?)?;
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
    Dataset::new(inputs, targets, sample_weight)
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
    fn read(&mut self, file: &dyn Table, columns: &[usize]) -> Result<()> {
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
            let word = &*file.text(column);
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
