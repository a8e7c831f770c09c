//! What a network was trained to read, stored with the run: later files are read in the same way.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::memory_limit;
use super::dataset::{Dataset, Target};
use super::inputs::Inputs;
use super::load::{Format, read_npy_inputs};
use super::npz::Npz;
use super::table::{Classes, PlannedTarget, TablePlan, read_table};
use crate::{Error, Result};

/// The columns or arrays that a run was trained on, and what its classes are called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The input columns (CSV), or the one input array (.npz; .npy: none).
    pub inputs: Vec<String>,
    /// The shape of one sample.
    pub input_shape: Vec<usize>,
    /// The targets.
    pub targets: Vec<TargetSchema>,
    /// The column or array of weights, if there was one.
    pub sample_weight: Option<String>,
    /// What the inputs were multiplied by.
    pub scale: Option<f64>,
}

/// A target in a [`Schema`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSchema {
    /// The output's name where the configuration gave one, else the column's.
    pub name: String,
    /// Its columns, or its array.
    pub columns: Vec<String>,
    /// What the labels 0, 1, ... stand for, if the values were words.
    pub class_names: Option<Vec<String>>,
}

impl Schema {
    /// Reads files with inputs, targets and weights: to validate or evaluate.
    ///
    /// # Errors
    /// If a file can't be read, lacks a column or array, or its samples have another shape.
    pub fn read(&self, paths: &[PathBuf]) -> Result<Dataset> {
        let targets = self.targets.iter().map(|target| PlannedTarget {
            name: target.name.clone(),
            columns: target.columns.clone(),
            classes: target.class_names.clone().map_or(Classes::None, Classes::Known),
        });
        let dataset = match Format::of_all(paths)? {
            Format::Csv | Format::Parquet => self.read_table(paths, targets.collect(), self.sample_weight.clone())?,
            Format::Npz => read_npz(paths, self)?,
            Format::Npy => {
                return Err(Error::usage("an .npy file holds inputs alone")
                    .hint("put inputs and targets into one file with numpy.savez, as arrays \"x\" and \"y\""));
            }
        };
        self.check_shape(dataset.inputs(), paths)?;
        Ok(dataset)
    }

    /// Reads files with inputs, whatever else is in them: to predict.
    ///
    /// # Errors
    /// If a file can't be read, lacks an input, or its samples have another shape.
    pub fn read_inputs(&self, paths: &[PathBuf]) -> Result<Inputs> {
        let dataset = match Format::of_all(paths)? {
            Format::Csv | Format::Parquet => self.read_table(paths, Vec::new(), None)?,
            Format::Npz => read_npz(paths, &Schema { targets: Vec::new(), sample_weight: None, ..self.clone() })?,
            Format::Npy => Dataset::new(read_npy_inputs(only(paths)?, self.scale)?, Vec::new(), None)?,
        };
        self.check_shape(dataset.inputs(), paths)?;
        Ok(dataset.into_inputs())
    }

    fn read_table(
        &self,
        paths: &[PathBuf],
        targets: Vec<PlannedTarget>,
        sample_weight: Option<String>,
    ) -> Result<Dataset> {
        let plan = TablePlan { inputs: self.inputs.clone(), targets, sample_weight };
        read_table(paths, &plan, self.scale, memory_limit(None))
    }

    fn check_shape(&self, inputs: &Inputs, paths: &[PathBuf]) -> Result<()> {
        if inputs.row_shape() == self.input_shape {
            return Ok(());
        }
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let (got, want) = (inputs.row_shape(), &self.input_shape);
        Err(Error::usage(format!("{} has samples of shape {got:?}; it was trained on {want:?}", names.join(", "))))
    }
}

/// Reads the arrays that the schema names from one .npz.
pub fn read_npz(paths: &[PathBuf], schema: &Schema) -> Result<Dataset> {
    let path = only(paths)?;
    let mut file = Npz::open(path)?;
    let place = |name: &str| format!("{}, {name}", path.display());
    let mut read = |name: &str| file.read(name)?.check_finite(path, name);
    let [inputs] = &schema.inputs[..] else {
        return Err(Error::usage("an .npz has its inputs in one array").with("found", schema.inputs.join(", ")));
    };
    let inputs = read(inputs)?.into_inputs(schema.scale, &place(inputs))?;
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
    let weights = |name: &str| read(name)?.into_weights(&place(name));
    let sample_weight = schema.sample_weight.as_deref().map(weights).transpose()?;
    Dataset::new(inputs, targets, sample_weight)
}

/// The one path there is.
pub fn only(paths: &[PathBuf]) -> Result<&Path> {
    match paths {
        [path] => Ok(path),
        _ => Err(Error::usage("several files at once are read only as .csv or .parquet")
            .with("found", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))),
    }
}
