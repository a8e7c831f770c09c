//! Reads columns of one or more files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::csv_file::CsvFile;
use super::input_column::{PlannedInput, ReadColumn};
use super::target_column::{PlannedTarget, TargetReader};
use super::{Cell, Table, Unusable, find};
use crate::data::columns::{LearntColumn, RawBuilder, RawRows, Unencodable, parse_date};
use crate::data::float32::TOO_LARGE;
use crate::data::format::{Format, listed};
use crate::data::inputs::InputsBuilder;
use crate::data::parquet::ParquetFile;
use crate::data::{Inputs, Rows, Target};
use crate::{Error, Result};

/// The columns to read, by role.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    pub inputs: Vec<PlannedInput>,
    pub targets: Vec<PlannedTarget>,
    pub sample_weight: Option<String>,
}

/// The columns of files.
pub struct ReadTable {
    pub inputs: TableInputs,
    pub targets: Vec<Target>,
    pub sample_weight: Option<Rows<f32>>,
    /// What was found in each input column.
    pub columns: Vec<ReadColumn>,
}

/// The inputs of files.
pub enum TableInputs {
    /// The features of the network.
    Encoded(Inputs),
    /// The raw numbers.
    Raw(RawRows),
}

/// The kind of a column, inferred from its first cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Boolean,
    Text,
    /// Text that starts with a date; only in a CSV.
    Date,
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
        let is_csv = Format::of(path)? == Format::Csv;
        let kind = |column| file.unusable(column).map_or(Kind::Unknown, |why| Kind::Unusable(why.clone()));
        let mut kinds: Vec<Kind> = (0..file.header().len()).map(kind).collect();
        let used: Option<HashSet<&String>> = used.map(|names| names.iter().collect());
        let is_used = |column: &usize| used.as_ref().is_none_or(|names| names.contains(&file.header()[*column]));
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
                    Cell::Word("") => Kind::Unknown,
                    Cell::Word(word) if is_csv && parse_date(word).is_some() => Kind::Date,
                    Cell::Word(_) => Kind::Text,
                    Cell::Date(_) => Kind::Unusable(Unusable::Date),
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

/// Reads files with the same columns one after the other. Inputs are encoded by `encodings`, one for each input, or, if
/// there are none, are raw numbers. They are stored in memory up to `limit` bytes of features or as many raw numbers.
///
/// # Errors
/// Returns an error, with file, line and column, if a cell doesn't match the kind of its column or can't be encoded, or
/// if a row has the wrong length. Returns an error if a column is missing or there are no rows.
pub fn read_table(
    paths: &[PathBuf],
    plan: &TablePlan,
    encodings: Option<&[LearntColumn]>,
    limit: usize,
) -> Result<ReadTable> {
    let mut inputs = match encodings {
        Some(columns) => Sink::Encoded { columns, features: Vec::new(), inputs: InputsBuilder::new(limit) },
        None => Sink::Raw(RawBuilder::new(plan.inputs.len(), limit / size_of::<f32>())),
    };
    let mut input_columns: Vec<ReadColumn> = plan.inputs.iter().cloned().map(ReadColumn::new).collect();
    let mut row = Vec::with_capacity(input_columns.len());
    let mut targets: Vec<TargetReader> = plan.targets.iter().map(TargetReader::new).collect();
    let mut sample_weight = Vec::new();
    let mut len = 0;
    for path in paths {
        let mut file = open(path)?;
        let columns = file.find_inputs(plan.inputs.iter().map(|input| &input.name))?;
        let target_columns =
            plan.targets.iter().map(|target| file.find_all(&target.columns)).collect::<Result<Vec<_>>>()?;
        let weight_column = plan.sample_weight.as_ref().map(|name| file.find(name)).transpose()?;
        file.select(&[&columns[..], &target_columns.concat(), weight_column.as_slice()].concat())?;
        while file.read_row()? {
            row.clear();
            for (input, &column) in input_columns.iter_mut().zip(&columns) {
                row.push(input.read(&*file, column)?);
            }
            inputs.push(&row, &*file, &columns)?;
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
    let targets = targets.into_iter().map(|target| target.finish(len)).collect::<Result<_>>()?;
    let sample_weight = plan.sample_weight.is_some().then(|| Rows::new(sample_weight, &[len])).transpose()?;
    Ok(ReadTable { inputs: inputs.finish(len)?, targets, sample_weight, columns: input_columns })
}

/// Where the inputs of the rows go.
enum Sink<'p> {
    Encoded { columns: &'p [LearntColumn], features: Vec<f32>, inputs: InputsBuilder },
    Raw(RawBuilder),
}

impl Sink<'_> {
    /// Appends the raw numbers of the current row.
    fn push(&mut self, row: &[f64], file: &dyn Table, indices: &[usize]) -> Result<()> {
        match self {
            Sink::Raw(raw) => raw.push(row),
            Sink::Encoded { columns, features, inputs } => {
                features.clear();
                for ((encoding, raw), &index) in columns.iter().zip(row).zip(indices) {
                    encoding.push_features(*raw, features).map_err(|why| match why {
                        Unencodable::Missing => file.bad_cell("a value is missing", index),
                        Unencodable::TooLarge => file.bad_cell(TOO_LARGE, index),
                        Unencodable::NoDate => file.bad_cell("a date is out of range", index),
                    })?;
                }
                features.iter().try_for_each(|feature| inputs.push(*feature))
            }
        }
    }

    fn finish(self, len: usize) -> Result<TableInputs> {
        Ok(match self {
            Sink::Raw(raw) => TableInputs::Raw(raw.finish()?),
            Sink::Encoded { columns, inputs, .. } => {
                let width = columns.iter().map(LearntColumn::width).sum();
                TableInputs::Encoded(inputs.finish(&[len, width])?)
            }
        })
    }
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
