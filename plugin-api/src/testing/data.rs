//! Arrays and batches of inputs to test components with.

use crate::{loss::Targets, Element, Error, Inputs, Result, Tensor};
use plugfit_abi as abi;
use std::sync::OnceLock;

/// The number of rows of a batch.
pub const ROWS: usize = 12;
/// The default number of columns of a batch.
pub const COLUMNS: usize = 4;

/// An array of numbers, converted lazily to the dtypes that components require.
pub struct Array {
    shape: Vec<i64>,
    f64s: Vec<f64>,
    f32s: OnceLock<Vec<f32>>,
    i32s: OnceLock<Vec<i32>>,
    i64s: OnceLock<Vec<i64>>,
    u8s: OnceLock<Vec<u8>>,
    u64s: OnceLock<Vec<u64>>,
}

impl Array {
    pub fn new(shape: &[usize], values: Vec<f64>) -> Self {
        Array {
            shape: shape.iter().map(|&length| length as i64).collect(),
            f64s: values,
            f32s: OnceLock::new(),
            i32s: OnceLock::new(),
            i64s: OnceLock::new(),
            u8s: OnceLock::new(),
            u64s: OnceLock::new(),
        }
    }

    /// Returns a tensor in the first of these dtypes that can represent the numbers, or in float32 if there is none.
    pub fn tensor(&self, wanted: Option<&Vec<String>>) -> Tensor<'_> {
        let whole = || self.f64s.iter().all(|value| value.fract() == 0.0);
        let holds = |dtype: &&String| dtype.starts_with("float") || whole();
        match wanted.and_then(|dtypes| dtypes.iter().find(holds)).map(String::as_str) {
            Some("float64") => Tensor::new(&self.f64s, &self.shape),
            Some("int32") => self.convert(&self.i32s, |value| value as i32),
            Some("int64") => self.convert(&self.i64s, |value| value as i64),
            Some("uint8") => self.convert(&self.u8s, |value| value as u8),
            Some("uint64") => self.convert(&self.u64s, |value| value as u64),
            _ => self.convert(&self.f32s, |value| value as f32),
        }
    }

    fn convert<'a, T: Element>(&'a self, cache: &'a OnceLock<Vec<T>>, convert: fn(f64) -> T) -> Tensor<'a> {
        let convert = || self.f64s.iter().map(|&value| convert(value)).collect();
        Tensor::new(cache.get_or_init(convert), &self.shape)
    }

    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    pub fn len(&self) -> usize {
        self.f64s.len()
    }

    pub fn numbers(&self) -> &[f64] {
        &self.f64s
    }

    /// Returns a copy with `by` added to one number.
    pub fn with_added(&self, index: usize, by: f64) -> Self {
        self.with_replaced(index, self.f64s[index] + by)
    }

    /// Returns a copy with one number replaced.
    pub fn with_replaced(&self, index: usize, number: f64) -> Self {
        let mut values = self.f64s.clone();
        values[index] = number;
        self.with(values)
    }

    pub fn copied(&self) -> Self {
        self.with(self.f64s.clone())
    }

    /// Returns an array of the same shape with other values.
    pub fn with(&self, values: Vec<f64>) -> Self {
        let shape: Vec<usize> = self.shape.iter().map(|&length| length as usize).collect();
        Array::new(&shape, values)
    }

    /// Concatenates arrays along the first axis. All must have the same number of columns.
    pub fn joined<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Self {
        let (mut shape, mut values) = (Vec::new(), Vec::new());
        for array in arrays {
            let lengths = array.shape.iter().map(|&length| length as usize);
            let before = shape.first().copied().unwrap_or(0);
            shape = lengths.collect();
            shape[0] += before;
            values.extend_from_slice(&array.f64s);
        }
        Array::new(&shape, values)
    }

    /// Returns these rows, in this order.
    pub fn rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let each = self.len() / (self.shape[0] as usize).max(1);
        let mut shape: Vec<usize> = self.shape.iter().map(|&length| length as usize).collect();
        let mut values = Vec::new();
        shape[0] = 0;
        for row in rows {
            values.extend_from_slice(&self.f64s[row * each..(row + 1) * each]);
            shape[0] += 1;
        }
        Array::new(&shape, values)
    }
}

