//! Datasets: inputs, targets and sample weights. Class weights become sample weights here, and the inputs of rows with
//! weight 0 are replaced by zeros here.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::ArrayViewD;

use super::array::{Array, Rows};
use super::inputs::Inputs;
use super::split::Split;
use crate::text::grouped;
use crate::{Error, Result};

/// The target values of one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The name of the output if the configuration names it, else the name of the column.
    pub name: String,
    /// The values, `[N]` or `[N, ...]`.
    pub values: Array,
    /// The names of the classes 0, 1, ..., if the values were words.
    pub class_names: Option<Vec<String>>,
}

/// The most further inputs of a dataset.
pub const MAX_FURTHER: usize = 8;

/// A further input of losses and metrics, such as the group of each sample.
#[derive(Clone, Debug, PartialEq)]
pub struct FurtherInput {
    /// The name that losses and metrics declare.
    pub name: String,
    /// The values, `[N]` or `[N, ...]`.
    pub values: Array,
}

/// Samples: inputs `[N, ...]`, any number of targets, and optional weights, `[N]` or `[N, ...]` for a weight per
/// element.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    inputs: Inputs,
    targets: Vec<Target>,
    sample_weight: Option<Rows<f32>>,
    further: Vec<FurtherInput>,
}

impl Dataset {
    /// Creates a dataset from these arrays.
    ///
    /// # Errors
    /// Returns an error if a target or the weights don't have as many rows as the inputs.
    pub fn new(inputs: impl Into<Inputs>, targets: Vec<Target>, sample_weight: Option<Rows<f32>>) -> Result<Self> {
        let inputs = inputs.into();
        let rows = inputs.len();
        let mismatch = |what: String, len: usize| {
            Error::usage(format!("the inputs have {} rows and {what} {}", grouped(rows), grouped(len)))
                .hint("each sample needs one row in both")
        };
        for target in &targets {
            if target.values.len() != rows {
                return Err(mismatch(format!("the target \"{}\"", target.name), target.values.len()));
            }
        }
        if let Some(weight) = sample_weight.as_ref().filter(|weight| weight.len() != rows) {
            return Err(mismatch("sample_weight".into(), weight.len()));
        }
        Ok(Dataset { inputs, targets, sample_weight, further: Vec::new() })
    }

    /// Sets further inputs of losses and metrics.
    ///
    /// # Errors
    /// Returns an error if an input doesn't have as many rows as the others, if two have the same name, or if there are
    /// more than [`MAX_FURTHER`].
    pub fn with_further(mut self, further: Vec<FurtherInput>) -> Result<Self> {
        if further.len() > MAX_FURTHER {
            return Err(Error::usage(format!(
                "there are {} inputs, and at most {MAX_FURTHER} can be given",
                further.len()
            )));
        }
        for (index, input) in further.iter().enumerate() {
            if input.values.len() != self.len() {
                let (rows, len) = (grouped(self.len()), grouped(input.values.len()));
                let message = format!("the data have {rows} rows and the input \"{}\" {len}", input.name);
                return Err(Error::usage(message).hint("each sample needs one row in both"));
            }
            if further[..index].iter().any(|other| other.name == input.name) {
                return Err(Error::usage(format!("two inputs are called \"{}\"", input.name)));
            }
        }
        self.further = further;
        Ok(self)
    }

    /// Makes the last `count` targets further inputs.
    pub(super) fn with_last_targets_as_inputs(mut self, count: usize) -> Result<Self> {
        let further = self.targets.split_off(self.targets.len().saturating_sub(count));
        let input = |target: Target| FurtherInput { name: target.name, values: target.values };
        self.with_further(further.into_iter().map(input).collect())
    }

