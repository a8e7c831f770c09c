//! Loads the columns of `.csv` and `.parquet` files.

use std::path::PathBuf;

use super::plan::{PlannedColumn, Role};
use crate::data::columns::{LearntColumn, MissingValue, Numbers, RawColumn, RawRows, Use};
use crate::data::config::memory_limit;
use crate::data::schema::further_targets;
use crate::data::table::{Classes, Columns, Kind, PlannedTarget, ReadColumn, TableInputs, TablePlan, read_table};
use crate::data::{DataConfig, Dataset, Inputs, OneOrMany, Rows, Schema, Target, TargetConfig};
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
        // The groups of a split and the inputs of a loss or a metric are no inputs of the network unless that is said.
        let roles = self.roles();
        self.check_column_names(&columns, path, &roles)?;
        let mut left_out = Vec::new();
        let inputs = match self.network_inputs().map(OneOrMany::as_slice) {
            Some(names) => {
                let is_taken = |name: &&String| matches!(roles.get(*name), Some(Role::Target | Role::Weight));
                if let Some(name) = names.iter().find(is_taken) {
                    return Err(Error::usage(format!("the column \"{name}\" is an input and a target or weight")));
                }
                self.named_inputs(&columns, names, path)?
            }
            None => self.default_inputs(&columns, |name| roles.contains_key(name), (&mut left_out, notes))?,
        };
        if inputs.is_empty() {
            return Err(Error::usage(format!("{} has no column for the inputs beside the target", path.display())));
        }
        let own = targets.len();
        targets.extend(further_targets(&further));
        let mut plan = TablePlan { inputs: Vec::new(), targets, sample_weight: self.sample_weight.clone() };
        let (read, inputs) = self.read_columns(paths, &mut plan, inputs)?;
        let targets = plan.targets.into_iter().take(own).map(|target| (target.name, target.columns)).collect();
        let schema = Schema { left_out, ..Schema::of_config(self, Vec::new(), targets) };
        let (inputs, schema, raw) = match inputs {
            LoadedInputs::Encoded(inputs, columns) => {
                let names = columns.iter().map(|column| column.name.clone()).collect();
                let kinds = columns.iter().map(|column| column.kind).collect();
                (inputs, Schema { inputs: names, kinds, columns, ..schema }, None)
            }
            // The features replace the empty inputs once the encodings are learnt.
            LoadedInputs::Raw(table) => {
                (Inputs::Memory(Rows::new(Vec::new(), &[table.raw.len(), 0])?), schema, Some(table))
            }
        };
        let dataset = Dataset::new(inputs, read.targets, read.sample_weight)?;
        Ok((dataset.with_last_targets_as_inputs(further.len())?, schema, raw))
    }

    /// Reads the columns of `plan`, whose inputs are set to `inputs`. These are encoded if nothing has to be learnt, else
    /// they are raw numbers.
    fn read_columns(
        &self,
        paths: &[PathBuf],
        plan: &mut TablePlan,
        inputs: Vec<PlannedColumn>,
    ) -> Result<(ReadTargets, LoadedInputs)> {
        let (settings, limit) = (self.column_settings(), memory_limit(self.in_memory));
        plan.inputs = self.planned_inputs(&inputs);
        if inputs.iter().all(PlannedColumn::is_plain) {
            let encoding = |column: &PlannedColumn| {
                let scaling = (column.usage != Use::Number(None)).then_some(Numbers::None);
                let factor = self.factor_of(column.usage);
                let scaled = LearntColumn::scaled(column.name.clone(), column.kind, factor, scaling);
                // If values are missing, the columns are read again.
                LearntColumn { missing: MissingValue::Fill { value: f64::NAN, indicator: false }, ..scaled }
            };
            let encodings: Vec<LearntColumn> = inputs.iter().map(encoding).collect();
            let read = read_table(paths, plan, Some(&encodings), limit)?;
            let columns = self.with_kinds(&inputs, &read.columns)?;
            let is_whole = !read.columns.iter().any(|column| column.later().has_missing());
            if let (TableInputs::Encoded(inputs), true) =
                (read.inputs, is_whole && columns.iter().all(PlannedColumn::is_plain))
            {
                let finish = |(encoding, column): (LearntColumn, PlannedColumn)| LearntColumn {
                    kind: column.kind,
                    missing: MissingValue::Error,
                    ..encoding
                };
                let columns = encodings.into_iter().zip(columns).map(finish).collect();
                let targets = ReadTargets { targets: read.targets, sample_weight: read.sample_weight };
                return Ok((targets, LoadedInputs::Encoded(inputs, columns)));
            }
        }
        let read = read_table(paths, plan, None, limit)?;
        let columns = self.with_kinds(&inputs, &read.columns)?;
        let raw_column = |(column, read): (PlannedColumn, ReadColumn)| {
            let (words, more) = read.into_words();
            let missing = settings.missing(&column.name);
            RawColumn { name: column.name, kind: column.kind, usage: column.usage, missing, words, more }
        };
        let columns = columns.into_iter().zip(read.columns).map(raw_column).collect();
        let TableInputs::Raw(raw) = read.inputs else {
            return Err(Error::failure("the inputs were read as features, not as raw numbers"));
        };
        let targets = ReadTargets { targets: read.targets, sample_weight: read.sample_weight };
        Ok((targets, LoadedInputs::Raw(RawTable { raw, columns })))
    }
}

/// The columns that aren't inputs.
struct ReadTargets {
    targets: Vec<Target>,
    sample_weight: Option<Rows<f32>>,
}

/// The inputs of a table.
enum LoadedInputs {
    /// Features, and how they are encoded.
    Encoded(Inputs, Vec<LearntColumn>),
    /// Raw numbers, whose encodings have to be learnt.
    Raw(RawTable),
}

/// The raw numbers of the input columns of a table.
pub(super) struct RawTable {
    pub raw: RawRows,
    pub columns: Vec<RawColumn>,
}
