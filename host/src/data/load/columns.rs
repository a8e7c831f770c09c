//! Loads the columns of `.csv` and `.parquet` files.

use std::path::PathBuf;

use crate::data::config::memory_limit;
use crate::data::schema::further_targets;
use crate::data::table::{Classes, Columns, Kind, PlannedTarget, TablePlan, Unusable, read_table};
use crate::data::{DataConfig, Dataset, Schema, TargetConfig};
use crate::{Error, Result};

impl DataConfig {
    /// Loads tables with the same columns. Adds to `notes` which columns are left out.
    pub(super) fn load_table(&self, paths: &[PathBuf], notes: &mut Vec<String>) -> Result<(Dataset, Schema)> {
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
                [Kind::Text | Kind::Boolean] => Classes::Learn,
                kinds if kinds.contains(&&Kind::Text) => {
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
                kinds if kinds.contains(&&Kind::Text) => "words, and needs numbers",
                _ => continue,
            };
            return Err(Error::usage(format!("the input \"{name}\" has {why}")).with("in", "data.inputs"));
        }
        let is_taken = |name: &String| {
            self.sample_weight.as_ref() == Some(name) || targets.iter().any(|target| target.columns.contains(name))
        };
        let inputs = match self.network_inputs() {
            Some(inputs) => {
                if let Some(name) = inputs.as_slice().iter().find(|name| is_taken(name)) {
                    return Err(Error::usage(format!("the column \"{name}\" is an input and a target or weight")));
                }
                inputs.as_slice().to_vec()
            }
            None => {
                // An input of a loss or a metric, such as a group, is no input of the network unless that is said.
                let is_further = |name: &String| further.iter().any(|(_, columns)| columns.contains(name));
                numeric_inputs(&columns, |name| is_taken(name) || is_further(name), notes)
            }
        };
        if inputs.is_empty() {
            return Err(Error::usage(format!("{} has no column of numbers beside the target", path.display())));
        }
        let own = targets.len();
        targets.extend(further_targets(&further));
        let plan = TablePlan { inputs, kinds: Vec::new(), targets, sample_weight: self.sample_weight.clone() };
        let (dataset, kinds) = read_table(paths, &plan, self.scale, memory_limit(self.in_memory))?;
        let dataset = dataset.with_last_targets_as_inputs(further.len())?;
        let targets = plan.targets.into_iter().take(own).map(|target| (target.name, target.columns)).collect();
        Ok((dataset, Schema { kinds, ..Schema::of_config(self, plan.inputs, targets) }))
    }
}

/// Returns all numeric columns that aren't taken, and notes which other columns are left out.
fn numeric_inputs(columns: &Columns, is_taken: impl Fn(&String) -> bool, notes: &mut Vec<String>) -> Vec<String> {
    let mut inputs = Vec::new();
    let (mut words, mut empty, mut times, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, kind) in columns.names.iter().zip(&columns.kinds).filter(|(name, _)| !is_taken(name)) {
        match kind {
            _ if name.is_empty() => notes.push("a column without a name is left out".to_owned()),
            Kind::Number | Kind::Boolean => inputs.push(name.clone()),
            Kind::Text => words.push(name.as_str()),
            Kind::Unknown => empty.push(name.as_str()),
            Kind::Unusable(Unusable::Time | Unusable::Duration) => times.push(name.as_str()),
            Kind::Unusable(Unusable::Lists | Unusable::Bytes | Unusable::Type(_)) => others.push(name.as_str()),
        }
    }
    let left_out = [
        (words, "not numbers"),
        (empty, "nothing in them"),
        (times, "dates, times or durations"),
        (others, "lists or other types"),
    ];
    for (names, why) in left_out {
        if !names.is_empty() {
            notes.push(format!("columns left out, {why}: {}", names.join(", ")));
        }
    }
    inputs
}
