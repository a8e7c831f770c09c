//! Loads the arrays of `.npy` and `.npz` files.

use std::path::{Path, PathBuf};

use crate::data::config::memory_limit;
use crate::data::format::{Format, single_path};
use crate::data::numpy::{Npz, read_npy_file, read_npy_inputs};
use crate::data::schema::read_npz;
use crate::data::{DataConfig, Dataset, DiskRows, FurtherInput, InputKind, Inputs, Schema, Target, TargetConfig};
use crate::files::path_of;
use crate::{Error, Result};

impl DataConfig {
    /// Loads the arrays of an .npz file.
    pub(super) fn load_npz(&self, paths: &[PathBuf]) -> Result<(Dataset, Schema)> {
        let inputs = self.network_inputs().map_or_else(|| vec!["x".to_owned()], |inputs| inputs.as_slice().to_vec());
        let targets =
            self.target.as_ref().map_or_else(|| vec![("y".to_owned(), vec!["y".to_owned()])], |target| target.named());
        let schema = Schema::of_config(self, inputs, targets);
        let (dataset, kind) = read_npz(paths, &schema).map_err(|error| {
            // The array names may be the defaults.
            let guessed = self.network_inputs().is_none() || self.target.is_none();
            let names =
                single_path(paths).ok().and_then(|path| Npz::open(path).ok()).map(|file| file.names().join(", "));
            match names {
                Some(names) if guessed && error.message().contains("has no array") => {
                    error.hint(format!("name them: `inputs` and `target` are each one of {names}"))
                }
                _ => error,
            }
        })?;
        Ok((dataset, Schema { kinds: vec![kind], ..schema }))
    }

    /// Loads an .npy file of inputs, and one for each target and the weights.
    pub(super) fn load_npy(&self, paths: &[PathBuf], base: &Path, known: Option<&Schema>) -> Result<(Dataset, Schema)> {
        if self.network_inputs().is_some() {
            return Err(Error::usage("an .npy file is one array; \"inputs\" has nothing to choose from"));
        }
        let path = single_path(paths)?;
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
        let mut further = Vec::new();
        for (name, files) in self.further_inputs() {
            let [file] = &files[..] else {
                return Err(
                    Error::usage(format!("the input \"{name}\" must be one .npy file")).with("in", "data.inputs")
                );
            };
            let path = path_of(file, base);
            let values = read_npy_file(&path)?.check_finite(&path, &name)?;
            further.push(FurtherInput { name, values });
        }
        let sample_weight = match &self.sample_weight {
            None => None,
            Some(file) => {
                let path = path_of(file, base);
                let weight = read_npy_file(&path)?.check_finite(&path, "sample_weight")?;
                Some(weight.into_weights(&format!("{}, sample_weight", path.display()))?)
            }
        };
        let mut schema = Schema { kinds: vec![kind], ..Schema::of_config(self, vec!["x".to_owned()], named) };
        schema.sample_weight = None;
        Ok((Dataset::new(inputs, targets, sample_weight)?.with_further(further)?, known.cloned().unwrap_or(schema)))
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
