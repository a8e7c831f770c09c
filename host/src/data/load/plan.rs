//! Plans which columns of a table are inputs, and how they are read.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::data::columns::{Categories, LeftOut, Numbers, Treatment, Use, Words, listed_names};
use crate::data::table::{Columns, InputCells, Kind, PlannedInput, ReadColumn, Unusable};
use crate::data::{DataConfig, InputKind, TargetConfig, ValidationConfig};
use crate::text::nearest;
use crate::{Error, Result};

/// In columns that may hold ids or free text, no more distinct words than these are kept: in one column, and in all.
const MOST_WORDS: usize = 100_000;
const MOST_WORDS_IN_ALL: usize = 10_000_000;

const DATES: &str = "dates";

/// An input column that is going to be read.
pub(super) struct PlannedColumn {
    pub name: String,
    pub kind: InputKind,
    pub usage: Use,
}

/// What a column is that isn't an input of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Target,
    Weight,
    Further,
    Group,
}

impl Role {
    /// Returns the role in words.
    pub fn text(self) -> &'static str {
        match self {
            Role::Target => "target",
            Role::Weight => "sample weight",
            Role::Further => "input of a loss or a metric",
            Role::Group => "group of the split",
        }
    }
}

impl PlannedColumn {
    /// Returns whether the column is one of numbers from which nothing is learnt unless values are missing.
    pub fn is_plain(&self) -> bool {
        matches!(self.usage, Use::Number(None | Some(Numbers::None)))
    }
}

impl DataConfig {
    /// Returns what the columns are that the table names for something else than the inputs of the network.
    pub(super) fn roles(&self) -> HashMap<String, Role> {
        let further = self.further_inputs().into_iter().flat_map(|(_, columns)| columns);
        let group = match &self.validation {
            Some(ValidationConfig::Split(split)) => split.by.clone(),
            _ => None,
        };
        let targets = self.target.iter().flat_map(TargetConfig::named).flat_map(|(_, columns)| columns);
        // The last role of a column counts.
        let roles = group.into_iter().map(|name| (name, Role::Group)).chain(further.map(|name| (name, Role::Further)));
        let roles = roles.chain(self.sample_weight.clone().map(|name| (name, Role::Weight)));
        roles.chain(targets.map(|name| (name, Role::Target))).collect()
    }

    /// Checks that the names in `columns` are inputs of the network, or are left out of them.
    pub(super) fn check_column_names(
        &self,
        columns: &Columns,
        path: &Path,
        roles: &HashMap<String, Role>,
    ) -> Result<()> {
        let named: Option<HashSet<&String>> = self.network_inputs().map(|inputs| inputs.as_slice().iter().collect());
        let settings = self.column_settings();
        let names: HashSet<&String> = columns.names.iter().collect();
        for name in self.columns.keys() {
            let key = format!("data.columns.{name}");
            if !names.contains(name) {
                let error = Error::usage(format!("{} has no column \"{name}\"", path.display())).with("in", key);
                return Err(error.near(&nearest(name, columns.names.iter().map(String::as_str))));
            }
            let is_dropped = settings.treatment(name) == Some(Treatment::Drop);
            let message = match (roles.get(name), named.as_ref().map(|named| named.contains(name))) {
                (Some(role @ (Role::Target | Role::Weight)), _) => {
                    format!("the column \"{name}\" is the {}", role.text())
                }
                (_, Some(true)) | (None, None) => continue,
                (_, _) if is_dropped => continue,
                (Some(role), _) => format!("the column \"{name}\" is the {}", role.text()),
                (None, Some(false)) => format!("the column \"{name}\" isn't among data.inputs"),
            };
            return Err(Error::usage(message).with("in", key).hint("data.columns is for the inputs of the network"));
        }
        Ok(())
    }

    /// Plans the inputs that are named.
    pub(super) fn named_inputs(&self, columns: &Columns, names: &[String], path: &Path) -> Result<Vec<PlannedColumn>> {
        let indices: HashMap<&String, usize> = columns.names.iter().zip(0..).collect();
        let settings = self.column_settings();
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
                usage => {
                    let usage = match usage {
                        Use::Category { how, dim, .. } => Use::category(how, dim),
                        usage => usage,
                    };
                    inputs.push(PlannedColumn { name: name.clone(), kind, usage });
                }
            }
        }
        Ok(inputs)
    }

    /// Plans all columns that aren't taken, and records which are left out.
    pub(super) fn default_inputs(
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
                Kind::Text => (Some(InputKind::Word), ""),
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
            let why = match kind {
                _ if treatment == Some(Treatment::Drop) => "as data.columns says",
                Some(InputKind::Word) => "as data.categories says",
                Some(InputKind::Date) if is_asked => "as data.dates says",
                _ => why,
            };
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

    /// Returns the factor by which numbers are multiplied before anything is learnt from them.
    pub(super) fn factor_of(&self, usage: Use) -> f64 {
        if usage == Use::Number(None) { self.scale.unwrap_or(1.0) } else { 1.0 }
    }

    /// Plans to read columns whose encodings aren't known.
    pub(super) fn planned_inputs(&self, columns: &[PlannedColumn]) -> Vec<PlannedInput> {
        let settings = self.column_settings();
        let may_be_dropped = |column: &&PlannedColumn| matches!(column.usage, Use::Category { is_named: false, .. });
        let most = MOST_WORDS.min(MOST_WORDS_IN_ALL / columns.iter().filter(may_be_dropped).count().max(1));
        let planned = |column: &PlannedColumn| PlannedInput {
            name: column.name.clone(),
            cells: match column.usage {
                Use::Category { how: Categories::Auto, is_named: false, .. } => {
                    InputCells::Words { words: Words::default(), most: Some(most) }
                }
                Use::Category { .. } => InputCells::Words { words: Words::default(), most: Some(usize::MAX) },
                Use::Date => InputCells::Dates,
                usage => {
                    let factor = self.factor_of(usage);
                    InputCells::Numbers { known: None, factor, are_quantities: factor != 1.0 || !column.is_plain() }
                }
            },
            missing: settings.missing(&column.name),
            is_lenient: false,
        };
        columns.iter().map(planned).collect()
    }

    /// Returns the columns with the kinds of the numbers that were read, and what is done with these.
    ///
    /// # Errors
    /// Returns an error if the treatment of a column isn't one for its kind.
    pub(super) fn with_kinds(&self, columns: &[PlannedColumn], read: &[ReadColumn]) -> Result<Vec<PlannedColumn>> {
        let settings = self.column_settings();
        let known = |(column, read): (&PlannedColumn, &ReadColumn)| {
            let name = column.name.clone();
            let (kind, usage) = match column.usage {
                Use::Number(_) => {
                    let kind = read.number_kind();
                    (kind, settings.use_of(&name, kind, self.scale.is_some())?)
                }
                usage => (column.kind, usage),
            };
            Ok(PlannedColumn { name, kind, usage })
        };
        columns.iter().zip(read).map(known).collect()
    }
}
