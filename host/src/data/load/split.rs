//! Splits loaded samples as the `[data]` table says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::data::config::{DataConfig, OneOrMany, ValidationConfig};
use crate::data::format::Format;
use crate::data::numpy::{Npz, read_npy_file};
use crate::data::split::{Split, SplitConfig, SplitMethod};
use crate::data::table::{Classes, Columns, Kind, PlannedTarget, TablePlan, read_table};
use crate::data::{Array, Dataset};
use crate::files::path_of;
use crate::text::grouped;
use crate::{Error, Result};

impl DataConfig {
    /// Returns the validation files, if there are any.
    pub(super) fn validation_files(&self) -> Option<&OneOrMany> {
        match &self.validation {
            Some(ValidationConfig::Files(files)) => Some(files),
            Some(ValidationConfig::Split(_)) | None => None,
        }
    }

    /// Returns the split of the training files, if there is one.
    ///
    /// # Errors
    /// Returns a usage error if it is invalid, or if there is more than one.
    pub(super) fn split(&self) -> Result<Option<SplitConfig>> {
        let last = self.validation_split.filter(|fraction| *fraction != 0.0);
        match (&self.validation, last) {
            (Some(_), Some(_)) => {
                Err(Error::usage("data has both \"validation\" and \"validation_split\"; one is enough"))
            }
            (Some(ValidationConfig::Split(split)), None) => split.check().map(|()| Some(split.clone())),
            (None, Some(fraction)) => {
                Ok(Some(SplitConfig { fraction, how: Some(SplitMethod::Last), by: None, seed: None }))
            }
            (Some(ValidationConfig::Files(_)) | None, _) => Ok(None),
        }
    }

    /// Sets the seed of the split, unless it has one or needs none.
    #[must_use]
    pub fn with_split_seed(mut self, seed: u64) -> Self {
        if let Some(ValidationConfig::Split(split)) = &mut self.validation
            && split.how != Some(SplitMethod::Last)
        {
            split.seed.get_or_insert(seed);
        }
        self
    }

    /// Splits the samples of these files.
    ///
    /// # Errors
    /// Returns an error if a part is empty, if the samples can't be split in this way, or if the groups can't be read.
    pub(super) fn split_samples(
        &self,
        config: &SplitConfig,
        samples: Dataset,
        (paths, format, base): (&[PathBuf], Format, &Path),
        notes: &mut Vec<String>,
    ) -> Result<(Dataset, Dataset)> {
        let (fraction, seed) = (config.fraction, config.seed.unwrap_or(0));
        if self.validation_split.is_some() {
            return samples.split(fraction);
        }
        let classes = samples.sample_classes();
        let by_default = match (&config.by, &classes) {
            (Some(_), _) => SplitMethod::Grouped,
            (None, Some(_)) => SplitMethod::Stratified,
            (None, None) => SplitMethod::Shuffled,
        };
        let split = match (config.how.unwrap_or(by_default), classes, &config.by) {
            (SplitMethod::Last, ..) => Split::last(samples.len(), fraction),
            (SplitMethod::Stratified, Some(classes), _) => {
                note_rare_classes(&samples, &classes, notes);
                Split::stratified(&classes, fraction, seed)
            }
            (SplitMethod::Stratified, None, _) => {
                return Err(Error::usage("a stratified split needs one target of classes")
                    .with("in", "data.validation.how")
                    .hint("how = \"shuffled\" takes any samples"));
            }
            (SplitMethod::Grouped, _, Some(by)) => {
                let groups = read_groups(paths, format, base, by)?;
                if groups.len() != samples.len() {
                    return Err(Error::failure(format!(
                        "{by} has {} values, and there are {} samples",
                        grouped(groups.len()),
                        grouped(samples.len())
                    )));
                }
                if groups.iter().all(|group| *group == 0) {
                    return Err(Error::failure(format!("all samples are in one group of \"{by}\""))
                        .with("in", "data.validation.by")
                        .hint("a grouped split needs two groups"));
                }
                Split::in_groups(&groups, fraction, seed)
            }
            (SplitMethod::Shuffled | SplitMethod::Grouped, ..) => Split::shuffled(samples.len(), fraction, seed),
        };
        split.check(fraction)?;
        samples.partition(&split)
    }
}

fn note_rare_classes(samples: &Dataset, classes: &[usize], notes: &mut Vec<String>) {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    classes.iter().for_each(|class| *counts.entry(*class).or_default() += 1);
    let rare: Vec<String> =
        counts.iter().filter(|(_, count)| **count == 1).map(|(class, _)| samples.class_name(*class)).collect();
    let names = crate::data::columns::listed_names(&rare.iter().map(String::as_str).collect::<Vec<_>>());
    match rare.len() {
        0 => {}
        1 => notes.push(format!("the class {names} has one sample, which is for training")),
        _ => notes.push(format!("classes of one sample, which is for training: {names}")),
    }
}

/// Notes that the validation samples have one class of several.
pub(super) fn note_single_class(train: &Dataset, validation: &Dataset, notes: &mut Vec<String>) {
    let found = |data: &Dataset| data.sample_classes().map(|classes| classes.into_iter().collect::<BTreeSet<_>>());
    if let (Some(all), Some(found)) = (found(train), found(validation))
        && let (true, Some(only), 1) = (all.len() > 1, found.first(), found.len())
    {
        notes.push(format!(
            "the validation samples have only the class {} of {}: their metrics say little",
            validation.class_name(*only),
            grouped(all.len())
        ));
    }
}

/// Reads the groups of the samples as numbers from 0.
fn read_groups(paths: &[PathBuf], format: Format, base: &Path, by: &str) -> Result<Vec<usize>> {
    let values = match format {
        Format::Csv | Format::Parquet => {
            let path = &paths[0];
            let columns = Columns::of(path, Some(&[by.to_owned()]))?;
            let located = |error: Error| error.with("in", "data.validation.by");
            let classes = match columns.kinds[columns.find(by, path).map_err(located)?] {
                Kind::Text | Kind::Date | Kind::Boolean => Classes::Learn,
                _ => Classes::None,
            };
            let target = PlannedTarget { name: by.to_owned(), columns: vec![by.to_owned()], classes };
            let plan = TablePlan { inputs: Vec::new(), targets: vec![target], sample_weight: None };
            let mut read = read_table(paths, &plan, Some(&[]), usize::MAX)?;
            match read.targets.pop() {
                Some(target) => target.values,
                None => return Err(Error::failure(format!("the groups \"{by}\" weren't read"))),
            }
        }
        Format::Npz => Npz::open(&paths[0])?.read(by)?,
        Format::Npy => read_npy_file(&path_of(by, base))?,
    };
    if !values.row_shape().iter().all(|axis| *axis == 1) {
        let found = values.row_shape();
        return Err(Error::failure(format!("\"{by}\" has values of shape {found:?}, and a sample has one group")));
    }
    fn numbered<T: Copy, K: std::hash::Hash + Eq>(values: &[T], key: impl Fn(T) -> K) -> Vec<usize> {
        let mut numbers: HashMap<K, usize> = HashMap::new();
        let mut number = |value: &T| {
            let next = numbers.len();
            *numbers.entry(key(*value)).or_insert(next)
        };
        values.iter().map(&mut number).collect()
    }
    Ok(match &values {
        Array::F32(rows) => numbered(rows.values(), f32::to_bits),
        Array::F64(rows) => numbered(rows.values(), f64::to_bits),
        Array::I32(rows) => numbered(rows.values(), |value| value),
        Array::I64(rows) => numbered(rows.values(), |value| value),
        Array::U8(rows) => numbered(rows.values(), |value| value),
    })
}
