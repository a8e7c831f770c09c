//! Detects runs that are no better than chance, from the predictions of the report and from the history.

use ndarray::{ArrayViewD, Axis};
use plugfit_api::metric::Direction;

use crate::compile::Compiled;
use crate::data::{Array, Dataset, Inputs};
use crate::report::{Confusion, Roc};
use crate::text::grouped;
use crate::train::{History, check_targets};

/// With fewer samples, a frequency or an area may equal that of chance by accident.
const FEWEST: usize = 30;

/// Predictions count as equal if they differ by at most this fraction of the [`spread`] of the targets.
const SAME: f64 = 1e-4;

/// As [`SAME`], if the order of the predictions is better than chance. The order of saturated probabilities, such as
/// 1e-30 and 1e-31, means nothing.
const SATURATED: f64 = 1e-7;

/// Returns why the predictions after `epochs` epochs are no better than chance, or `None` if they are better or it is
/// undecidable. `from_history` is the result of [`in_history`], which the order of the predictions may contradict.
pub fn in_predictions(
    targets: &Array,
    scores: &ArrayViewD<'_, f32>,
    (confusion, roc): (Option<&Confusion>, &[Roc]),
    epochs: usize,
    from_history: Option<String>,
) -> Option<String> {
    let area = roc.iter().map(|curve| curve.area).sum::<f64>() / roc.len() as f64;
    let is_ordered = !roc.is_empty() && area > 0.55;
    let spread = spread(targets);
    // If all targets are equal, equal predictions are right.
    if spread == 0.0 || scores.iter().any(|score| !score.is_finite()) {
        return None;
    }
    if is_constant(scores, spread * if is_ordered { SATURATED } else { SAME }) {
        return Some("it predicts the same for every sample".into());
    }
    let rows = scores.len_of(Axis(0));
    // After a single epoch, training may only have begun.
    if is_ordered || rows < FEWEST || epochs < 2 {
        return None;
    }
    if !roc.is_empty() && roc.iter().all(|curve| (curve.area - 0.5).abs() < 0.02) {
        return Some("the area under its ROC curve is 0.5".into());
    }
    // The class that a single column predicts depends on a threshold.
    let confusion = confusion.filter(|_| scores.ndim() == 2 && scores.len_of(Axis(1)) > 1);
    let predicted_class = confusion.and_then(|Confusion { names, counts }| {
        let times = |class: usize| counts.iter().skip(class).step_by(names.len()).sum::<usize>();
        (0..names.len()).find(|class| times(*class) == rows).map(|class| &names[class])
    });
    predicted_class.map(|class| format!("it predicts class {class} for every sample")).or(from_history)
}

/// Returns why a run is no better than chance by its history alone: a metric of classes is 0.5, or the frequency of the
/// most frequent class, in every epoch. This also works for data that aren't predicted for the report.
pub fn in_history(history: &History, compiled: &Compiled, outputs: &[String], data: &Dataset) -> Option<String> {
    if history.epochs.len() < 2 || data.len() < FEWEST {
        return None;
    }
    let prefix = if history.epochs[0].logs.get("val_loss").is_some() { "val_" } else { "" };
    let maximized = compiled.component_metrics().filter(|(.., metric)| metric.direction() == Direction::Maximize);
    maximized.into_iter().find_map(|(column, output, _)| {
        let target = match data.targets() {
            [target] => target,
            targets => targets.iter().find(|target| outputs.get(output) == Some(&target.name))?,
        };
        let ids = check_targets::row_classes(compiled, output, &target.values)?;
        let mut counts = std::collections::BTreeMap::<usize, usize>::new();
        ids.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
        let share = counts.values().copied().max()? as f64 / ids.len() as f64;
        if counts.len() < 2 {
            return None;
        }
        let name = format!("{prefix}{column}");
        let always = |level: f64| {
            let mut values = history.epochs.iter().map(|epoch| epoch.logs.number(&name));
            values.all(|value| value.is_some_and(|value| (value - level).abs() < SAME))
        };
        match (always(share), always(0.5)) {
            (true, _) => Some(format!("{name} equals the frequency of the most frequent class in every epoch")),
            (_, true) => Some(format!("{name} is 0.5 in every epoch")),
            _ => None,
        }
    })
}

