//! Loads datasets from the `[data]` table.

mod arrays;
mod columns;
mod encode;
mod plan;
mod profile;
mod split;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use self::profile::TableProfile;
use super::columns::Numbers;
use super::config::{DataConfig, InputsConfig, OneOrMany, TargetConfig, ValidationConfig, memory_limit};
use super::dataset::Dataset;
use super::format::Format;
use super::schema::Schema;
use crate::files::{is_pattern, name_of, path_of};
use crate::text::grouped;
use crate::{Error, Result};

/// The datasets of a `[data]` table and their description.
#[derive(Clone, Debug)]
pub struct LoadedData {
    /// The training samples.
    pub train: Dataset,
    /// The validation samples, if any.
    pub validation: Option<Dataset>,
    /// How to read further files for a run trained on this data.
    pub schema: Schema,
    /// The file names for display: "digits.csv".
    pub source: String,
    /// A summary for display: "1,437 train, 360 validation; 64 inputs, 10 classes".
    pub description: String,
    /// Notes for the user, one sentence each, such as which columns were left out.
    pub notes: Vec<String>,
}

impl DataConfig {
    /// Returns the table with all names and patterns, which are relative to the folder `base`, replaced by absolute
    /// paths. Patterns are expanded here, so that files created later aren't added. A path that isn't UTF-8, or would
    /// be parsed as a pattern, becomes a `file://` URL.
    ///
    /// # Errors
    /// Returns an error if no file matches a pattern, or the format of a file is unknown.
    pub fn absolute(&self, base: &Path) -> Result<Self> {
        let base = std::path::absolute(base)
            .map_err(|error| Error::failure(format!("cannot find the folder {}: {error}", base.display())))?;
        let files = |names: &Option<OneOrMany>| -> Result<Option<OneOrMany>> {
            let Some(names) = names else { return Ok(None) };
            let paths = expand(names, &base)?;
            Ok(Some(match &paths[..] {
                [path] => OneOrMany::One(name_of(path)),
                paths => OneOrMany::Many(paths.iter().map(|path| name_of(path)).collect()),
            }))
        };
        let mut config = DataConfig {
            file: files(&self.file)?,
            train: files(&self.train)?,
            validation: match &self.validation {
                Some(ValidationConfig::Files(names)) => files(&Some(names.clone()))?.map(ValidationConfig::Files),
                split => split.clone(),
            },
            ..self.clone()
        };
        let npy = |names: &Option<OneOrMany>| match names.as_ref().map(OneOrMany::as_slice) {
            Some([name, ..]) => Format::of(&path_of(name, &base)).is_ok_and(|format| format == Format::Npy),
            _ => false,
        };
        if npy(&config.file) || npy(&config.train) {
            let absolute_name = |name: &String| name_of(&path_of(name, &base));
            let all = |names: &OneOrMany| match names {
                OneOrMany::One(name) => OneOrMany::One(absolute_name(name)),
                OneOrMany::Many(names) => OneOrMany::Many(names.iter().map(absolute_name).collect()),
            };
            config.target = config.target.as_ref().map(|target| match target {
                TargetConfig::Columns(names) => TargetConfig::Columns(all(names)),
                TargetConfig::Outputs(outputs) => {
                    TargetConfig::Outputs(outputs.iter().map(|(output, names)| (output.clone(), all(names))).collect())
                }
            });
            config.inputs = config.inputs.as_ref().map(|inputs| match inputs {
                InputsConfig::Columns(names) => InputsConfig::Columns(names.clone()),
                InputsConfig::Named(table) => {
                    InputsConfig::Named(table.iter().map(|(input, names)| (input.clone(), all(names))).collect())
                }
            });
            config.sample_weight = config.sample_weight.as_ref().map(absolute_name);
        }
        Ok(config)
    }

    /// Loads the files; paths are relative to the folder `base`.
    ///
    /// # Errors
    /// Returns an error if the table is invalid or a file can't be read. The error reports file, line and column.
    pub fn load(&self, base: &Path) -> Result<LoadedData> {
        self.load_as(base, None)
    }

    /// Loads the files for a run that was trained on data of this schema.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`load`](Self::load), and if the files or the table don't match the
    /// schema.
    pub fn load_again(&self, base: &Path, schema: &Schema) -> Result<LoadedData> {
        self.load_as(base, Some(schema))
    }

