//! Loads the columns of `.csv` and `.parquet` files.

use std::path::PathBuf;

use super::plan::PlannedColumn;
use crate::data::columns::{LearntColumn, MissingValue, Numbers, RawColumn, RawRows, Use};
use crate::data::config::memory_limit;
use crate::data::schema::further_targets;
use crate::data::table::{
    Classes, Columns, Kind, PlannedTarget, ReadColumn, ReadTable, TableInputs, TablePlan, read_table,
};
use crate::data::{DataConfig, Dataset, Inputs, Rows, Schema, TargetConfig};
use crate::{Error, Result};

impl DataConfig {
    /// Loads tables with the same columns. Adds to `notes` which columns are left out. If the encodings of the inputs
    /// have to be learnt, the inputs of the dataset are empty, and the raw numbers are returned beside it.
    pub(super) fn load_table(
        &self,
        paths: &[PathBuf],
        notes: &mut Vec<String>,
    ) -> Result<(Dataset, Schema, Option<RawTable>)> {
        let path = &paths[0];
        let further = self.further_inputs();
        let used = self.network_inputs().map(|inputs| {
            let targets = self.target.iter().flat_map(TargetConfig::named).flat_map(|(_, columns)| columns);
            let further = further.iter().flat_map(|(_, columns)| columns.clone());
            let inputs = inputs.as_slice().iter().cloned().chain(targets).chain(further);
            inputs.chain(self.sample_weight.clone()).collect::<Vec<_>>()
        });
        let columns = Columns::of(path, used.as_deref())?;
        let target = self.target.as_ref().ok_or_else(|| {
            Error::usage("data names no target").hint(match columns.names.last() {
                Some(last) => format!("a column, such as target = \"{last}\""),
                None => "a column of the file".to_owned(),
            })
        })?;
        let mut targets = Vec::new();
        for (name, target_columns) in target.named() {
            let kinds = target_columns.iter().map(|column| Ok(&columns.kinds[columns.find(column, path)?]));
            let kinds = kinds.collect::<Result<Vec<_>>>()?;
            let classes = match &kinds[..] {
                [] => return Err(Error::usage(format!("the target \"{name}\" has no columns"))),
                // A column that starts with booleans may contain words further down.
                [Kind::Text | Kind::Date | Kind::Boolean] => Classes::Learn,
                kinds if kinds.iter().any(|kind| matches!(kind, Kind::Text | Kind::Date)) => {
                    return Err(Error::usage(format!("the target \"{name}\" has words among its columns"))
                        .hint("words are class names, and need a target of one column"));
                }
                _ => Classes::None,
            };
            targets.push(PlannedTarget { name, columns: target_columns, classes });
        }
        for (name, columns_of_input) in &further {
            let mut kinds = Vec::new();
            for column in columns_of_input {
                kinds.push(&columns.kinds[columns.find(column, path)?]);
            }
            let why = match &kinds[..] {
                [] => "no columns",
                kinds if kinds.iter().any(|kind| matches!(kind, Kind::Text | Kind::Date)) => "words, and needs numbers",
                _ => continue,
            };
            return Err(Error::usage(format!("the input \"{name}\" has {why}")).with("in", "data.inputs"));
        }
        let is_taken = |name: &String| {
            self.sample_weight.as_ref() == Some(name) || targets.iter().any(|target| target.columns.contains(name))
        };
        self.check_column_names(&columns, path, is_taken)?;
        let is_further = |name: &String| further.iter().any(|(_, columns)| columns.contains(name));
        let named = match self.network_inputs() {
            Some(inputs) => {
                if let Some(name) = inputs.as_slice().iter().find(|name| is_taken(name)) {
                    return Err(Error::usage(format!("the column \"{name}\" is an input and a target or weight")));
                }
                Some(inputs.as_slice())
            }
            None => None,
        };
        let mut left_out = Vec::new();
        let inputs = match named {
            Some(names) => self.named_inputs(&columns, names, path)?,
            // An input of a loss or a metric, such as a group, is no input of the network unless that is said.
            None => self.default_inputs(&columns, |name| is_taken(name) || is_further(name), (&mut left_out, notes))?,
        };
        if inputs.is_empty() {
            return Err(Error::usage(format!("{} has no column for the inputs beside the target", path.display())));
        }
        let own = targets.len();
        targets.extend(further_targets(&further));
        let mut plan = TablePlan { inputs: Vec::new(), targets, sample_weight: self.sample_weight.clone() };
        let (read, unlearnt) = self.read_inputs(paths, &mut plan, inputs)?;
        let named = plan.targets.into_iter().take(own).map(|target| (target.name, target.columns)).collect();
        let names = |columns: &[LearntColumn]| columns.iter().map(|column| column.name.clone()).collect();
        let schema = Schema::of_config(self, Vec::new(), named);
        let (inputs, schema) = match (read.inputs, unlearnt) {
            (TableInputs::Encoded(inputs), Unlearnt::Nothing(columns)) => {
                let kinds = columns.iter().map(|column| column.kind).collect();
                (inputs, (Schema { inputs: names(&columns), kinds, columns, left_out, ..schema }, None))
            }
            (TableInputs::Raw(raw), Unlearnt::Columns(columns)) => {
                // The features replace these inputs once they are learnt.
                let none = Inputs::Memory(Rows::new(Vec::new(), &[raw.len(), 0])?);
                (none, (Schema { left_out, ..schema }, Some(RawTable { raw, columns })))
            }
            _ => return Err(Error::failure("the inputs weren't read as planned")),
        };
        let dataset = Dataset::new(inputs, read.targets, read.sample_weight)?;
        let dataset = dataset.with_last_targets_as_inputs(further.len())?;
        Ok((dataset, schema.0, schema.1))
    }