/// Returns the warning with its likely cause. `columns` are the names of the inputs, if they have names, and `ids` the
/// indices of those that are ids.
pub fn warning(sign: &str, inputs: &Inputs, columns: &[String], ids: &[usize]) -> String {
    /// Initial weights suit inputs of about 1.
    const LARGE: f32 = 10.0;
    const SMALL: f32 = 0.25;
    let ranges = ranges(inputs, columns).into_iter().enumerate();
    let ranges: Vec<Range> = ranges.filter(|(index, _)| !ids.contains(index)).map(|(_, range)| range).collect();
    let size = |range: &Range| range.least.abs().max(range.most.abs());
    let mut large: Vec<&Range> = ranges.iter().filter(|range| size(range) > LARGE).collect();
    large.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let largest = ranges.iter().map(size).fold(0.0, f32::max);
    let reason = if let [first, rest @ ..] = &large[..] {
        let second = rest.first().map(|range| format!(", {range}")).unwrap_or_default();
        format!("likely its inputs aren't scaled: {first}{second}. Set data.scale, or standardise each column")
    } else if ranges.is_empty() {
        "likely its inputs aren't scaled: set data.scale, or standardise each column".into()
    } else if largest < SMALL {
        format!(
            "likely its inputs aren't scaled: all are within {largest} of 0. Set data.scale, or standardise each column"
        )
    } else {
        format!(
            "its inputs are scaled, within {largest} of 0: try another learning rate, more epochs, or more informative inputs"
        )
    };
    format!("this run is no better than chance: {sign}; {reason}")
}

/// The range of the values of an input.
struct Range {
    name: String,
    least: f32,
    most: f32,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: f32| {
            if number.abs() < 1e6 && number.fract() == 0.0 {
                let sign = if number < 0.0 { "-" } else { "" };
                format!("{sign}{}", grouped(number.abs() as usize))
            } else {
                format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        };
        write!(f, "{} goes from {} to {}", self.name, number(self.least), number(self.most))
    }
}

/// Returns the range of each column, one range if the inputs aren't columns, or none if they are on disk.
fn ranges(inputs: &Inputs, columns: &[String]) -> Vec<Range> {
    let Some(rows) = inputs.in_memory() else { return Vec::new() };
    let width = match inputs.row_shape() {
        &[width] if width > 0 => width,
        _ => 1,
    };
    let name = |column: usize| match columns.get(column) {
        Some(name) if columns.len() == width && inputs.row_shape().len() == 1 => format!("\"{name}\""),
        _ if width == 1 => "the input".to_owned(),
        _ => format!("column {}", column + 1),
    };
    let mut ranges: Vec<Range> =
        (0..width).map(|column| Range { name: name(column), least: f32::INFINITY, most: f32::NEG_INFINITY }).collect();
    for row in rows.values().chunks_exact(width) {
        for (range, value) in ranges.iter_mut().zip(row) {
            range.least = range.least.min(*value);
            range.most = range.most.max(*value);
        }
    }
    ranges
}

/// Returns the spread of the targets: the interquartile range, which ignores outliers, or the full range if that is 0,
/// as it may be for labels. For several columns, it is the largest spread.
fn spread(targets: &Array) -> f64 {
    fn of<T: Copy>(values: &[T], width: usize, number: impl Fn(T) -> f64) -> f64 {
        let column = |column: usize| {
            let mut values: Vec<f64> = values.iter().skip(column).step_by(width).map(|value| number(*value)).collect();
            let Some(last) = values.len().checked_sub(1) else { return 0.0 };
            let mut ranked = |rank: usize| *values.select_nth_unstable_by(rank, f64::total_cmp).1;
            let middle = ranked(last * 3 / 4) - ranked(last / 4);
            if middle > 0.0 { middle } else { ranked(last) - ranked(0) }
        };
        (0..width).map(column).fold(0.0, f64::max)
    }
    let width = targets.row_shape().iter().product::<usize>().max(1);
    match targets {
        Array::F32(rows) => of(rows.values(), width, f64::from),
        Array::F64(rows) => of(rows.values(), width, |value| value),
        Array::I32(rows) => of(rows.values(), width, f64::from),
        Array::I64(rows) => of(rows.values(), width, |value| value as f64),
        Array::U8(rows) => of(rows.values(), width, f64::from),
    }
}

