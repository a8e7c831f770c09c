//! Loads the columns of `.csv` and `.parquet` files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::data::columns::{
    Categories, LearntColumn, LeftOut, MissingValue, Numbers, RawColumn, RawRows, Treatment, Use, Words, listed_names,
};
use crate::data::config::memory_limit;
use crate::data::schema::further_targets;
use crate::data::table::{
    Classes, Columns, InputCells, Kind, PlannedInput, PlannedTarget, ReadColumn, ReadTable, TableInputs, TablePlan,
    Unusable, read_table,
};
use crate::data::{DataConfig, Dataset, InputKind, Inputs, Rows, Schema, TargetConfig};
use crate::text::nearest;
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

    /// Checks that the names in `columns` are inputs of the table.
    fn check_column_names(&self, columns: &Columns, path: &Path, is_taken: impl Fn(&String) -> bool) -> Result<()> {
        let names: HashSet<&String> = columns.names.iter().collect();
        for name in self.columns.keys() {
            let key = format!("data.columns.{name}");
            if !names.contains(name) {
                let error = Error::usage(format!("{} has no column \"{name}\"", path.display())).with("in", key);
                return Err(error.near(&nearest(name, columns.names.iter().map(String::as_str))));
            }
            if is_taken(name) {
                let error = Error::usage(format!("the column \"{name}\" is a target or weight")).with("in", key);
                return Err(error.hint("data.columns is for the inputs"));
            }
        }
        Ok(())
    }

    /// Plans the inputs that are named.
    fn named_inputs(&self, columns: &Columns, names: &[String], path: &Path) -> Result<Vec<PlannedColumn>> {
        let indices: HashMap<&String, usize> = columns.names.iter().zip(0..).collect();
        let mut inputs = Vec::new();
        for name in names {
            let index = match indices.get(name) {
                Some(&index) => index,
                None => columns.find(name, path)?,
            };
            let kind = match &columns.kinds[index] {
                Kind::Unusable(Unusable::Date) | Kind::Date => InputKind::Date,
                // Some of the bytes may be text, so that the error is of the cell.
                Kind::Text | Kind::Unusable(Unusable::Bytes) => InputKind::Word,
                Kind::Unusable(why) => return Err(why.error(name, path)),
                Kind::Boolean => InputKind::Boolean,
                Kind::Number | Kind::Unknown => InputKind::Number,
            };
            let settings = self.column_settings();
            match settings.use_of(name, kind, self.scale.is_some())? {
                Use::Drop if kind == InputKind::Date && settings.treatment(name).is_none() => {
                    return Err(Unusable::Date
                        .error(name, path)
                        .hint(format!("`{name} = \"cyclic\"` in [data.columns] encodes the parts of dates")));
                }
                Use::Drop => {
                    return Err(Error::usage(format!("the column \"{name}\" is an input, and left out"))
                        .with("in", format!("data.columns.{name}"))
                        .hint("remove it from data.inputs, or change its treatment"));
                }
                usage => inputs.push(PlannedColumn { name: name.clone(), kind, usage }),
            }
        }
        Ok(inputs)
    }

    /// Plans all columns that aren't taken, and records which are left out.
    fn default_inputs(
        &self,
        columns: &Columns,
        is_taken: impl Fn(&String) -> bool,
        (left_out, notes): (&mut Vec<LeftOut>, &mut Vec<String>),
    ) -> Result<Vec<PlannedColumn>> {
        let settings = self.column_settings();
        let (mut inputs, mut noted): (Vec<PlannedColumn>, Vec<(&str, Vec<&str>)>) = (Vec::new(), Vec::new());
        for (name, kind) in columns.names.iter().zip(&columns.kinds).filter(|(name, _)| !is_taken(name)) {
            let treatment = settings.treatment(name);
            let (kind, why) = match kind {
                _ if name.is_empty() => (None, "without a name"),
                Kind::Number => (Some(InputKind::Number), ""),
                Kind::Boolean => (Some(InputKind::Boolean), ""),
                Kind::Text => (Some(InputKind::Word), "words"),
                Kind::Date | Kind::Unusable(Unusable::Date) => (Some(InputKind::Date), DATES),
                Kind::Unknown => (None, "no values"),
                Kind::Unusable(Unusable::Time | Unusable::Duration) => (None, "times or durations"),
                Kind::Unusable(Unusable::Lists | Unusable::Bytes | Unusable::Type(_)) => (None, "lists or other types"),
            };
            let usage = match (kind, treatment) {
                (Some(kind), _) => settings.use_of(name, kind, self.scale.is_some())?,
                (None, Some(treatment)) if treatment != Treatment::Drop && why != "no values" => {
                    return Err(Error::usage(format!("the column \"{name}\" can't be an input: {why}"))
                        .with("in", format!("data.columns.{name}")));
                }
                (None, _) => Use::Drop,
            };
            if usage != Use::Drop {
                inputs.extend(kind.map(|kind| PlannedColumn { name: name.clone(), kind, usage }));
                continue;
            }
            let is_asked = treatment == Some(Treatment::Drop)
                || kind == Some(InputKind::Word)
                || kind == Some(InputKind::Date) && self.dates.is_some();
            let why = if is_asked { "data.columns" } else { why };
            left_out.push(LeftOut { name: name.clone(), kind, why: why.into(), summary: None });
            match noted.iter_mut().find(|(reason, _)| *reason == why) {
                _ if is_asked => {}
                Some((_, names)) => names.push(name),
                None => noted.push((why, vec![name])),
            }
        }
        for (why, names) in noted {
            let mut note = format!("columns left out, {why}: {}", listed_names(&names));
            if why == DATES {
                note += &format!("; `{} = \"cyclic\"` in [data.columns] encodes one", names[0]);
            }
            notes.push(note);
        }
        Ok(inputs)
    }

    /// Reads the inputs: encoded if nothing has to be learnt, else as raw numbers.
    fn read_inputs(
        &self,
        paths: &[PathBuf],
        plan: &mut TablePlan,
        inputs: Vec<PlannedColumn>,
    ) -> Result<(ReadTable, Unlearnt)> {
        let (settings, limit) = (self.column_settings(), memory_limit(self.in_memory));
        let scale = self.scale.unwrap_or(1.0);
        let is_plain = |column: &PlannedColumn| matches!(column.usage, Use::Number(None | Some(Numbers::None)));
        let factor = |usage: Use| if usage == Use::Number(None) { scale } else { 1.0 };
        let planned = |column: &PlannedColumn| PlannedInput {
            name: column.name.clone(),
            cells: match column.usage {
                Use::Category(Categories::Auto, _) => {
                    InputCells::Words { words: Words::default(), most: Some(MOST_WORDS) }
                }
                Use::Category(..) => InputCells::Words { words: Words::default(), most: Some(usize::MAX) },
                Use::Date => InputCells::Dates,
                usage => InputCells::Numbers {
                    known: None,
                    factor: factor(usage),
                    are_quantities: factor(usage) != 1.0 || !is_plain(column),
                },
            },
            missing: settings.missing(&column.name),
        };
        plan.inputs = inputs.iter().map(planned).collect();
        // The kinds of columns are known once they are read.
        let with_kinds = |read: &ReadTable| -> Result<Vec<PlannedColumn>> {
            let known = |(column, read): (&PlannedColumn, &ReadColumn)| {
                let is_number = matches!(column.usage, Use::Number(_));
                let kind = if is_number { read.number_kind() } else { column.kind };
                let usage = settings.use_of(&column.name, kind, self.scale.is_some())?;
                Ok(PlannedColumn { name: column.name.clone(), kind, usage })
            };
            inputs.iter().zip(&read.columns).map(known).collect()
        };
        if inputs.iter().all(is_plain) {
            let encoding = |column: &PlannedColumn| {
                let scaling = (column.usage != Use::Number(None)).then_some(Numbers::None);
                let scaled = LearntColumn::scaled(column.name.clone(), column.kind, factor(column.usage), scaling);
                // If values are missing, the columns are read again.
                LearntColumn { missing: MissingValue::Fill { value: f64::NAN, indicator: false }, ..scaled }
            };
            let encodings: Vec<LearntColumn> = inputs.iter().map(encoding).collect();
            let read = read_table(paths, plan, Some(&encodings), limit)?;
            let columns = with_kinds(&read)?;
            let is_whole = !read.columns.iter().any(|column| column.later().has_missing());
            if is_whole && columns.iter().all(is_plain) {
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
        let columns = with_kinds(&read)?;
        let raw = |(column, read): (PlannedColumn, ReadColumn)| {
            let (words, more) = read.into_words();
            let missing = settings.missing(&column.name);
            RawColumn { name: column.name, kind: column.kind, usage: column.usage, missing, words, more }
        };
        let columns = columns.into_iter().zip(std::mem::take(&mut read.columns)).map(raw).collect();
        Ok((read, Unlearnt::Columns(columns)))
    }
}

/// In a column that may hold ids or free text, no more distinct words than these are kept.
const MOST_WORDS: usize = 100_000;

const DATES: &str = "dates";

/// An input column that is going to be read.
struct PlannedColumn {
    name: String,
    kind: InputKind,
    usage: Use,
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