/// A batch of a task.
pub struct Batch {
    pub y_true: Array,
    pub y_pred: Array,
    /// The range of the predictions.
    pub range: (f64, f64),
    /// Inputs of other names, from an example.
    pub others: Vec<(String, Array)>,
    /// The number of rows of the first input. Inputs with the same number of rows are split with it.
    pub count: usize,
    /// A number that isn't a class id.
    pub unknown_class: usize,
}

impl Batch {
    /// Returns a range of the rows.
    pub fn rows(&self, from: usize, to: usize) -> Self {
        self.picked(from..to)
    }

    /// Returns these rows, in this order. Inputs without a row for each are copied as a whole.
    pub fn picked(&self, rows: impl IntoIterator<Item = usize> + Clone) -> Self {
        let pick = |array: &Array| match array.shape().first() == Some(&(self.count as i64)) {
            true => array.rows(rows.clone()),
            false => array.copied(),
        };
        Batch {
            y_true: pick(&self.y_true),
            y_pred: pick(&self.y_pred),
            others: self.others.iter().map(|(name, array)| (name.clone(), pick(array))).collect(),
            count: rows.clone().into_iter().count(),
            ..*self
        }
    }

    /// Returns a copy with other predictions.
    pub fn predicting(&self, y_pred: Array) -> Self {
        let others = self.others.iter().map(|(name, array)| (name.clone(), array.copied())).collect();
        Batch { y_true: self.y_true.copied(), y_pred, others, ..*self }
    }

    /// Returns a copy that predicts the labels, if labels and predictions have the same shape.
    pub fn truth(&self) -> Option<Self> {
        (self.y_true.shape() == self.y_pred.shape()).then(|| self.predicting(self.y_true.copied()))
    }

    /// Applies `f` to every number.
    pub fn changed(&self, f: impl Fn(f64) -> f64) -> Self {
        let map = |array: &Array| array.with(array.numbers().iter().map(|&number| f(number)).collect());
        Batch {
            y_true: map(&self.y_true),
            y_pred: map(&self.y_pred),
            others: self.others.iter().map(|(name, array)| (name.clone(), map(array))).collect(),
            ..*self
        }
    }

    /// Replaces the predictions of the rows for which `is_nan` returns true by NaN.
    pub fn without_predictions(&self, is_nan: impl Fn(usize) -> bool) -> Self {
        let each = self.y_pred.len() / self.count.max(1);
        let replace = |(i, &number): (usize, &f64)| if is_nan(i / each.max(1)) { f64::NAN } else { number };
        self.predicting(self.y_pred.with(self.y_pred.numbers().iter().enumerate().map(replace).collect()))
    }

    /// Returns a batch with the same number of rows and no columns.
    pub fn without_columns(&self) -> Self {
        let nothing = || Array::new(&[self.y_pred.shape()[0] as usize, 0], Vec::new());
        let y_true = if self.truth().is_some() { nothing() } else { self.y_true.copied() };
        Batch { y_true, ..self.predicting(nothing()) }
    }

    /// Returns batches with unusual numbers in some places, each with a description.
    pub fn odd(&self) -> impl Iterator<Item = (String, Self)> + '_ {
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, -1.0, self.unknown_class as f64];
        // Only in the second half, after valid rows.
        let spoil = |array: &Array, number: f64| {
            let is_odd = |i: usize| i % 3 == 1 && i >= array.len() / 2;
            let values = array.numbers().iter().enumerate();
            array.with(values.map(|(i, &value)| if is_odd(i) { number } else { value }).collect())
        };
        numbers.into_iter().flat_map(move |number| {
            let (y_true, y_pred) = (spoil(&self.y_true, number), spoil(&self.y_pred, number));
            [
                (format!("{number} is in y_true"), Batch { y_true, ..self.predicting(self.y_pred.copied()) }),
                (format!("{number} is in y_pred"), self.predicting(y_pred)),
            ]
        })
    }

    /// Calls `f` with the declared inputs.
    pub fn with_inputs<T>(
        &self,
        names: &[String],
        dtypes: &[Vec<String>],
        weight: Option<&Array>,
        f: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let arrays = names.iter().map(|name| match self.others.iter().find(|(other, _)| other == name) {
            Some((_, array)) => array,
            None if name == "y_true" => &self.y_true,
            None => &self.y_pred,
        });
        with_arrays(names, dtypes, arrays, weight, f)
    }
}

