//! Checks, before training, that a dataset's targets fit the network's outputs and their losses.

use plugfit_api::loss::{ROUNDING, Targets};

use crate::compile::Compiled;
use crate::component::Loss;
use crate::data::{Array, Dataset, Target};
use crate::network::Network;
use crate::{Error, Result};

/// Checks the shape of each target, its labels against the range of the loss, its class ids against the classes of the
/// output, and its number of class names against the units of the output. `targets` contains the index of each output's
/// target.
///
/// Ids with more than one number per sample, and outputs with more than one axis, are checked by the loss in every
/// batch.
///
/// # Errors
/// Returns an error that names the target and the row of the first invalid label or id.
pub fn check(compiled: &Compiled, network: &dyn Network, targets: &[Option<usize>], dataset: &Dataset) -> Result<()> {
    for (output, loss) in compiled.component_losses() {
        let Some(target) = targets.get(output).copied().flatten() else { continue };
        let target = &dataset.targets()[target];
        loss.check_shapes(target.values.row_shape(), network.output_shape(output))?;
        let is_one = target.values.row_shape().iter().product::<usize>() == 1;
        if let (true, [numbers]) = (is_one, network.output_shape(output)) {
            words(target, loss, *numbers)?;
            if loss.info().targets == Some(Targets::Sparse) {
                ids(target, loss, *numbers, dataset)?;
            }
        }
        if let Some(range) = loss.info().labels {
            labels(target, loss, range, dataset)?;
        }
    }
    Ok(())
}

/// Returns the class of each row of an output's target. Returns `None` if the loss of the output is for regression, or
/// if the target has several columns and isn't one-hot.
pub fn row_classes(compiled: &Compiled, output: usize, target: &Array) -> Option<Vec<usize>> {
    let (_, loss) = compiled.component_losses().find(|(of, _)| *of == output)?;
    let is_one = target.row_shape().iter().product::<usize>() == 1;
    let has_classes = loss.info().targets != Some(Targets::Regression) && (is_one || target.is_one_hot());
    if has_classes { target.class_ids() } else { None }
}

/// Checks the number of class names against the number of units of an output.
fn words(target: &Target, loss: &Loss, numbers: usize) -> Result<()> {
    let Some(names) = target.class_names.as_ref() else { return Ok(()) };
    // One unit distinguishes two classes, unless it is the score of a class.
    let is_sparse = loss.info().targets == Some(Targets::Sparse);
    let classes = if numbers == 1 && !is_sparse { 2 } else { numbers };
    if names.len() <= classes {
        return Ok(());
    }
    let few: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let more = if names.len() > few.len() { ", …" } else { "" };
    let found = if numbers == 1 { "one number".into() } else { format!("{numbers} numbers") };
    let what = format!("the target \"{}\" has {} classes, and the network's output {found}", target.name, names.len());
    Err(Error::usage(what).with("classes", format!("{}{more}", few.join(", "))).hint(format!(
        "give the last layer one unit for each class, Dense({}, activation=softmax), with the loss sparse_categorical_crossentropy",
        names.len()
    )))
}

/// Returns whether a row has a weight other than 0.
fn counts(dataset: &Dataset, row: usize) -> bool {
    dataset.sample_weight().is_none_or(|weight| weight.slice(row..row + 1).iter().any(|&weight| weight != 0.0))
}

