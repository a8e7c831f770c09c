//! The settings of a run file without `[network]` and `[compile]`: they follow from the target.

use serde_json::{Value, json};

use crate::compile::Compile;
use crate::data::{DataConfig, Dataset, SplitConfig, Target, ValidationConfig};
use crate::network::{Activation, LayerConfig, LayerKind, NetworkConfig};
use crate::text::grouped;
use crate::train::{FitConfig, RunFile};
use crate::{Error, Result};

/// The units of the hidden layer.
const UNITS: usize = 100;
const EPOCHS: u64 = 200;
/// The share of the samples for validation, if the run file doesn't say it.
const VALIDATION: f64 = 0.2;
/// The classes of a target of integers. More of them are numbers.
const MOST_CLASSES: usize = 100;

/// What a target is.
#[derive(Clone, Debug, PartialEq)]
enum Task {
    /// One of two classes.
    Binary,
    /// One of several classes, as ids or as one-hot rows.
    Classes { count: usize, one_hot: bool },
    /// Numbers, with the mean and the standard deviation of each column.
    Numbers { mean: Vec<f64>, deviation: Vec<f64> },
}

/// The settings.
pub struct Defaults {
    pub network: NetworkConfig,
    pub compile: Compile,
    pub fit: FitConfig,
    /// What they follow from: "a target of 3 classes".
    pub of: String,
}

/// Returns whether a run file leaves the network and the compile settings to the defaults.
///
/// # Errors
/// Returns a usage error if it has one of the two tables only.
pub fn are_wanted(file: &RunFile) -> Result<bool> {
    let missing = |table: &str, other: &str| {
        Err(Error::usage(format!("{} has a [{other}] and no [{table}]", file.name()))
            .with("in", file.name().to_owned())
            .hint(format!("write [{table}] too, or leave out both: they then follow from the target")))
    };
    match (file.is_set("network"), file.is_set("compile")) {
        (true, true) => Ok(false),
        (false, false) => Ok(true),
        (true, false) => missing("compile", "network"),
        (false, true) => missing("network", "compile"),
    }
}

/// Adds a validation split to the data of a run with default settings, unless it has validation data.
pub fn with_validation(data: DataConfig) -> DataConfig {
    if data.validation.is_some() || data.validation_split.is_some() {
        return data;
    }
    let split = SplitConfig { fraction: VALIDATION, how: None, by: None, seed: None };
    DataConfig { validation: Some(ValidationConfig::Split(split)), ..data }
}

impl Defaults {
    /// Returns the settings for these training samples. Settings of `[fit]` that the file has are kept.
    ///
    /// # Errors
    /// Returns an error if there are several targets, or if all samples have the same target.
    pub fn of(train: &Dataset, validates: bool, file: &RunFile) -> Result<Self> {
        let task = Task::of(train)?;
        let mut layers = vec![LayerConfig::dense(UNITS, Activation::Relu)];
        let mut optimizer = json!({"class_name": "Adam", "config": {"learning_rate": 0.001}});
        let (of, loss, metrics) = match &task {
            Task::Binary => {
                layers.push(LayerConfig::dense(1, Activation::Sigmoid));
                ("a target of 2 classes".to_owned(), "binary_crossentropy", json!(["accuracy", "AUC"]))
            }
            Task::Classes { count, one_hot } => {
                layers.push(LayerConfig::dense(*count, Activation::Softmax));
                let loss = if *one_hot { "categorical_crossentropy" } else { "sparse_categorical_crossentropy" };
                (format!("a target of {} classes", grouped(*count)), loss, json!(["accuracy"]))
            }
            Task::Numbers { mean, deviation } => {
                layers.push(LayerConfig::dense(mean.len(), Activation::Linear));
                let scale = deviation.iter().map(|deviation| if *deviation > 0.0 { *deviation } else { 1.0 }).collect();
                layers.push(LayerConfig::new(LayerKind::Rescaling { scale, offset: mean.clone() }));
                // Gradients are proportional to the variance of the target, and Adam adds epsilon to their size.
                let least = deviation.iter().copied().fold(f64::INFINITY, f64::min);
                if least > 0.0 && least < 0.1 {
                    optimizer["config"]["epsilon"] = json!(1e-7 * least * least);
                }
                let columns = match mean.len() {
                    1 => "a target of numbers".to_owned(),
                    columns => format!("a target of {} columns of numbers", grouped(columns)),
                };
                (columns, "mean_squared_error", json!(["mean_absolute_error", "R2Score"]))
            }
        };
        let compile = json!({"optimizer": optimizer, "loss": loss, "metrics": metrics});
        let fit = file.fit()?;
        let default = |key: &str| !file.is_set(&format!("fit.{key}"));
        let fit = FitConfig {
            epochs: if default("epochs") { EPOCHS } else { fit.epochs },
            callbacks: if default("callbacks") { callbacks(validates) } else { fit.callbacks },
            ..fit
        };
        let network = NetworkConfig { layers, ..NetworkConfig::default() };
        Ok(Defaults { network, compile: Compile::from_json(&compile, None)?, fit, of })
    }
}