    fn load_as(&self, base: &Path, known: Option<&Schema>) -> Result<LoadedData> {
        let scale = self.scale.unwrap_or(1.0);
        if !scale.is_finite() || scale == 0.0 {
            return Err(Error::usage(format!("data.scale must be a number other than 0, not {scale}")));
        }
        if let (Some(_), Some(Numbers::Standard | Numbers::Minmax)) = (self.scale, self.numbers) {
            return Err(
                Error::usage("data has both \"scale\" and \"numbers\"; one is enough").with("in", "data.numbers")
            );
        }
        let split = self.split()?;
        let train_paths = expand(self.train_files()?, base)?;
        let mut notes = Vec::new();
        let format = Format::of_all(&train_paths)?;
        if let Some(schema) = known {
            schema.check_config(self, format)?;
        }
        let limit = memory_limit(self.in_memory);
        let is_table = matches!(format, Format::Csv | Format::Parquet);
        if let (Some(key), false) = (self.column_settings().first_key(), is_table) {
            return Err(Error::usage(format!("data.{key} is for the columns of tables, and these files are arrays"))
                .with("in", format!("data.{key}")));
        }
        let (mut train, mut schema, raw) = match (format, known) {
            (Format::Npy, known) => {
                let (train, schema) = self.load_npy(&train_paths, base, known)?;
                (train, schema, None)
            }
            (_, Some(schema)) => (schema.read_within(&train_paths, limit, &mut notes)?, schema.clone(), None),
            (Format::Csv | Format::Parquet, None) => self.load_table(&train_paths, &mut notes)?,
            (Format::Npz, None) => {
                let (train, schema) = self.load_npz(&train_paths)?;
                (train, schema, None)
            }
        };
        match known {
            Some(known) => known.check(&train, &train_paths)?,
            None => {
                for (target, loaded) in schema.targets.iter_mut().zip(train.targets()) {
                    target.class_names.clone_from(&loaded.class_names);
                    target.shape = Some(loaded.values.row_shape().to_vec());
                }
            }
        }
        if train.is_empty() {
            return Err(Error::failure(format!("{} has no samples", names_of(&train_paths))));
        }
        if raw.is_some() {
            train = train.with_row_numbers()?;
        }
        let (mut train, mut validation) = match split {
            Some(split) => {
                let files = (&train_paths[..], format, base);
                let (train, validation) = self.split_samples(&split, train, files, &mut notes)?;
                (train, Some(validation))
            }
            None => (train, None),
        };
        if let Some(raw) = raw {
            (train, validation) = encode::encode(raw, (train, validation), &mut schema, limit, &mut notes)?;
        }
        schema.input_shape = train.inputs().row_shape().to_vec();
        let mut paths = train_paths;
        if let Some(files) = self.validation_files() {
            let validation_paths = expand(files, base)?;
            let mut later = Vec::new();
            validation = Some(schema.read(&validation_paths, &mut later)?);
            notes.extend(later.into_iter().map(|note| format!("in the validation rows: {note}")));
            paths.extend(validation_paths);
        }
        if let Some(validation) = &validation {
            split::note_single_class(&train, validation, &mut notes);
        }
        let description = describe(&train, validation.as_ref(), &schema);
        Ok(LoadedData { train, validation, schema, source: names_of(&paths), description, notes })
    }

    fn train_files(&self) -> Result<&OneOrMany> {
        match (&self.file, &self.train) {
            (Some(files), None) | (None, Some(files)) => Ok(files),
            (Some(_), Some(_)) => Err(Error::usage("data has both \"file\" and \"train\"; one is enough")),
            (None, None) => {
                Err(Error::usage("data names no file").hint("such as file = \"digits.csv\", or train and validation"))
            }
        }
    }
}

/// Expands names and patterns to paths, in order; the files of one pattern are sorted.
fn expand(names: &OneOrMany, base: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for name in names.as_slice() {
        let path = path_of(name, base);
        if path.exists() || !is_pattern(name) {
            paths.push(path);
            continue;
        }
        // Escape the folder: only the name is a pattern.
        let pattern = Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(name);
        let found = glob::glob(&pattern.to_string_lossy())
            .map_err(|error| Error::usage(format!("the pattern \"{name}\" can't be parsed: {}", error.msg)))?;
        let before = paths.len();
        for path in found {
            paths.push(path.map_err(|error| Error::failure(format!("cannot look for \"{name}\": {error}")))?);
        }
        if paths.len() == before {
            return Err(
                Error::usage(format!("no file fits the pattern \"{name}\"")).with("in", base.display().to_string())
            );
        }
        paths[before..].sort();
    }
    if paths.is_empty() { Err(Error::usage("data names no file")) } else { Ok(paths) }
}

fn names_of(paths: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match paths {
        [first, .., last] if paths.len() > 3 => format!("{} … {} ({} files)", name(first), name(last), paths.len()),
        _ => paths.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Formats a summary such as "1,437 train, 360 validation; 64 inputs, 10 classes".
fn describe(train: &Dataset, validation: Option<&Dataset>, schema: &Schema) -> String {
    let mut text = format!("{} train", grouped(train.len()));
    if let Some(validation) = validation {
        text += &format!(", {} validation", grouped(validation.len()));
    }
    text += &match train.inputs().row_shape() {
        [] | [1] => "; 1 input".to_owned(),
        [inputs] => format!("; {} inputs", grouped(*inputs)),
        shape => format!("; inputs of {}", shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")),
    };
    if !schema.columns.is_empty() && train.inputs().row_shape() != [schema.columns.len()] {
        text += &match schema.columns.len() {
            1 => " from 1 column".to_owned(),
            columns => format!(" from {} columns", grouped(columns)),
        };
    }
    for target in train.targets() {
        let classes = target.class_names.as_ref().map(Vec::len).or_else(|| target.values.label_count());
        text += &match classes {
            Some(classes) if train.targets().len() == 1 => format!(", {} classes", grouped(classes)),
            Some(classes) => format!(", {} ({} classes)", target.name, grouped(classes)),
            None => format!(", target {}", target.name),
        };
    }
    text
}
