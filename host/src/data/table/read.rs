//! Reads columns of one or more files.

use std::path::{Path, PathBuf};

use super::csv_file::CsvFile;
use super::input_column::InputColumn;
use super::target_column::{PlannedTarget, TargetReader};
use super::{Cell, Table, Unusable, find};
use crate::data::format::{Format, listed};
use crate::data::inputs::InputsBuilder;
use crate::data::parquet::ParquetFile;
use crate::data::{Dataset, InputKind, Rows};
use crate::{Error, Result};

/// The columns to read, by role.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    pub inputs: Vec<String>,
    /// The required kinds of the inputs; empty if any kind is accepted.
    pub kinds: Vec<InputKind>,
    pub targets: Vec<PlannedTarget>,
    pub sample_weight: Option<String>,
}

/// The kind of a column, inferred from its first cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Boolean,
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
                    Cell::Boolean(_) => Kind::Boolean,
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
    let mut inputs = InputsBuilder::new(limit);
    let known = |index| InputColumn::new(plan.kinds.get(index).copied());
    let mut input_columns: Vec<InputColumn> = (0..plan.inputs.len()).map(known).collect();
    let mut targets: Vec<TargetReader> = plan.targets.iter().map(TargetReader::new).collect();
    let mut sample_weight = Vec::new();
    let mut len = 0;
    for path in paths {
        let mut file = open(path)?;
        let columns = file.find_all(&plan.inputs)?;
        let target_columns =
            plan.targets.iter().map(|target| file.find_all(&target.columns)).collect::<Result<Vec<_>>>()?;
        let weight_column = plan.sample_weight.as_ref().map(|name| file.find(name)).transpose()?;
        file.select(&[&columns[..], &target_columns.concat(), weight_column.as_slice()].concat())?;
        while file.read_row()? {
            for (input, &column) in input_columns.iter_mut().zip(&columns) {
                inputs.push(input.read(&*file, column, scale.unwrap_or(1.0))?)?;
            }
            for (target, columns) in targets.iter_mut().zip(&target_columns) {
                target.read(&*file, columns)?;
            }
            if let Some(column) = weight_column {
                sample_weight.push(file.float32(file.number(&file.cell(column), column)?, column)?);
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
    Ok((Dataset::new(inputs, targets, sample_weight)?, input_columns.iter().map(InputColumn::kind).collect()))
}

/// Opens a `.parquet` or `.csv` file.
fn open(path: &Path) -> Result<Box<dyn Table>> {
    Ok(match Format::of(path)? {
        Format::Parquet => Box::new(ParquetFile::open(path)?),
        _ => Box::new(CsvFile::open(path)?),
    })
}

fn without_rows(paths: &[PathBuf]) -> Error {
    Error::failure(format!("{} has no rows below its header", listed(paths)))
}
