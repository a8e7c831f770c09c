//! The schema of the data that a run was trained on. It is stored with the run, to read later files in the same way.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::columns::{
    ColumnDescription, ColumnSettings, Encoder, Encoding, LearntColumn, LeftOut, Missing, MissingValue, Words,
    notes_of_later,
};
use super::config::{DataConfig, memory_limit};
use super::dataset::{Dataset, FurtherInput, Target};
use super::format::{Format, listed, single_path};
use super::input_kind::InputKind;
use super::inputs::Inputs;
use super::numpy::{Npz, read_npy_inputs};
use super::table::{Classes, InputCells, PlannedInput, PlannedTarget, ReadColumn, TableInputs, TablePlan, read_table};
use crate::{Error, Result};

/// The columns or arrays that a run was trained on, and its class names.
///
/// A run stores its schema in `run.json`. `fit --resume`, `evaluate` and `predict` use it to read their files: columns
/// are found by name, in any order and among any other columns. A missing column, a column of another kind, an unknown
/// class, or a different shape of samples or targets is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The input columns (CSV, Parquet), or the input array (.npz; unused for .npy).
    pub inputs: Vec<String>,
    /// The kind of each input column, or of the input array; empty for runs of older versions of plugfit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<InputKind>,
    /// The shape of one sample.
    pub input_shape: Vec<usize>,
    /// The targets.
    pub targets: Vec<TargetSchema>,
    /// The further inputs of losses and metrics: names, and columns or arrays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<(String, Vec<String>)>,
    /// The column or array of sample weights, if any.
    pub sample_weight: Option<String>,
    /// The factor that the inputs were multiplied by.
    pub scale: Option<f64>,
    /// The settings for the columns of a table.
    #[serde(default, skip_serializing_if = "ColumnSettings::is_default")]
    pub settings: ColumnSettings,
    /// How the input columns of a table are encoded, in the order of `inputs`. Empty for arrays, and for runs of older
    /// versions of plugfit, whose numbers were multiplied by `scale`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<LearntColumn>,
    /// The columns of a table that aren't inputs, targets or weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A target in a [`Schema`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSchema {
    /// The name of the output if the configuration names it, else the name of the column.
    pub name: String,
    /// The columns of the target, or its array.
    pub columns: Vec<String>,
    /// The names of the classes 0, 1, ..., if the values were words.
    pub class_names: Option<Vec<String>>,
    /// The shape of the target of one sample; `None` for runs of older versions of plugfit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
}