    /// Multiplies the weight of each sample by the weight of its class. Keys are class names or class ids of the only
    /// target, which must contain class ids or one-hot rows. Classes without a key have weight 1.
    ///
    /// # Errors
    /// Returns an error if there are several targets, or the target contains no classes; if a key is not a class of the
    /// data, or two keys name the same class; if a weight is negative; or if a weight, or its product with a sample
    /// weight, overflows or underflows float32, as 1e39 and 1e-50 do.
    pub fn weighted_by_class(mut self, weights: &BTreeMap<String, f64>) -> Result<Self> {
        let wrong = |what: String| Error::usage(what).with("in", "fit.class_weight");
        let [target] = &self.targets[..] else {
            return Err(wrong(format!("class_weight is for one target; there are {}", self.targets.len())));
        };
        let ids = target.values.class_ids().ok_or_else(|| wrong(format!("{} contains no classes", target.name)))?;
        let classes = target.classes(&ids);
        let mut class_weights: BTreeMap<usize, f64> = BTreeMap::new();
        for (key, &weight) in weights {
            let by_name = target.class_names.as_ref().and_then(|names| names.iter().position(|name| name == key));
            let class = by_name.or_else(|| key.parse().ok()).filter(|class| classes.contains(class));
            let class = class.ok_or_else(|| {
                wrong(format!("{} has no class \"{key}\" among the samples to train on", target.name))
                    .with("classes", target.listed(&classes))
            })?;
            if !(weight >= 0.0 && fits_float32(weight)) {
                return Err(wrong(format!("the weight of class \"{key}\" is {weight:?}"))
                    .hint("a weight is a number of at least 0 that fits float32"));
            }
            if class_weights.insert(class, weight).is_some() {
                return Err(wrong(format!("class \"{key}\" has two weights, one by its name and one by its number")));
            }
        }
        if self.sample_weight.as_ref().is_some_and(|weight| !weight.row_shape().is_empty()) {
            return Err(wrong("class_weight can't be combined with a weight for each element".into()));
        }
        let weight = |(row, class): (usize, &usize)| {
            let sample_weight = self.sample_weight.as_ref().map_or(1.0, |weight| weight.values()[row]);
            let class_weight = class_weights.get(class).copied().unwrap_or(1.0);
            let weight = f64::from(sample_weight) * class_weight;
            if sample_weight.is_finite() && !fits_float32(weight) {
                return Err(wrong(format!(
                    "{sample_weight:?} and the weight of its class, {class_weight:?}, make {weight:?}"
                ))
                .with("row", format!("{row} (from 0)"))
                .hint("a weight is a number that fits float32"));
            }
            Ok(sample_weight * class_weight as f32)
        };
        let combined = ids.iter().enumerate().map(weight).collect::<Result<Vec<f32>>>()?;
        let shape = [combined.len()];
        self.sample_weight = Some(Rows::new(combined, &shape)?);
        Ok(self)
    }

    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Returns whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Returns the inputs `[N, ...]`.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Returns the targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Returns the further inputs of losses and metrics.
    pub fn further(&self) -> &[FurtherInput] {
        &self.further
    }

    /// Returns the weights `[N]` or `[N, ...]`, if there are any.
    pub fn sample_weight(&self) -> Option<&Rows<f32>> {
        self.sample_weight.as_ref()
    }

    /// Returns the inputs `[N, ...]`, with zeros in each row whose weights are all 0. The inputs are borrowed if they
    /// are in memory and there is no such row; else they are copied into `buffer`, reusing its memory.
    ///
    /// # Errors
    /// Returns an error if the file can't be read or contains a number that isn't finite.
    pub fn weighted_inputs<'r>(&'r self, buffer: &'r mut Rows<f32>) -> Result<ArrayViewD<'r, f32>> {
        let removed = |weight: &Rows<f32>, row: usize| weight.row(row).iter().all(|&weight| weight == 0.0);
        match &self.sample_weight {
            Some(weight) if (0..self.len()).any(|row| removed(weight, row)) => {
                self.inputs.copy_into(buffer)?;
                for row in (0..self.len()).filter(|&row| removed(weight, row)) {
                    buffer.row_mut(row).fill(0.0);
                }
                Ok(buffer.view())
            }
            _ => self.inputs.rows(0..self.len(), buffer),
        }
    }

    /// Replaces the inputs, which must have as many rows.
    pub(super) fn with_inputs(self, inputs: Inputs) -> Result<Self> {
        let dataset = Dataset::new(inputs, self.targets, self.sample_weight)?;
        Ok(Dataset { further: self.further, ..dataset })
    }

    /// Adds a further input of the numbers 0, 1, ... of the rows, which tells after a split where each row comes from.
    pub(super) fn with_row_numbers(mut self) -> Result<Self> {
        let rows = self.len();
        let values = Array::I64(Rows::new((0..rows as i64).collect(), &[rows])?);
        self.further.push(FurtherInput { name: "row".into(), values });
        Ok(self)
    }

