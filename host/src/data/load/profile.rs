//! Describes the columns of tables, and what a run would do with each of them.

use std::collections::HashMap;
use std::path::Path;

use super::expand;
use super::plan::{PlannedColumn, Role};
use crate::data::columns::{
    Categories, ColumnDescription, ColumnSummary, Numbers, RawColumn, TargetValues, Use, learn,
};
use crate::data::config::memory_limit;
use crate::data::format::Format;
use crate::data::table::{Columns, Kind, TableInputs, TablePlan, Unusable, read_table};
use crate::data::{DataConfig, InputKind, Missing};
use crate::{Error, Result};

/// The columns of a table, described for people and programs.
#[derive(Clone, Debug)]
pub struct TableProfile {
    /// The number of rows.
    pub rows: usize,
    /// A description of each column, in the order of the file.
    pub columns: Vec<ColumnDescription>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
}

impl DataConfig {
    /// Describes the columns of the training files, whose paths are relative to the folder `base`, and what a run would
    /// do with each of them. All rows are examined; a run learns from the training rows alone. The table may have no
    /// target yet.
    ///
    /// Cells that a run would refuse are counted and not errors.
    ///
    /// # Errors
    /// Returns an error if the files aren't tables or can't be read, or if the `[data]` table is invalid.
    pub fn profile(&self, base: &Path) -> Result<TableProfile> {
        let paths = expand(self.train_files()?, base)?;
        let format = Format::of_all(&paths)?;
        if !matches!(format, Format::Csv | Format::Parquet) {
            return Err(Error::usage("only the columns of .csv and .parquet files are described")
                .with("found", paths[0].display().to_string()));
        }
        let columns = Columns::of(&paths[0], None)?;
        let roles = self.roles();
        for name in roles.keys() {
            columns.find(name, &paths[0])?;
        }
        self.check_column_names(&columns, &paths[0], &roles)?;
        let (mut left_out, mut notes) = (Vec::new(), Vec::new());
        let mut planned = match self.network_inputs() {
            Some(names) => self.named_inputs(&columns, names.as_slice(), &paths[0])?,
            None => {
                let is_taken = |name: &String| roles.contains_key(name);
                self.default_inputs(&columns, is_taken, (&mut left_out, &mut notes))?
            }
        };
        let inputs = planned.len();
        planned.extend(self.others(&columns, &planned));
        let plan = self.lenient_plan(&planned);
        let (raw, read) = if planned.is_empty() {
            (None, Vec::new())
        } else {
            let read = read_table(&paths, &plan, None, memory_limit(self.in_memory))?;
            match read.inputs {
                TableInputs::Raw(raw) => (Some(raw), read.columns),
                TableInputs::Encoded(_) => (None, read.columns),
            }
        };
        let mut described: HashMap<String, ColumnDescription> =
            left_out.iter().map(|column| (column.name.clone(), column.description())).collect();
        let Some(raw) = raw else {
            let columns = columns.names.iter().filter_map(|name| described.remove(name)).collect();
            return Ok(TableProfile { rows: 0, columns, notes });
        };
        let planned = self.with_kinds(&planned, &read)?;
        let refused: Vec<_> = read.iter().map(|column| column.refused().cloned()).collect();
        let of_raw: Vec<RawColumn> = (planned.into_iter().zip(read))
            .map(|(PlannedColumn { name, kind, usage }, read)| {
                let (words, more) = read.into_words();
                RawColumn { name, kind, usage, missing: Missing::Fill, words, more }
            })
            .collect();
        let rows: Vec<usize> = (0..raw.len()).collect();
        let mut targets = Vec::new();
        raw.for_columns(inputs..of_raw.len(), &rows, |members, values| {
            for (column, values) in of_raw[members].iter().zip(values) {
                let role = roles.get(&column.name).copied();
                if role == Some(Role::Target) {
                    let (name, are_names) = (column.name.clone(), column.words.is_some());
                    targets.push(TargetValues { name, values: values.clone(), are_names });
                }
                let summary = match &column.words {
                    Some(words) => ColumnSummary::of_words(&values, words.names(), column.more).0,
                    None => ColumnSummary::of_numbers(values),
                };
                let treatment = match (role, described.get(&column.name)) {
                    (Some(role), _) if summary.missing > 0 => format!("{}; a run refuses missing ones", role.text()),
                    (Some(role), _) => role.text().to_owned(),
                    (None, Some(left_out)) => left_out.treatment.clone(),
                    (None, None) => "not used".to_owned(),
                };
                let description = ColumnDescription::of(&column.name, Some(column.kind), Some(&summary), treatment);
                described.insert(column.name.clone(), description);
            }
        })?;
        let learnt = learn(&raw, &rows, &of_raw[..inputs], self.scale.unwrap_or(1.0), &targets)?;
        notes.extend(learnt.notes);
        described.extend(learnt.columns.iter().map(|column| (column.name.clone(), column.description())));
        described.extend(learnt.left_out.iter().map(|column| (column.name.clone(), column.description())));
        for (index, (column, refused)) in of_raw.iter().zip(refused).enumerate() {
            let is_used = index < inputs || roles.contains_key(&column.name);
            if let (Some((count, error)), Some(description), true) = (refused, described.get_mut(&column.name), is_used)
            {
                description.refuse(count, &error);
            }
        }
        let columns = columns.names.iter().filter_map(|name| described.remove(name)).collect();
        Ok(TableProfile { rows: rows.len(), columns, notes })
    }

    /// Plans to read the readable columns that aren't `inputs`.
    fn others(&self, columns: &Columns, inputs: &[PlannedColumn]) -> Vec<PlannedColumn> {
        let inputs: std::collections::HashSet<&String> = inputs.iter().map(|column| &column.name).collect();
        let other = |(name, kind): (&String, &Kind)| {
            let number = Use::Number(Some(Numbers::None));
            let (kind, usage) = match kind {
                _ if name.is_empty() || inputs.contains(name) => return None,
                Kind::Number => (InputKind::Number, number),
                Kind::Boolean => (InputKind::Boolean, number),
                Kind::Text => (InputKind::Word, Use::Category { how: Categories::Auto, dim: None, is_named: false }),
                Kind::Date | Kind::Unusable(Unusable::Date) => (InputKind::Date, Use::Date),
                Kind::Unknown | Kind::Unusable(_) => return None,
            };
            Some(PlannedColumn { name: name.clone(), kind, usage })
        };
        columns.names.iter().zip(&columns.kinds).filter_map(other).collect()
    }

    /// Plans to read columns as raw numbers. Cells that a run refuses are counted.
    fn lenient_plan(&self, columns: &[PlannedColumn]) -> TablePlan {
        let mut inputs = self.planned_inputs(columns);
        for input in &mut inputs {
            (input.is_lenient, input.missing) = (true, Missing::Fill);
        }
        TablePlan { inputs, targets: Vec::new(), sample_weight: None }
    }
}