/// Calls `f` with arrays by name, each in the first dtype that holds it.
pub fn with_arrays<'a, T>(
    names: &[String],
    dtypes: &[Vec<String>],
    arrays: impl IntoIterator<Item = &'a Array>,
    weight: Option<&Array>,
    f: impl FnOnce(&Inputs<'_>) -> T,
) -> T {
    let named = names.iter().zip(arrays).enumerate();
    let tensors: Vec<(&str, Tensor<'_>)> =
        named.map(|(i, (name, array))| (name.as_str(), array.tensor(dtypes.get(i)))).collect();
    f(&Inputs::new(&tensors, weight.map(|weight| weight.tensor(None)), None))
}

/// Returns weights of rows.
pub fn weights(values: impl IntoIterator<Item = f64>) -> Array {
    let values: Vec<f64> = values.into_iter().collect();
    Array::new(&[values.len()], values)
}

/// A deterministic generator of numbers from 0 to 1.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }

    fn many(&mut self, count: usize, from: f64, to: f64) -> Vec<f64> {
        (0..count).map(|_| from + (to - from) * self.next()).collect()
    }
}

/// The form of the batches to test a component with.
pub struct Task {
    pub targets: Option<Targets>,
    pub from_logits: bool,
    pub columns: usize,
    /// The number of class ids.
    pub classes: usize,
    pub seed: u64,
}

/// Returns batches of the possible tasks, the most likely first.
fn batches(task: &Task) -> Vec<Batch> {
    let (columns, classes) = (task.columns, task.classes.max(1));
    let mut random = Random(task.seed);
    let cells = ROWS * columns;
    let shape = [ROWS, columns];
    let ids: Vec<usize> = (0..ROWS).map(|row| (row * 7 + row / 3) % classes).collect();
    let rows_that_sum_to_1 = |random: &mut Random| {
        let mut values = random.many(cells, 0.05, 1.0);
        for row in values.chunks_mut(columns) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= sum);
        }
        values
    };
    const LOGITS: (f64, f64) = (-3.0, 3.0);
    let (low, high) = if task.from_logits { LOGITS } else { (0.05, 0.95) };
    let of_classes = |random: &mut Random| match task.from_logits {
        true => random.many(cells, low, high),
        false => rows_that_sum_to_1(random),
    };
    let one_hot: Vec<f64> =
        ids.iter().flat_map(|&id| (0..columns).map(move |column| f64::from(u8::from(column == id)))).collect();
    let id_column: Vec<f64> = ids.iter().map(|&id| id as f64).collect();
    let batch = |y_true: Array, y_pred: Array, range: (f64, f64)| Batch {
        y_true,
        y_pred,
        range,
        others: Vec::new(),
        count: ROWS,
        unknown_class: classes.max(columns),
    };
    let numbers = |random: &mut Random, from: f64, to: f64| {
        let (y_true, y_pred) = (random.many(cells, from, to), random.many(cells, from, to));
        batch(Array::new(&shape, y_true), Array::new(&shape, y_pred), (from, to))
    };
    let regression = numbers(&mut random, -1.5, 1.5);
    let flags = (0..cells).map(|i| f64::from(u8::from(i * 5 % 7 < 3))).collect();
    let binary = batch(Array::new(&shape, flags), Array::new(&shape, random.many(cells, low, high)), (low, high));
    let categorical = batch(Array::new(&shape, one_hot), Array::new(&shape, of_classes(&mut random)), (low, high));
    let sparse =
        batch(Array::new(&[ROWS], id_column.clone()), Array::new(&shape, of_classes(&mut random)), (low, high));
    let column =
        batch(Array::new(&[ROWS, 1], id_column.clone()), Array::new(&shape, of_classes(&mut random)), (low, high));
    let predicted = (0..ROWS).map(|row| ((row * 5 + row / 4) % classes) as f64).collect();
    let of_ids = batch(Array::new(&[ROWS], id_column), Array::new(&[ROWS], predicted), (0.0, classes as f64));
    let positive = numbers(&mut random, 0.1, 2.0);
    // CTC: two labels for four steps, none of them the blank.
    let labels = (0..2 * ROWS).map(|i| (1 + i % 3.min(classes - 1).max(1)) as f64).collect();
    let sequence = batch(
        Array::new(&[ROWS, 2], labels),
        Array::new(&[ROWS, 4, columns], (0..4).flat_map(|_| rows_that_sum_to_1(&mut random)).collect()),
        (low, high),
    );
    match task.targets {
        Some(Targets::Binary) => vec![binary],
        Some(Targets::Categorical) => vec![categorical],
        Some(Targets::Regression) => vec![regression, positive],
        Some(Targets::Sparse) => vec![sparse, column],
        None => vec![binary, categorical, regression, positive, sparse, column, sequence, of_ids],
    }
}