impl Schema {
    /// Creates the schema of a `[data]` table with these inputs and targets. Kinds, shapes and class names are unknown.
    pub(super) fn of_config(config: &DataConfig, inputs: Vec<String>, targets: Vec<(String, Vec<String>)>) -> Self {
        let target = |(name, columns)| TargetSchema { name, columns, class_names: None, shape: None };
        Schema {
            inputs,
            kinds: Vec::new(),
            input_shape: Vec::new(),
            targets: targets.into_iter().map(target).collect(),
            further: config.further_inputs(),
            sample_weight: config.sample_weight.clone(),
            scale: config.scale,
            settings: config.column_settings(),
            columns: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Returns the names of the features of a table, such as "age" or "city=Paris"; empty for arrays.
    pub fn feature_names(&self) -> Vec<String> {
        match self.columns.is_empty() {
            true => self.inputs.clone(),
            false => self.columns.iter().flat_map(LearntColumn::feature_names).collect(),
        }
    }

    /// Returns the features that are ids of an embedding: the index of the feature, and its column.
    pub fn embedded(&self) -> Vec<(usize, &LearntColumn)> {
        let mut first = 0;
        let with_index = |column: &'_ LearntColumn| {
            let index = first;
            first += column.width();
            index
        };
        let indices: Vec<usize> = self.columns.iter().map(with_index).collect();
        let is_embedded = |column: &LearntColumn| matches!(column.encoding, Encoding::Embedding { .. });
        indices.into_iter().zip(&self.columns).filter(|(_, column)| is_embedded(column)).collect()
    }

    /// Describes the columns of a table: the inputs, and those that were left out.
    pub fn descriptions(&self) -> Vec<ColumnDescription> {
        let inputs = self.columns.iter().map(LearntColumn::description);
        inputs.chain(self.left_out.iter().map(LeftOut::description)).collect()
    }

    /// Returns an encoder for single rows of a table.
    pub fn encoder(&self) -> Encoder {
        Encoder::new(&self.encodings())
    }

    /// Returns how each input column is encoded.
    fn encodings(&self) -> Vec<LearntColumn> {
        if !self.columns.is_empty() {
            return self.columns.clone();
        }
        let kind = |index| self.kinds.get(index).copied().unwrap_or(InputKind::Mixed);
        let scaled = |(index, name): (usize, &String)| {
            LearntColumn::scaled(name.clone(), kind(index), self.scale.unwrap_or(1.0), None)
        };
        self.inputs.iter().enumerate().map(scaled).collect()
    }

    /// Checks that a `[data]` table uses the columns that the run was trained on; `--set` may have changed the table.
    ///
    /// # Errors
    /// Returns a usage error that names the key.
    pub(super) fn check_config(&self, config: &DataConfig, format: Format) -> Result<()> {
        let wrong = |key: &str, was: String| {
            Err(Error::usage(format!("data.{key} isn't what the run was trained with"))
                .with("in", format!("data.{key}"))
                .with("was", was)
                .hint("a resumed run uses the data settings it started with: start a new run to change them"))
        };
        if config.scale.unwrap_or(1.0) != self.scale.unwrap_or(1.0) {
            return wrong("scale", self.scale.unwrap_or(1.0).to_string());
        }
        let settings = config.column_settings();
        if settings != self.settings {
            let key = settings.first_difference(&self.settings);
            let was = serde_json::to_value(&self.settings).map(|was| was[key].to_string()).unwrap_or_default();
            return wrong(key, if was == "null" { "the default".into() } else { was });
        }
        // For .npy, the targets and weights are file names.
        if format == Format::Npy {
            return Ok(());
        }
        let left_out: HashSet<&String> = self.left_out.iter().map(|column| &column.name).collect();
        let is_kept = |name: &&String| !left_out.contains(name);
        if config.network_inputs().is_some_and(|inputs| !inputs.as_slice().iter().filter(is_kept).eq(&self.inputs)) {
            return wrong("inputs", self.inputs.join(", "));
        }
        if config.further_inputs() != self.further {
            let named = |(name, columns): &(String, Vec<String>)| format!("{name} = {}", columns.join(", "));
            return wrong("inputs", self.further.iter().map(named).collect::<Vec<_>>().join("; "));
        }
        let targets = || self.targets.iter().map(|target| (target.name.clone(), target.columns.clone()));
        if config.target.as_ref().is_some_and(|target| !targets().eq(target.named())) {
            return wrong("target", targets().map(|(_, columns)| columns.join(", ")).collect::<Vec<_>>().join("; "));
        }
        if config.sample_weight != self.sample_weight {
            return wrong("sample_weight", self.sample_weight.clone().unwrap_or_else(|| "none".into()));
        }
        Ok(())
    }

    /// Reads files with inputs, targets and weights, for validation or evaluation. Adds to `notes` which columns have
    /// categories that no training row has, or missing values as no training row has.
    ///
    /// # Errors
    /// Returns an error if a file can't be read, a column or array is missing, or the shape of a sample differs.
    pub fn read(&self, paths: &[PathBuf], notes: &mut Vec<String>) -> Result<Dataset> {
        self.read_within(paths, memory_limit(None), notes)
    }

    /// Like [`read`](Self::read), with up to `limit` bytes of inputs in memory.
    pub(super) fn read_within(&self, paths: &[PathBuf], limit: usize, notes: &mut Vec<String>) -> Result<Dataset> {
        let targets = self.targets.iter().map(|target| PlannedTarget {
            name: target.name.clone(),
            columns: target.columns.clone(),
            classes: target.class_names.clone().map_or(Classes::None, Classes::Known),
        });
        let targets = targets.chain(further_targets(&self.further));
        let dataset = match Format::of_all(paths)? {
            Format::Csv | Format::Parquet => {
                let dataset = self.read_table(paths, targets.collect(), self.sample_weight.clone(), limit, notes)?;
                dataset.with_last_targets_as_inputs(self.further.len())?
            }
            Format::Npz => read_npz(paths, self)?.0,
            Format::Npy => {
                return Err(Error::usage("an .npy file contains only inputs")
                    .hint("put inputs and targets into one file with numpy.savez, as arrays \"x\" and \"y\""));
            }
        };
        self.check(&dataset, paths)?;
        Ok(dataset)
    }

    /// Reads the inputs of files, for prediction. Other columns and arrays are ignored. Adds to `notes` as
    /// [`read`](Self::read) does.
    ///
    /// # Errors
    /// Returns an error if a file can't be read, an input is missing, or the shape of a sample differs.
    pub fn read_inputs(&self, paths: &[PathBuf], notes: &mut Vec<String>) -> Result<Inputs> {
        let dataset = match Format::of_all(paths)? {
            Format::Csv | Format::Parquet => self.read_table(paths, Vec::new(), None, memory_limit(None), notes)?,
            Format::Npz => {
                read_npz(
                    paths,
                    &Schema { targets: Vec::new(), further: Vec::new(), sample_weight: None, ..self.clone() },
                )?
                .0
            }
            Format::Npy => {
                let (inputs, _) = read_npy_inputs(single_path(paths)?, self.scale, self.array_kind())?;
                Dataset::new(inputs, Vec::new(), None)?
            }
        };
        self.check_shape(dataset.inputs(), paths)?;
        Ok(dataset.into_inputs())
    }

    /// Returns the kind that a single array of inputs must have, or `None` if any kind is accepted.
    pub(super) fn array_kind(&self) -> Option<InputKind> {
        let (first, rest) = self.kinds.split_first()?;
        rest.iter().all(|kind| kind == first).then_some(*first)
    }

    fn read_table(
        &self,
        paths: &[PathBuf],
        targets: Vec<PlannedTarget>,
        sample_weight: Option<String>,
        limit: usize,
        notes: &mut Vec<String>,
    ) -> Result<Dataset> {
        let encodings = self.encodings();
        let inputs = encodings.iter().map(planned_input).collect();
        let read = read_table(paths, &TablePlan { inputs, targets, sample_weight }, Some(&encodings), limit)?;
        notes.extend(notes_of_later(encodings.iter().zip(read.columns.iter().map(ReadColumn::later))));
        match read.inputs {
            TableInputs::Encoded(inputs) => Dataset::new(inputs, read.targets, read.sample_weight),
            TableInputs::Raw(_) => Err(Error::failure("the inputs weren't encoded")),
        }
    }

    /// Checks the shapes of samples and targets.
    pub(super) fn check(&self, dataset: &Dataset, paths: &[PathBuf]) -> Result<()> {
        self.check_shape(dataset.inputs(), paths)?;
        for (target, found) in self.targets.iter().zip(dataset.targets()) {
            let found = found.values.row_shape();
            if let Some(want) = target.shape.as_ref().filter(|shape| *shape != found) {
                let name = &target.name;
                let message = format!("the target \"{name}\" has the shape {found:?}; the run was trained on {want:?}");
                return Err(Error::usage(message).with("in", listed(paths)));
            }
        }
        Ok(())
    }

    fn check_shape(&self, inputs: &Inputs, paths: &[PathBuf]) -> Result<()> {
        if inputs.row_shape() == self.input_shape {
            return Ok(());
        }
        let (got, want) = (inputs.row_shape(), &self.input_shape);
        Err(Error::usage(format!("{} has samples of shape {got:?}; the run was trained on {want:?}", listed(paths))))
    }
}

/// Plans to read a column whose encoding is known.
pub(super) fn planned_input(column: &LearntColumn) -> PlannedInput {
    let cells = match (&column.encoding, column.categories()) {
        (_, Some(categories)) => InputCells::Words { words: Words::known(categories), most: None },
        (Encoding::Number { shift, factor, .. }, _) => InputCells::Numbers {
            known: Some(column.kind),
            // The encoding checks that its result fits float32.
            factor: 0.0,
            are_quantities: (*shift, *factor) != (0.0, 1.0),
        },
        _ => InputCells::Dates,
    };
    let missing = match column.missing {
        MissingValue::Error => Missing::Error,
        MissingValue::Fill { .. } => Missing::Fill,
    };
    PlannedInput { name: column.name.clone(), cells, missing, is_lenient: false }
}

/// Plans to read further inputs as targets of numbers.
pub(super) fn further_targets(further: &[(String, Vec<String>)]) -> impl Iterator<Item = PlannedTarget> {
    let plan = |(name, columns): &(String, Vec<String>)| PlannedTarget {
        name: name.clone(),
        columns: columns.clone(),
        classes: Classes::None,
    };
    further.iter().map(plan)
}

/// Reads the arrays named by the schema from one .npz file. Also returns the kind of the inputs.
pub fn read_npz(paths: &[PathBuf], schema: &Schema) -> Result<(Dataset, InputKind)> {
    let path = single_path(paths)?;
    let mut file = Npz::open(path)?;
    let place = |name: &str| format!("{}, {name}", path.display());
    let [inputs] = &schema.inputs[..] else {
        return Err(Error::usage("an .npz has its inputs in one array").with("found", schema.inputs.join(", ")));
    };
    let (inputs, kind) = file.read_inputs(inputs, schema.scale, schema.array_kind())?;
    let mut read = |name: &str| file.read(name)?.check_finite(path, name);
    let mut targets = Vec::new();
    for target in &schema.targets {
        let [array] = &target.columns[..] else {
            return Err(Error::usage(format!("the target \"{}\" must be one array", target.name))
                .with("found", target.columns.join(", ")));
        };
        let values = read(array)?;
        values.check_targets(&place(array))?;
        targets.push(Target { name: target.name.clone(), values, class_names: target.class_names.clone() });
    }
    let mut further = Vec::new();
    for (name, columns) in &schema.further {
        let [array] = &columns[..] else {
            return Err(Error::usage(format!("the input \"{name}\" must be one array"))
                .with("found", columns.join(", "))
                .with("in", "data.inputs"));
        };
        further.push(FurtherInput { name: name.clone(), values: read(array)? });
    }
    let weights = |name: &str| read(name)?.into_weights(&place(name));
    let sample_weight = schema.sample_weight.as_deref().map(weights).transpose()?;
    Ok((Dataset::new(inputs, targets, sample_weight)?.with_further(further)?, kind))
}
