//! Loads datasets from the `[data]` table.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::array::{Array, Rows};
use super::config::{DataConfig, OneOrMany, TargetConfig, memory_limit};
use super::dataset::{Dataset, Target};
use super::inputs::{DiskRows, Inputs};
use super::npy::{read_inputs, read_npy};
use super::npz::Npz;
use super::schema::{InputKind, Schema, TargetSchema, only, read_npz};
use super::table::{Columns, Kind, TablePlan, Unusable, read_table};
use super::target_column::{Classes, PlannedTarget};
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
            validation: files(&self.validation)?,
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
        let train_files = match (&self.file, &self.train) {
            (Some(files), None) => files,
            (None, Some(files)) => files,
            (Some(_), Some(_)) => return Err(Error::usage("data has both \"file\" and \"train\"; one is enough")),
            (None, None) => {
                return Err(
                    Error::usage("data names no file").hint("such as file = \"digits.csv\", or train and validation")
                );
            }
        };
        let split = self.validation_split.filter(|split| *split != 0.0);
        if split.is_some() && self.validation.is_some() {
            return Err(Error::usage("data has both \"validation\" and \"validation_split\"; one is enough"));
        }
        let train_paths = expand(train_files, base)?;
        let mut notes = Vec::new();
        let format = Format::of_all(&train_paths)?;
        if let Some(schema) = known {
            schema.check_config(self, format)?;
        }
        let (train, mut schema) = match (format, known) {
            (Format::Npy, known) => self.load_npy(&train_paths, base, known)?,
            (_, Some(schema)) => (schema.read_within(&train_paths, memory_limit(self.in_memory))?, schema.clone()),
            (Format::Csv | Format::Parquet, None) => self.load_table(&train_paths, &mut notes)?,
            (Format::Npz, None) => self.load_npz(&train_paths)?,
        };
        match known {
            Some(known) => known.check(&train, &train_paths)?,
            None => {
                schema.input_shape = train.inputs().row_shape().to_vec();
                for (target, loaded) in schema.targets.iter_mut().zip(train.targets()) {
                    target.class_names.clone_from(&loaded.class_names);
                    target.shape = Some(loaded.values.row_shape().to_vec());
                }
            }
        }
        if train.is_empty() {
            return Err(Error::failure(format!("{} has no samples", names_of(&train_paths))));
        }
        let mut paths = train_paths;
        let (train, validation) = match (&self.validation, split) {
            (Some(files), _) => {
                let validation_paths = expand(files, base)?;
                let validation = schema.read(&validation_paths)?;
                paths.extend(validation_paths);
                (train, Some(validation))
            }
            (None, Some(split)) => {
                let (train, validation) = train.split(split)?;
                (train, Some(validation))
            }
            (None, None) => (train, None),
        };
        let description = describe(&train, validation.as_ref());
        Ok(LoadedData { train, validation, schema, source: names_of(&paths), description, notes })
    }

    fn load_table(&self, paths: &[PathBuf], notes: &mut Vec<String>) -> Result<(Dataset, Schema)> {
        let path = &paths[0];
        let used = self.inputs.as_ref().map(|inputs| {
            let targets = self.target.iter().flat_map(TargetConfig::named).flat_map(|(_, columns)| columns);
            inputs.as_slice().iter().cloned().chain(targets).chain(self.sample_weight.clone()).collect::<Vec<_>>()
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
                [Kind::Text | Kind::Flag] => Classes::Learn,
                kinds if kinds.contains(&&Kind::Text) => {
                    return Err(Error::usage(format!("the target \"{name}\" has words among its columns"))
                        .hint("words are class names, and need a target of one column"));
                }
                _ => Classes::None,
            };
            targets.push(PlannedTarget { name, columns: target_columns, classes });
        }
        let is_taken = |name: &String| {
            self.sample_weight.as_ref() == Some(name) || targets.iter().any(|target| target.columns.contains(name))
        };
        let inputs = match &self.inputs {
            Some(inputs) => {
                if let Some(name) = inputs.as_slice().iter().find(|name| is_taken(name)) {
                    return Err(Error::usage(format!("the column \"{name}\" is an input and a target or weight")));
                }
                inputs.as_slice().to_vec()
            }
            None => numeric_inputs(&columns, is_taken, notes),
        };
        if inputs.is_empty() {
            return Err(Error::usage(format!("{} has no column of numbers beside the target", path.display())));
        }
        let plan = TablePlan { inputs, kinds: Vec::new(), targets, sample_weight: self.sample_weight.clone() };
        let (dataset, kinds) = read_table(paths, &plan, self.scale, memory_limit(self.in_memory))?;
        let targets = plan.targets.into_iter().map(|target| (target.name, target.columns)).collect();
        Ok((dataset, Schema { kinds, ..self.schema(plan.inputs, targets) }))
    }

    fn load_npz(&self, paths: &[PathBuf]) -> Result<(Dataset, Schema)> {
        let inputs = self.inputs.as_ref().map_or_else(|| vec!["x".to_owned()], |inputs| inputs.as_slice().to_vec());
        let targets =
            self.target.as_ref().map_or_else(|| vec![("y".to_owned(), vec!["y".to_owned()])], |target| target.named());
        let schema = self.schema(inputs, targets);
        let (dataset, kind) = read_npz(paths, &schema).map_err(|error| {
            // The array names may be the defaults.
            let guessed = self.inputs.is_none() || self.target.is_none();
            let names = only(paths).ok().and_then(|path| Npz::open(path).ok()).map(|file| file.names().join(", "));
            match names {
                Some(names) if guessed && error.message().contains("has no array") => {
                    error.hint(format!("name them: `inputs` and `target` are each one of {names}"))
                }
                _ => error,
            }
        })?;
        Ok((dataset, Schema { kinds: vec![kind], ..schema }))
    }

    fn load_npy(&self, paths: &[PathBuf], base: &Path, known: Option<&Schema>) -> Result<(Dataset, Schema)> {
        if self.inputs.is_some() {
            return Err(Error::usage("an .npy file is one array; \"inputs\" has nothing to choose from"));
        }
        let path = only(paths)?;
        let (inputs, kind) = self.npy_inputs(path, known.and_then(Schema::array_kind))?;
        let target = self.target.as_ref().ok_or_else(|| {
            Error::usage("data names no target").hint("with an .npy file, the target is another: target = \"y.npy\"")
        })?;
        let mut targets = Vec::new();
        let mut named = Vec::new();
        for (name, files) in npy_targets(target, known)? {
            let [file] = &files[..] else {
                return Err(Error::usage(format!("the target \"{name}\" must be one .npy file")));
            };
            let path = path_of(file, base);
            // If the only target has no name, name it after its file.
            let stem = || path.file_stem().map_or(name.clone(), |stem| stem.to_string_lossy().into_owned());
            let name = if known.is_none() && name == *file { stem() } else { name };
            let values = read_npy_file(&path)?.check_finite(&path, &name)?;
            values.check_targets(&format!("{}, {name}", path.display()))?;
            targets.push(Target { name: name.clone(), values, class_names: None });
            named.push((name.clone(), vec![name]));
        }
        let sample_weight = match &self.sample_weight {
            None => None,
            Some(file) => {
                let path = path_of(file, base);
                let weight = read_npy_file(&path)?.check_finite(&path, "sample_weight")?;
                Some(weight.into_weights(&format!("{}, sample_weight", path.display()))?)
            }
        };
        let mut schema = Schema { kinds: vec![kind], ..self.schema(vec!["x".to_owned()], named) };
        schema.sample_weight = None;
        Ok((Dataset::new(inputs, targets, sample_weight)?, known.cloned().unwrap_or(schema)))
    }

    /// Opens an .npy file of inputs, on disk if it is larger than the memory limit, and returns its kind. `known` is
    /// the kind that the inputs must have.
    fn npy_inputs(&self, path: &Path, known: Option<InputKind>) -> Result<(Inputs, InputKind)> {
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        let left_on_disk = usize::try_from(length).unwrap_or(usize::MAX) > memory_limit(self.in_memory);
        if left_on_disk && Format::of(path)? == Format::Npy {
            match DiskRows::of_npy(path, self.scale, known)? {
                Some((rows, kind)) => return Ok((Inputs::Disk(rows), kind)),
                None if self.in_memory == Some(false) => {
                    return Err(Error::usage(format!(
                        "{} is in Fortran order, and can't be read row by row",
                        path.display()
                    ))
                    .hint("save numpy.ascontiguousarray of it, or set data.in_memory = true"));
                }
                None => {}
            }
        }
        read_npy_inputs(path, self.scale, known).map(|(rows, kind)| (rows.into(), kind))
    }

    fn schema(&self, inputs: Vec<String>, targets: Vec<(String, Vec<String>)>) -> Schema {
        let target = |(name, columns)| TargetSchema { name, columns, class_names: None, shape: None };
        Schema {
            inputs,
            kinds: Vec::new(),
            input_shape: Vec::new(),
            targets: targets.into_iter().map(target).collect(),
            sample_weight: self.sample_weight.clone(),
            scale: self.scale,
        }
    }
}