/// Returns the first batch of a task for which `is_finite` says so, or else the first that it accepts.
///
/// # Errors
/// Returns an error if a batch makes it panic, or all are refused: the last refusal, or `none` without a batch.
pub fn fitting(task: &Task, none: &str, is_finite: impl Fn(&Batch) -> Result<bool>) -> Result<Batch> {
    let (mut accepted, mut refusal) = (None, Error::input(none));
    for batch in batches(task) {
        match is_finite(&batch) {
            Ok(true) => return Ok(batch),
            Ok(false) => accepted = accepted.or(Some(batch)),
            Err(error) if error.kind() == abi::ERROR_PANIC => return Err(error),
            Err(error) => refusal = error,
        }
    }
    accepted.ok_or(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_batches(columns: usize, classes: usize) -> Vec<Batch> {
        batches(&Task { targets: None, from_logits: false, columns, classes, seed: 7 })
    }

    #[test]
    fn unknown_classes_exceed_both_columns_and_classes() {
        for (columns, classes, unknown) in [(4, 4, "4"), (2, 10, "10"), (4, 2, "4")] {
            for batch in default_batches(columns, classes) {
                let odd: Vec<String> = batch.odd().map(|(what, _)| what).collect();
                assert!(
                    odd.contains(&format!("{unknown} is in y_true")),
                    "{columns} columns, {classes} classes: {odd:?}"
                );
            }
        }
    }

    #[test]
    fn labels_of_sequences_are_classes_without_the_blank() {
        for columns in [2, 3, 4, 9] {
            let sequences =
                default_batches(columns, columns).into_iter().filter(|batch| batch.y_pred.shape().len() == 3);
            let all: Vec<f64> = sequences.flat_map(|batch| batch.y_true.numbers().to_vec()).collect();
            assert!(!all.is_empty() && all.iter().all(|&id| (1.0..columns as f64).contains(&id)), "{columns}: {all:?}");
        }
    }

    #[test]
    fn whole_numbers_convert_to_the_requested_integers() {
        let array = Array::new(&[2], vec![1.0, 3.0]);
        let wanted = |dtype: &str| vec![dtype.to_owned()];
        assert_eq!(array.tensor(Some(&wanted("uint64"))).as_slice::<u64>(), Some(&[1, 3][..]));
        assert_eq!(array.tensor(Some(&wanted("int32"))).as_slice::<i32>(), Some(&[1, 3][..]));
        assert!(Array::new(&[1], vec![0.5]).tensor(Some(&wanted("uint64"))).as_slice::<f32>().is_some());
    }

    #[test]
    fn inputs_without_a_row_for_each_are_copied_whole() {
        let batch = Batch {
            y_true: Array::new(&[3], vec![0.0, 1.0, 2.0]),
            y_pred: Array::new(&[1], vec![0.5]),
            range: (0.0, 1.0),
            others: vec![("level".into(), Array::new(&[], vec![4.0]))],
            count: 3,
            unknown_class: 1,
        };
        let picked = batch.picked([2, 0, 1, 2]);
        assert_eq!((picked.y_true.numbers(), picked.y_pred.numbers()), (&[2.0, 0.0, 1.0, 2.0][..], &[0.5][..]));
        assert_eq!((picked.count, picked.others[0].1.numbers()), (4, &[4.0][..]));
    }
}