    /// Removes the input that [`with_row_numbers`](Self::with_row_numbers) added, and returns its values.
    pub(super) fn take_row_numbers(&mut self) -> Vec<usize> {
        match self.further.pop().map(|input| input.values) {
            Some(Array::I64(rows)) => rows.values().iter().map(|&row| row as usize).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn into_inputs(self) -> Inputs {
        self.inputs
    }

    /// Creates an empty batch for [`Dataset::gather_into`].
    pub fn new_batch(&self) -> Dataset {
        Dataset {
            inputs: self.inputs.empty_like(),
            targets: self.targets.iter().map(Target::without_rows).collect(),
            sample_weight: self.sample_weight.as_ref().map(Rows::empty_like),
            further: self
                .further
                .iter()
                .map(|input| FurtherInput { name: input.name.clone(), values: input.values.empty_like() })
                .collect(),
        }
    }

    /// Replaces the contents of `batch`, created by [`Dataset::new_batch`], with the samples at these indices, in that
    /// order. Allocates nothing if the batch has had that size before.
    ///
    /// # Errors
    /// Returns an error if an index is out of bounds, the batch belongs to another dataset, or a file can't be read.
    /// The contents of the batch are then unspecified.
    pub fn gather_into(&self, rows: &[usize], batch: &mut Dataset) -> Result<()> {
        if let Some(row) = rows.iter().find(|row| **row >= self.len()) {
            return Err(Error::usage(format!("there are {} samples, and none of index {row}", grouped(self.len()))));
        }
        if batch.targets.len() != self.targets.len()
            || batch.sample_weight.is_some() != self.sample_weight.is_some()
            || batch.further.len() != self.further.len()
        {
            return Err(Error::usage("the batch was made for another dataset"));
        }
        self.inputs.gather_into(rows, &mut batch.inputs)?;
        for (from, to) in self.targets.iter().zip(&mut batch.targets) {
            from.values.gather_into(rows, &mut to.values);
        }
        for (from, to) in self.further.iter().zip(&mut batch.further) {
            from.values.gather_into(rows, &mut to.values);
        }
        if let (Some(from), Some(to)) = (&self.sample_weight, &mut batch.sample_weight) {
            from.gather_into(rows, to);
        }
        Ok(())
    }

    /// Splits off the last samples for validation, as Keras does. The first floor(N (1 - validation_split)) samples are
    /// for training.
    ///
    /// # Errors
    /// Returns an error if the fraction isn't above 0 and below 1, or leaves no samples for training or validation.
    pub fn split(mut self, validation_split: f64) -> Result<(Dataset, Dataset)> {
        if !(validation_split > 0.0 && validation_split < 1.0) {
            return Err(Error::usage(format!("validation_split must be above 0 and below 1, not {validation_split}")));
        }
        let train = (self.len() as f64 * (1.0 - validation_split)).floor() as usize;
        if train == 0 || train == self.len() {
            return Err(Error::usage(format!(
                "validation_split = {validation_split} leaves {} of {} samples to train on",
                train,
                self.len()
            ))
            .hint("choose a share that leaves samples for both, or name a validation file"));
        }
        let validation = self.split_off(train);
        Ok((self, validation))
    }

    /// Returns the class of each sample, if there is one target of classes: of words, of one-hot rows, or of the integers
    /// from 0, each of which occurs, and of which there are at most half as many as samples.
    pub(crate) fn sample_classes(&self) -> Option<Vec<usize>> {
        let [target] = &self.targets[..] else { return None };
        // As many numbers as samples are no classes.
        let is_label_count = target.values.label_count().is_some_and(|count| 2 * count <= self.len());
        let are_classes = target.class_names.is_some() || is_label_count || target.values.is_one_hot();
        if are_classes { target.values.class_ids() } else { None }
    }

    /// Returns the weight of each class, by name or id, with which all classes count equally: N / (K · n) for a class with
    /// n of N samples of K classes.
    ///
    /// # Errors
    /// Returns an error if there isn't one target of classes.
    pub fn balanced_class_weights(&self) -> Result<BTreeMap<String, f64>> {
        let Some(classes) = self.sample_classes() else {
            return Err(Error::usage("balanced weights need one target of classes").with("in", "fit.class_weight"));
        };
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        classes.iter().for_each(|class| *counts.entry(*class).or_default() += 1);
        let names = self.targets.first().and_then(|target| target.class_names.as_ref());
        let name =
            |class: &usize| names.and_then(|names| names.get(*class)).cloned().unwrap_or_else(|| class.to_string());
        let weight = |count: &usize| classes.len() as f64 / (counts.len() * count) as f64;
        Ok(counts.iter().map(|(class, count)| (name(class), weight(count))).collect())
    }

    /// Returns the name of a class of the only target.
    pub(super) fn class_name(&self, class: usize) -> String {
        let names = self.targets.first().and_then(|target| target.class_names.as_ref());
        names.and_then(|names| names.get(class)).map_or_else(|| class.to_string(), |name| format!("\"{name}\""))
    }

    /// Returns the samples of both parts. Inputs on disk stay there.
    pub(super) fn partition(mut self, split: &Split) -> Result<(Dataset, Dataset)> {
        let train = split.train.len();
        if split.train.last().is_none_or(|last| last + 1 == train) {
            let validation = self.split_off(train);
            return Ok((self, validation));
        }
        Ok((self.select(&split.train)?, self.select(&split.validation)?))
    }

    /// Returns the samples at these indices, in that order.
    fn select(&self, rows: &[usize]) -> Result<Dataset> {
        let mut selected = self.new_batch();
        for (from, to) in self.targets.iter().zip(&mut selected.targets) {
            from.values.gather_into(rows, &mut to.values);
        }
        for (from, to) in self.further.iter().zip(&mut selected.further) {
            from.values.gather_into(rows, &mut to.values);
        }
        if let (Some(from), Some(to)) = (&self.sample_weight, &mut selected.sample_weight) {
            from.gather_into(rows, to);
        }
        Ok(Dataset { inputs: self.inputs.select(rows)?, ..selected })
    }

    /// Removes the samples from `at` to the end and returns them.
    fn split_off(&mut self, at: usize) -> Dataset {
        Dataset {
            inputs: self.inputs.split_off(at),
            targets: self
                .targets
                .iter_mut()
                .map(|target| Target {
                    name: target.name.clone(),
                    values: target.values.split_off(at),
                    class_names: target.class_names.clone(),
                })
                .collect(),
            sample_weight: self.sample_weight.as_mut().map(|weight| weight.split_off(at)),
            further: self
                .further
                .iter_mut()
                .map(|input| FurtherInput { name: input.name.clone(), values: input.values.split_off(at) })
                .collect(),
        }
    }
}

/// Returns whether a weight neither overflows nor underflows float32.
fn fits_float32(weight: f64) -> bool {
    (weight as f32).is_finite() && (weight as f32 != 0.0 || weight == 0.0)
}

impl Target {
    /// Returns the classes: all named classes, else all columns of one-hot rows, else the ids that occur.
    fn classes(&self, ids: &[usize]) -> BTreeSet<usize> {
        let columns = self.values.row_shape().iter().product::<usize>();
        match &self.class_names {
            Some(names) => (0..names.len()).collect(),
            None if columns > 1 => (0..columns).collect(),
            None => ids.iter().copied().collect(),
        }
    }

    /// Formats the classes for an error message.
    fn listed(&self, classes: &BTreeSet<usize>) -> String {
        const MAX_LISTED: usize = 20;
        let name = |class: &usize| {
            let named = self.class_names.as_ref().and_then(|names| names.get(*class));
            named.cloned().unwrap_or_else(|| class.to_string())
        };
        let list = classes.iter().take(MAX_LISTED).map(name).collect::<Vec<_>>().join(", ");
        if classes.len() > MAX_LISTED { format!("{list}, … ({} in all)", classes.len()) } else { list }
    }

    fn without_rows(&self) -> Target {
        Target { name: self.name.clone(), values: self.values.empty_like(), class_names: self.class_names.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(len: usize) -> Dataset {
        let inputs = Rows::new((0..len * 2).map(|i| i as f32).collect(), &[len, 2]).expect("two columns");
        let labels = Array::I32(Rows::new((0..len as i32).collect(), &[len]).expect("a vector"));
        let target = Target { name: "label".into(), values: labels, class_names: None };
        let weight = Rows::new((0..len).map(|i| i as f32 / 2.0).collect(), &[len]).expect("a vector");
        Dataset::new(inputs, vec![target], Some(weight)).expect("as many rows each")
    }

    #[test]
    fn further_inputs_follow_their_rows() {
        let ids = |rows: &[i64]| Array::I64(Rows::new(rows.to_vec(), &[rows.len()]).expect("a vector"));
        let input = |name: &str, rows: &[i64]| FurtherInput { name: name.into(), values: ids(rows) };
        let data = dataset(4).with_further(vec![input("group", &[7, 8, 9, 10])]).expect("as many rows");
        let mut batch = data.new_batch();
        data.gather_into(&[3, 1], &mut batch).expect("they are there");
        assert_eq!(batch.further()[0], input("group", &[10, 8]));
        assert!(data.gather_into(&[0], &mut dataset(4).new_batch()).is_err());
        let (train, validation) = data.split(0.5).expect("both have samples");
        assert_eq!(
            (&train.further()[0], &validation.further()[0]),
            (&input("group", &[7, 8]), &input("group", &[9, 10]))
        );
        for wrong in [
            vec![input("group", &[1, 2])],
            vec![input("a", &[1, 2, 3, 4]), input("a", &[1, 2, 3, 4])],
            (0..9).map(|i| input(&i.to_string(), &[1, 2, 3, 4])).collect(),
        ] {
            assert!(dataset(4).with_further(wrong).is_err());
        }
    }

    #[test]
    fn split_matches_keras() {
        let (train, validation) = dataset(1797).split(0.2).expect("both have samples");
        assert_eq!((train.len(), validation.len()), (1437, 360));
        assert_eq!(validation.inputs().in_memory().expect("small").values()[0], 2.0 * 1437.0);
        assert_eq!(validation.sample_weight().expect("weights").len(), 360);
        for share in [0.0, 1.0, -0.5, f64::NAN, 0.999] {
            assert!(dataset(3).split(share).is_err(), "{share}");
        }
    }

    #[test]
    fn gather_into_reuses_the_memory_of_the_batch() {
        let dataset = dataset(10);
        let mut batch = dataset.new_batch();
        dataset.gather_into(&[9, 1, 4], &mut batch).expect("they are there");
        let address = batch.inputs().in_memory().expect("small").values().as_ptr();
        dataset.gather_into(&[2, 0], &mut batch).expect("they are there");
        assert_eq!(batch.inputs().in_memory().expect("small").values(), [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(batch.targets()[0].values, Array::I32(Rows::new(vec![2, 0], &[2]).expect("a vector")));
        assert_eq!(batch.sample_weight().expect("weights").values(), [1.0, 0.0]);
        assert_eq!(batch.inputs().in_memory().expect("small").values().as_ptr(), address);
        assert!(dataset.gather_into(&[10], &mut batch).is_err());
    }

    #[test]
    fn per_element_weights_are_gathered_with_their_rows() {
        let weight = Rows::new((0..8).map(|i| i as f32).collect(), &[4, 2]).expect("two a sample");
        let inputs = Rows::new(vec![0.0; 4], &[4, 1]).expect("a column");
        let labels = Array::I32(Rows::new(vec![0, 1, 0, 1], &[4]).expect("a vector"));
        let target = Target { name: "y".into(), values: labels, class_names: None };
        let dataset = Dataset::new(inputs, vec![target], Some(weight)).expect("as many rows each");
        let mut batch = dataset.new_batch();
        dataset.gather_into(&[3, 0], &mut batch).expect("they are there");
        assert_eq!(batch.sample_weight().expect("weights").values(), [6.0, 7.0, 0.0, 1.0]);
        let by_class = BTreeMap::from([("1".to_owned(), 2.0)]);
        assert!(dataset.weighted_by_class(&by_class).is_err());
    }

    #[test]
    fn class_weights_need_existing_classes_and_non_negative_numbers() {
        let weigh = |values: Array, names: Option<Vec<String>>, weights: &[(&str, f64)]| {
            let inputs = Rows::new(vec![0.0; values.len()], &[values.len(), 1]).expect("a column");
            let target = Target { name: "kind".into(), values, class_names: names };
            let dataset = Dataset::new(inputs, vec![target], None).expect("as many rows each");
            let weights = weights.iter().map(|(key, weight)| ((*key).to_owned(), *weight)).collect();
            dataset.weighted_by_class(&weights).map(|dataset| dataset.sample_weight.expect("weights").values().to_vec())
        };
        let ids = || Array::I32(Rows::new(vec![0, 2, 2], &[3]).expect("a vector"));
        let words = || Some(["low", "mid", "high"].map(str::to_owned).to_vec());
        let one_hot = || Array::F32(Rows::new(vec![1.0, 0.0, 0.0, 1.0], &[2, 2]).expect("two rows"));
        assert_eq!(weigh(ids(), None, &[("2", 0.5)]).expect("it is there"), [1.0, 0.5, 0.5]);
        assert_eq!(weigh(ids(), words(), &[("high", 0.0), ("1", 3.0)]).expect("all are there"), [1.0, 0.0, 0.0]);
        assert_eq!(weigh(one_hot(), None, &[("1", 4.0)]).expect("it is there"), [1.0, 4.0]);
        for (values, names, key, classes) in [
            (ids(), None, "1", "0, 2"),
            (ids(), None, "high", "0, 2"),
            (ids(), None, "-1", "0, 2"),
            (ids(), words(), "hihg", "low, mid, high"),
            (ids(), words(), "3", "low, mid, high"),
            (one_hot(), None, "2", "0, 1"),
        ] {
            let error = weigh(values, names, &[(key, 2.0)]).expect_err(key).to_string();
            assert!(error.contains(&format!("kind has no class \"{key}\"")), "{error}");
            assert!(error.contains(&format!("classes {classes}")) && error.contains("fit.class_weight"), "{error}");
        }
        for weight in [-1.0, f64::NAN, f64::INFINITY, 1e39, 1e-50] {
            let error = weigh(ids(), None, &[("0", weight)]).expect_err("no weight").to_string();
            assert!(error.contains(&format!("the weight of class \"0\" is {weight:?}")), "{error}");
        }
        assert_eq!(weigh(ids(), None, &[("0", 3e38), ("2", 1e-45)]).expect("float32 holds them")[0], 3e38);
        assert!(weigh(ids(), words(), &[("high", 1.0), ("2", 2.0)]).is_err(), "one class twice");
    }

    #[test]
    fn a_weight_product_outside_float32_is_an_error_with_its_row() {
        let weighted = |class_weight: f64, weights: [f32; 3]| {
            let inputs = Rows::new(vec![0.0; 3], &[3, 1]).expect("a column");
            let values = Array::I32(Rows::new(vec![0, 1, 1], &[3]).expect("a vector"));
            let target = Target { name: "y".into(), values, class_names: None };
            let weights = Rows::new(weights.to_vec(), &[3]).expect("a vector");
            let dataset = Dataset::new(inputs, vec![target], Some(weights)).expect("as many rows each");
            let dataset = dataset.weighted_by_class(&BTreeMap::from([("1".to_owned(), class_weight)]));
            dataset.map(|dataset| dataset.sample_weight.expect("weights").values().to_vec())
        };
        for (class_weight, weight) in [(1e30, 1e20), (1e-30, 1e-20)] {
            let error = weighted(class_weight, [1.0, 1.0, weight]).expect_err("it isn't held").to_string();
            assert!(error.contains("row     2 (from 0)") && error.contains("fit.class_weight"), "{error}");
        }
        assert_eq!(weighted(1e-30, [1.0, 1.0, 0.0]).expect("a weight of 0 stays 0")[2], 0.0);
        assert_eq!(weighted(0.0, [1.0, 1.0, 1e-20]).expect("a class may count nothing"), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn weighted_inputs_zeroes_rows_of_weight_0() {
        let rows = |values: &[f32], shape: &[usize]| Rows::new(values.to_vec(), shape).expect("as many as the shape");
        let mut buffer = Rows::without_rows(&[]);
        let mut inputs = |weight: Rows<f32>| {
            let inputs = rows(&[1.0, 2.0, f32::NAN, 3e38], &[2, 2]);
            let dataset = Dataset::new(inputs, Vec::new(), Some(weight)).expect("as many rows each");
            dataset
                .weighted_inputs(&mut buffer)
                .expect("in memory")
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let bits = |values: [f32; 4]| values.map(f32::to_bits);
        assert_eq!(inputs(rows(&[1.0, 0.0], &[2])), bits([1.0, 2.0, 0.0, 0.0]));
        assert_eq!(inputs(rows(&[1.0, 0.0, -0.0, 0.0], &[2, 2])), bits([1.0, 2.0, 0.0, 0.0]));
        let all = bits([1.0, 2.0, f32::NAN, 3e38]);
        assert_eq!(inputs(rows(&[1.0, 1e-30], &[2])), all);
        assert_eq!(inputs(rows(&[0.0, 1.0, 0.0, 1.0], &[2, 2])), all);
    }

    #[test]
    fn row_counts_must_match() {
        let inputs = Rows::new(vec![1.0, 2.0], &[2, 1]).expect("a column");
        let values = Array::U8(Rows::new(vec![1], &[1]).expect("a vector"));
        let target = Target { name: "y".into(), values, class_names: None };
        let error = Dataset::new(inputs, vec![target], None).expect_err("one row short");
        assert_eq!(error.message(), "the inputs have 2 rows and the target \"y\" 1");
    }
}