/// Returns all numeric columns that aren't taken, and notes which other columns are left out.
fn numeric_inputs(columns: &Columns, is_taken: impl Fn(&String) -> bool, notes: &mut Vec<String>) -> Vec<String> {
    let mut inputs = Vec::new();
    let (mut words, mut empty, mut times, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, kind) in columns.names.iter().zip(&columns.kinds).filter(|(name, _)| !is_taken(name)) {
        match kind {
            _ if name.is_empty() => notes.push("a column without a name is left out".to_owned()),
            Kind::Number | Kind::Flag => inputs.push(name.clone()),
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

/// A file format, determined by the file name extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Parquet,
    Npy,
    Npz,
}

impl Format {
    /// Returns the format of one file.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv") => Ok(Format::Csv),
            Some("parquet") => Ok(Format::Parquet),
            Some("npy") => Ok(Format::Npy),
            Some("npz") => Ok(Format::Npz),
            _ => Err(Error::usage(format!("{} is in no known format", path.display()))
                .with("known", ".csv, .parquet, .npy, .npz")),
        }
    }

    /// Returns the common format of several files.
    pub fn of_all(paths: &[PathBuf]) -> Result<Self> {
        let Some((first, rest)) = paths.split_first() else { return Err(Error::usage("data names no file")) };
        let format = Format::of(first)?;
        for path in rest {
            if Format::of(path)? != format {
                let message = format!("{} and {} are in different formats", first.display(), path.display());
                return Err(Error::usage(message));
            }
        }
        Ok(format)
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
            .map_err(|error| Error::usage(format!("the pattern \"{name}\" can't be understood: {}", error.msg)))?;
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

/// Returns the target files by output name. If the schema is known, they are matched to its targets and returned in its
/// order.
fn npy_targets(target: &TargetConfig, known: Option<&Schema>) -> Result<Vec<(String, Vec<String>)>> {
    let mut files = target.named();
    let Some(known) = known else { return Ok(files) };
    let names: Vec<&str> = known.targets.iter().map(|target| target.name.as_str()).collect();
    // A single target file may have been renamed: use the target name of the schema.
    if let (TargetConfig::Columns(_), [name], [(file_name, _)]) = (target, &names[..], &mut files[..]) {
        (*name).clone_into(file_name);
    }
    let wrong = |what: String| Err(Error::usage(what).with("in", "data.target").with("has", names.join(", ")));
    if let Some((name, _)) = files.iter().find(|(name, _)| !names.contains(&name.as_str())) {
        return wrong(format!("the run was trained on no target \"{name}\""));
    }
    let file = |name: &&str| files.iter().position(|(output, _)| output == name);
    match names.iter().map(|name| file(name).ok_or(name)).collect::<Result<Vec<_>, _>>() {
        Ok(order) => Ok(order.into_iter().map(|index| files[index].clone()).collect()),
        Err(name) => wrong(format!("the run was trained on a target \"{name}\", and data.target has no file for it")),
    }
}

/// Reads an .npy file of inputs and returns their kind; `known` is the kind that they must have.
pub fn read_npy_inputs(path: &Path, scale: Option<f64>, known: Option<InputKind>) -> Result<(Rows<f32>, InputKind)> {
    let place = path.display().to_string();
    read_inputs(&mut open_npy(path)?, &place, &format!("{place}, inputs"), scale, known)
}

/// Reads an .npy file.
pub fn read_npy_file(path: &Path) -> Result<Array> {
    read_npy(&mut open_npy(path)?, &path.display().to_string())
}

fn open_npy(path: &Path) -> Result<BufReader<File>> {
    if Format::of(path)? != Format::Npy {
        return Err(Error::usage(format!("{} is no .npy file", path.display()))
            .hint("inputs and targets must both be .npy files"));
    }
    let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

fn names_of(paths: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match paths {
        [first, .., last] if paths.len() > 3 => format!("{} … {} ({} files)", name(first), name(last), paths.len()),
        _ => paths.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Formats a summary such as "1,437 train, 360 validation; 64 inputs, 10 classes".
fn describe(train: &Dataset, validation: Option<&Dataset>) -> String {
    let mut text = format!("{} train", grouped(train.len()));
    if let Some(validation) = validation {
        text += &format!(", {} validation", grouped(validation.len()));
    }
    text += &match train.inputs().row_shape() {
        [] | [1] => "; 1 input".to_owned(),
        [inputs] => format!("; {} inputs", grouped(*inputs)),
        shape => format!("; inputs of {}", shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")),
    };
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