/// Returns whether every row equals the first, up to differences of `within`.
fn is_constant(scores: &ArrayViewD<'_, f32>, within: f64) -> bool {
    let Some(first) = scores.axis_iter(Axis(0)).next() else { return false };
    let is_first =
        |row: ArrayViewD<'_, f32>| row.iter().zip(&first).all(|(a, b)| (f64::from(*a) - f64::from(*b)).abs() <= within);
    scores.axis_iter(Axis(0)).all(is_first)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::Rows;

    fn sign(ids: &[i32], scores: Array2<f32>) -> Option<String> {
        let targets = Array::I32(Rows::new(ids.to_vec(), &[ids.len()]).expect("a vector"));
        let scores = scores.into_dyn();
        let ids = targets.class_ids().expect("classes");
        let (confusion, roc) = (Confusion::new(&ids, &scores.view(), None), Roc::per_class(&ids, &scores.view(), None));
        in_predictions(&targets, &scores.view(), (confusion.as_ref(), &roc), 2, None)
    }

    fn labels(rows: usize) -> Vec<i32> {
        (0..rows as i32).map(|row| i32::from(row % 3 == 0)).collect()
    }

    #[test]
    fn predictions_that_do_not_depend_on_the_sample_are_no_better_than_chance() {
        for rows in [4, 300] {
            let says = sign(&labels(rows), Array2::from_elem((rows, 1), 0.3)).expect("it is chance");
            assert!(says.contains("the same"), "{says}");
            let two = Array2::from_shape_fn((rows, 2), |(_, class)| [0.4, 0.6][class]);
            assert!(sign(&labels(rows), two).is_some());
        }
        // Saturated: the order is that of the labels, but means nothing.
        let saturated =
            Array2::from_shape_fn(
                (300, 2),
                |(row, class)| {
                    if class == 0 { 1.0 } else { 1e-30 * (1 + labels(300)[row]) as f32 }
                },
            );
        assert!(sign(&labels(300), saturated).is_some_and(|says| says.contains("the same")));
        // Alternates independently of the label.
        let random = Array2::from_shape_fn((300, 1), |(row, _)| if (row / 3) % 2 == 0 { 0.2 } else { 0.8 });
        assert!(sign(&labels(300), random).is_some_and(|says| says.contains("ROC")));
    }

    #[test]
    fn with_too_many_classes_for_curves_the_predicted_class_decides() {
        let ids: Vec<i32> = (0..300).map(|row| row % 20).collect();
        let one = Array2::from_shape_fn(
            (300, 20),
            |(row, class)| {
                if class == 7 { 0.5 } else { (row + class) as f32 / 3200.0 }
            },
        );
        assert!(sign(&ids, one).is_some_and(|says| says.contains("class 7")));
        let right = Array2::from_shape_fn((300, 20), |(row, class)| if row % 20 == class { 0.5 } else { 0.02 });
        assert_eq!(sign(&ids, right), None);
    }

    #[test]
    fn learnt_predictions_are_better_than_chance() {
        let ids = labels(300);
        let score = |row: usize, low: f32, high: f32| if ids[row] == 1 { high } else { low };
        assert_eq!(sign(&ids, Array2::from_shape_fn((300, 1), |(row, _)| score(row, 0.1, 0.9))), None);
        // A rare class: each sample is predicted as the frequent class, but the order is right.
        assert_eq!(sign(&ids, Array2::from_shape_fn((300, 1), |(row, _)| score(row, 0.010, 0.012))), None);
        let two = Array2::from_shape_fn(
            (300, 2),
            |(row, class)| {
                if class == 1 { score(row, 0.1, 0.3) } else { score(row, 0.9, 0.7) }
            },
        );
        assert_eq!(sign(&ids, two), None);
        assert_eq!(sign(&[1; 300], Array2::from_elem((300, 1), 1.0)), None, "all targets are the same");
        assert_eq!(sign(&labels(300), Array2::from_elem((300, 1), f32::NAN)), None);
        // Too few samples.
        assert_eq!(
            sign(&[0, 1, 0, 1], Array2::from_shape_fn((4, 2), |(row, class)| [0.2 + row as f32 / 10.0, 0.9][class])),
            None
        );
    }

    #[test]
    fn a_regression_of_small_numbers_that_varies_is_better_than_chance() {
        let column = |scale: f32| (0..100).map(|row| scale * (row % 7) as f32).collect::<Vec<f32>>();
        let targets = Array::F32(Rows::new(column(1e-7), &[100]).expect("a vector"));
        let of = |values: Vec<f32>| Array2::from_shape_vec((100, 1), values).expect("a column").into_dyn();
        assert_eq!(in_predictions(&targets, &of(column(0.9e-7)).view(), (None, &[]), 2, None), None);
        assert!(in_predictions(&targets, &of(vec![3e-7; 100]).view(), (None, &[]), 2, None).is_some());
    }

    #[test]
    fn an_outlier_among_the_targets_does_not_make_predictions_equal() {
        let mut targets: Vec<f32> = (0..100).map(|row| (row % 7) as f32).collect();
        targets[50] = 1e6;
        let scores = targets.iter().map(|target| target.min(7.0) * 0.9).collect();
        let scores = Array2::from_shape_vec((100, 1), scores).expect("a column").into_dyn();
        let targets = Array::F32(Rows::new(targets, &[100]).expect("a vector"));
        assert_eq!(in_predictions(&targets, &scores.view(), (None, &[]), 2, None), None);
        let same = Array2::from_elem((100, 1), 3.0).into_dyn();
        assert!(in_predictions(&targets, &same.view(), (None, &[]), 2, None).is_some());
    }

    #[test]
    fn a_metric_that_is_the_share_of_a_class_in_every_epoch_is_chance() {
        use crate::compile::{Compile, LogValue, Logs, OutputShapes};
        use crate::train::Epoch;
        let host = crate::Host::new();
        let (loss, metrics) = ("binary_crossentropy".into(), ["accuracy"].into());
        let mut compiled = host.compile(Compile { loss, metrics, ..Compile::default() }).expect("it can be compiled");
        compiled.build(&[OutputShapes { y_true: Some(&[60]), y_pred: &[60, 1] }]).expect("the shapes fit");
        let targets = Array::I32(Rows::new(labels(60), &[60]).expect("a vector"));
        let target = crate::data::Target { name: "y".into(), values: targets.clone(), class_names: None };
        let inputs = Rows::new(vec![0.0; 60], &[60, 1]).expect("a column");
        let data = Dataset::new(inputs, vec![target], None).expect("as many rows each");
        let sign = |values: &[f64]| {
            let epoch = |(index, value): (usize, &f64)| {
                let mut logs = Logs::default();
                logs.push("val_loss", LogValue::Number(0.7));
                logs.push("val_accuracy", LogValue::Number(*value));
                Epoch { epoch: index as u64 + 1, logs, learning_rate: 0.1, seconds: 0.0 }
            };
            let history = History { epochs: values.iter().enumerate().map(epoch).collect() };
            in_history(&history, &compiled, &["y".to_owned()], &data)
        };
        let share = 40.0 / 60.0;
        let found = sign(&[share, share]).expect("it is chance");
        assert!(found.contains("val_accuracy equals the frequency of the most frequent class"), "{found}");
        assert!(sign(&[0.5, 0.5, 0.5]).is_some_and(|says| says.contains("0.5 in every epoch")));
        assert_eq!(sign(&[share]), None, "a single epoch");
        assert_eq!(sign(&[share, 0.9]), None);
        // The history counts unless the order of the predictions contradicts it.
        let score = |high: f32| {
            let values =
                Array2::from_shape_fn(
                    (60, 1),
                    |(row, _)| if row % 3 == 0 { high } else { 0.2 + (row % 7) as f32 / 100.0 },
                );
            let (values, ids) = (values.into_dyn(), targets.class_ids().expect("classes"));
            let roc = Roc::per_class(&ids, &values.view(), None);
            in_predictions(&targets, &values.view(), (None, &roc), 2, Some(found.clone()))
        };
        assert_eq!(score(0.4), None);
        assert_eq!(score(0.1), Some(found.clone()));
    }

    #[test]
    fn the_reason_names_the_columns_that_are_not_scaled() {
        let inputs = |values: Vec<f32>| Inputs::from(Rows::new(values, &[2, 2]).expect("two columns"));
        let columns = ["age".to_owned(), "income".to_owned()];
        let text = warning("x", &inputs(vec![18.0, 1200.0, 90.0, 250_000.0]), &columns, &[]);
        assert!(text.contains("\"income\" goes from 1,200 to 250,000, \"age\" goes from 18 to 90"), "{text}");
        assert!(text.contains("data.scale") && text.contains("standardise"), "{text}");
        let text = warning("x", &inputs(vec![0.1, -0.5, 0.9, 1.0]), &columns, &[]);
        assert!(text.contains("within 1 of 0") && text.contains("learning rate"), "{text}");
        let text = warning("x", &inputs(vec![1e-5, 2e-5, 3e-5, 1e-6]), &columns, &[]);
        assert!(text.contains("aren't scaled") && text.contains("data.scale"), "{text}");
    }
}