/// Checks labels against the range of a loss. Rows of weight 0 are ignored.
fn labels(target: &Target, loss: &Loss, (low, high): (f64, f64), dataset: &Dataset) -> Result<()> {
    if dataset.sample_weight().is_some_and(|weight| weight.row_shape().iter().product::<usize>() > 1) {
        // Weights are per element: the loss checks every batch.
        return Ok(());
    }
    let columns = target.values.row_shape().iter().product::<usize>().max(1);
    let wrong = |label: f64| label < low - ROUNDING || label > high + ROUNDING;
    let found = numbers(&target.values).enumerate().find(|&(at, label)| wrong(label) && counts(dataset, at / columns));
    let Some((at, label)) = found else { return Ok(()) };
    let name = loss.name();
    let all = || numbers(&target.values).filter(|label| label.is_finite());
    let hint = if all().all(|label| label == -1.0 || label == 1.0) {
        "write 0 for -1, or use the loss hinge".to_owned()
    } else if columns == 1 && all().all(|label| label.fract() == 0.0 && label >= 0.0) {
        format!(
            "for class ids, use sparse_categorical_crossentropy with one unit for each class, Dense({}, activation=softmax)",
            all().fold(0.0, f64::max) + 1.0
        )
    } else {
        "if the target is a quantity, use a regression loss such as \"mse\"".to_owned()
    };
    let row = at / columns;
    let place = if columns == 1 {
        format!("row {row} (from 0)")
    } else {
        format!("row {row}, column {} (from 0)", at % columns)
    };
    Err(Error::usage(format!(
        "the target \"{}\" contains {label}, but {name} accepts only labels between {low} and {high}",
        target.name
    ))
    .with("in", place)
    .hint(hint))
}

/// Checks class ids against the number of units of an output. Rows of weight 0 and the class that the loss ignores are
/// skipped.
fn ids(target: &Target, loss: &Loss, classes: usize, dataset: &Dataset) -> Result<()> {
    // Keras's key; any loss may have it.
    let ignored = loss.plugin().config()?.get("ignore_class").and_then(serde_json::Value::as_f64);
    let is_class = |id: f64| id.fract() == 0.0 && id >= 0.0 && id < classes as f64 || ignored == Some(id);
    let Some((row, id)) = numbers(&target.values).enumerate().find(|&(row, id)| !is_class(id) && counts(dataset, row))
    else {
        return Ok(());
    };
    let name = &target.name;
    if id.fract() != 0.0 {
        return Err(Error::usage(format!(
            "the target \"{name}\" contains {id}, which isn't a class id: class ids are integers"
        ))
        .with("in", format!("row {row} (from 0)"))
        .hint("if the target is a quantity, use a regression loss such as \"mse\""));
    }
    let found = match classes {
        1 => "one number, so that the only class is 0".to_owned(),
        _ => format!("{classes} numbers, the classes 0 to {}", classes - 1),
    };
    let known = numbers(&target.values).filter(|id| id.is_finite() && Some(*id) != ignored);
    let (least, most) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), id| (a.min(id), b.max(id)));
    let hint = if least >= 1.0 && most <= classes as f64 {
        format!("class ids start at 0: subtract 1, or give the last layer {} units", most + 1.0)
    } else if least < 0.0 {
        "class ids start at 0; to ignore one id, set ignore_class in the loss".to_owned()
    } else if classes == 1 && most == 1.0 {
        "for two classes and one output, use binary_crossentropy with the activation sigmoid".to_owned()
    } else {
        format!("give the last layer {} units, one for each class", most + 1.0)
    };
    Err(Error::usage(format!(
        "the target \"{name}\" contains class {id}, which the network doesn't have: its output has {found}"
    ))
    .with("in", format!("row {row} (from 0)"))
    .hint(hint))
}

/// Returns the numbers of an array. Rounding int64 above 2^53 is harmless, because no network has so many classes.
fn numbers(array: &Array) -> Box<dyn Iterator<Item = f64> + '_> {
    match array {
        Array::F32(rows) => Box::new(rows.values().iter().map(|&value| value.into())),
        Array::F64(rows) => Box::new(rows.values().iter().copied()),
        Array::I32(rows) => Box::new(rows.values().iter().map(|&value| value.into())),
        Array::I64(rows) => Box::new(rows.values().iter().map(|&value| value as f64)),
        Array::U8(rows) => Box::new(rows.values().iter().map(|&value| value.into())),
    }
}