    /// Reads the inputs: encoded if nothing has to be learnt, else as raw numbers.
    fn read_inputs(
        &self,
        paths: &[PathBuf],
        plan: &mut TablePlan,
        inputs: Vec<PlannedColumn>,
    ) -> Result<(ReadTable, Unlearnt)> {
        let (settings, limit) = (self.column_settings(), memory_limit(self.in_memory));
        plan.inputs = self.planned_inputs(&inputs);
        if inputs.iter().all(PlannedColumn::is_plain) {
            let encoding = |column: &PlannedColumn| {
                let scaling = (column.usage != Use::Number(None)).then_some(Numbers::None);
                let scaled =
                    LearntColumn::scaled(column.name.clone(), column.kind, self.factor_of(column.usage), scaling);
                // If values are missing, the columns are read again.
                LearntColumn { missing: MissingValue::Fill { value: f64::NAN, indicator: false }, ..scaled }
            };
            let encodings: Vec<LearntColumn> = inputs.iter().map(encoding).collect();
            let read = read_table(paths, plan, Some(&encodings), limit)?;
            let columns = self.with_kinds(&inputs, &read.columns)?;
            let is_whole = !read.columns.iter().any(|column| column.later().has_missing());
            if is_whole && columns.iter().all(PlannedColumn::is_plain) {
                let finish = |(encoding, column): (LearntColumn, PlannedColumn)| LearntColumn {
                    kind: column.kind,
                    missing: MissingValue::Error,
                    ..encoding
                };
                let columns = encodings.into_iter().zip(columns).map(finish).collect();
                return Ok((read, Unlearnt::Nothing(columns)));
            }
        }
        let mut read = read_table(paths, plan, None, limit)?;
        let columns = self.with_kinds(&inputs, &read.columns)?;
        let raw = |(column, read): (PlannedColumn, ReadColumn)| {
            let (words, more) = read.into_words();
            let missing = settings.missing(&column.name);
            RawColumn { name: column.name, kind: column.kind, usage: column.usage, missing, words, more }
        };
        let columns = columns.into_iter().zip(std::mem::take(&mut read.columns)).map(raw).collect();
        Ok((read, Unlearnt::Columns(columns)))
    }
}

/// What is known about the encodings of columns that were read.
enum Unlearnt {
    /// Everything.
    Nothing(Vec<LearntColumn>),
    /// Their encodings have to be learnt.
    Columns(Vec<RawColumn>),
}

/// The raw numbers of the input columns of a table.
pub(super) struct RawTable {
    pub raw: RawRows,
    pub columns: Vec<RawColumn>,
}