/// Training ends once the validation loss hasn't improved for some epochs, with the weights of the best one.
fn callbacks(validates: bool) -> Vec<Value> {
    let monitor = if validates { "val_loss" } else { "loss" };
    vec![json!({
        "class_name": "EarlyStopping",
        "config": {"monitor": monitor, "patience": 20, "restore_best_weights": true},
    })]
}

impl Task {
    fn of(train: &Dataset) -> Result<Self> {
        let hint = "write [network] and [compile]";
        let [target] = train.targets() else {
            let count = train.targets().len();
            return Err(Error::usage(format!("a run without [network] has one target, not {count}")).hint(hint));
        };
        let Target { name, values, class_names } = target;
        let (ids, width) = (train.sample_classes(), values.row_shape().iter().product::<usize>());
        let count = match (class_names, &ids) {
            (Some(names), _) => Some(names.len()),
            (None, Some(_)) if values.is_one_hot() && width > 1 => Some(width),
            (None, Some(ids)) => ids.iter().max().map(|most| most + 1).filter(|count| *count <= MOST_CLASSES),
            (None, None) => None,
        };
        let constant =
            || Err(Error::failure(format!("all samples have the same {name}: there is nothing to learn")).hint(hint));
        match count {
            Some(1) => constant(),
            Some(2) if width == 1 => Ok(Task::Binary),
            Some(count) => Ok(Task::Classes { count, one_hot: width > 1 }),
            None => {
                let (mean, deviation) = values.column_statistics();
                match deviation.iter().all(|deviation| *deviation == 0.0) {
                    true => constant(),
                    false => Ok(Task::Numbers { mean, deviation }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Array, Rows};

    fn task(values: Array, class_names: Option<&[&str]>) -> Result<Task> {
        let rows = values.len();
        let class_names = class_names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let target = Target { name: "y".into(), values, class_names };
        let inputs = Rows::new(vec![0.0; rows], &[rows, 1]).expect("a column");
        Task::of(&Dataset::new(inputs, vec![target], None).expect("as many rows"))
    }

    fn whole(values: &[i64]) -> Array {
        Array::I64(Rows::new(values.to_vec(), &[values.len()]).expect("a vector"))
    }

    fn numbers(values: &[f64], columns: usize) -> Array {
        Array::F64(Rows::new(values.to_vec(), &[values.len() / columns, columns]).expect("rows"))
    }

    #[test]
    fn the_task_follows_from_the_target() {
        let classes = |count, one_hot| Task::Classes { count, one_hot };
        assert_eq!(task(whole(&[0, 1, 1, 0]), None).expect("a task"), Task::Binary);
        assert_eq!(task(whole(&[0, 1]), Some(&["no", "yes"])).expect("a task"), Task::Binary);
        assert_eq!(task(whole(&[0, 1, 2, 0, 1, 2]), None).expect("a task"), classes(3, false));
        assert_eq!(task(whole(&[0, 1, 2]), Some(&["a", "b", "c"])).expect("a task"), classes(3, false));
        assert_eq!(task(numbers(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.0], 3), None).expect("a task"), classes(3, true));
        // Integers that don't number classes are numbers.
        for values in [&[1_i64, 2, 3, 1, 2, 3][..], &[0, 2, 4, 0], &[-1, 1, 1, -1], &[0, 1, 2, 3], &[250_000, 310_000]]
        {
            assert!(matches!(task(whole(values), None), Ok(Task::Numbers { .. })), "{values:?}");
        }
        let found = task(numbers(&[1.0, 10.0, 3.0, 10.0], 2), None).expect("a task");
        assert_eq!(found, Task::Numbers { mean: vec![2.0, 10.0], deviation: vec![1.0, 0.0] });
    }

    #[test]
    fn a_target_without_differences_is_refused() {
        for (values, names) in [(whole(&[0, 0]), None), (whole(&[7, 7, 7]), None), (whole(&[0, 0]), Some(&["a"][..]))] {
            let error = task(values, names).expect_err("nothing to learn").to_string();
            assert!(error.contains("the same y"), "{error}");
        }
    }
}
