//! Arrays of samples along the first axis, generic over the element type.

use std::ops::Range;

use ndarray::{ArrayView, ArrayViewD, Dimension, IxDyn};

use super::number::Number;
use crate::component::Values;
use crate::{Error, Result};

/// An array `[N, ...row_shape]` in C order, with borrowed slices and gathering of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T> {
    values: Vec<T>,
    row_shape: Vec<usize>,
    len: usize,
}

impl<T: Copy> Rows<T> {
    /// Creates an array of shape `shape`; the first axis is the sample axis.
    ///
    /// # Errors
    /// Returns an error if `shape` is empty or its product isn't `values.len()`.
    pub fn new(values: Vec<T>, shape: &[usize]) -> Result<Self> {
        let (&len, row_shape) =
            shape.split_first().ok_or_else(|| Error::usage("an array of samples needs at least one axis"))?;
        let numbers = shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis));
        if numbers != Some(values.len()) {
            return Err(Error::usage(format!("{} numbers don't fill the shape {shape:?}", values.len())));
        }
        Ok(Rows { values, row_shape: row_shape.to_vec(), len })
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the shape of one row; empty for `[N]`.
    pub fn row_shape(&self) -> &[usize] {
        &self.row_shape
    }

    /// Returns all elements in C order.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Returns all elements in C order, mutably.
    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Returns a view of all rows, `[N, ...row_shape]`.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        self.slice(0..self.len)
    }

    /// Returns a view of a range of rows.
    ///
    /// # Panics
    /// Panics if the range is out of bounds.
    pub fn slice(&self, rows: Range<usize>) -> ArrayViewD<'_, T> {
        let mut shape = IxDyn::zeros(1 + self.row_shape.len());
        shape[0] = rows.len();
        shape.slice_mut()[1..].copy_from_slice(&self.row_shape);
        let width = self.row_len();
        let values = &self.values[rows.start * width..rows.end * width];
        ArrayView::from_shape(shape, values).expect("whole rows fill the shape")
    }

    /// Creates an array of this row shape with no rows.
    pub fn without_rows(row_shape: &[usize]) -> Self {
        Rows { values: Vec::new(), row_shape: row_shape.to_vec(), len: 0 }
    }

    /// Creates an array of the same row shape with no rows.
    pub(super) fn empty_like(&self) -> Self {
        Self::without_rows(&self.row_shape)
    }

    /// Replaces the contents with `len` rows of shape `row_shape`, reusing the memory. `fill` appends the elements; if
    /// it fails or appends the wrong number of elements, the array has no rows.
    pub(super) fn refill(
        &mut self,
        row_shape: &[usize],
        len: usize,
        fill: impl FnOnce(&mut Vec<T>) -> Result<()>,
    ) -> Result<()> {
        self.values.clear();
        self.row_shape.clear();
        self.row_shape.extend_from_slice(row_shape);
        self.len = 0;
        fill(&mut self.values)?;
        if self.values.len() != len * self.row_len() {
            return Err(Error::failure(format!("{} numbers don't fill {len} rows", self.values.len())));
        }
        self.len = len;
        Ok(())
    }

    /// Replaces the contents of `batch` with the rows at these indices, in that order, reusing its memory.
    pub(super) fn gather_into(&self, rows: &[usize], batch: &mut Rows<T>) {
        let width = self.row_len();
        batch.row_shape.clone_from(&self.row_shape);
        batch.len = rows.len();
        batch.values.clear();
        if width == 1 {
            batch.values.extend(rows.iter().map(|&row| self.values[row]));
        } else {
            for &row in rows {
                batch.values.extend_from_slice(&self.values[row * width..][..width]);
            }
        }
    }

    /// Removes the rows from `at` to the end and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let at = at.min(self.len);
        let values = self.values.split_off(at * self.row_len());
        let len = self.len - at;
        self.len = at;
        Rows { values, row_shape: self.row_shape.clone(), len }
    }

    /// Applies `change` to each element.
    pub(super) fn map<U>(&self, change: impl Fn(T) -> U) -> Rows<U> {
        let values = self.values.iter().map(|&value| change(value)).collect();
        Rows { values, row_shape: self.row_shape.clone(), len: self.len }
    }

    /// Returns one row in C order. Panics if `row` is out of bounds.
    pub(super) fn row(&self, row: usize) -> &[T] {
        &self.values[row * self.row_len()..][..self.row_len()]
    }

    /// The mutable version of [`row`](Self::row).
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let width = self.row_len();
        &mut self.values[row * width..][..width]
    }

    fn row_len(&self) -> usize {
        self.row_shape.iter().product()
    }
}

/// An array `[N, ...]` of one of the supported element types.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Array {
    /// float32
    F32(Rows<f32>),
    /// float64
    F64(Rows<f64>),
    /// int32
    I32(Rows<i32>),
    /// int64
    I64(Rows<i64>),
    /// uint8; bool is stored as uint8
    U8(Rows<u8>),
}

/// Evaluates the same expression for every variant.
macro_rules! for_any {
    ($array:expr, $rows:ident => $result:expr) => {
        match $array {
            Array::F32($rows) => $result,
            Array::F64($rows) => $result,
            Array::I32($rows) => $result,
            Array::I64($rows) => $result,
            Array::U8($rows) => $result,
        }
    };
}

/// Evaluates the same expression for every variant and wraps the result in the variant of the same type.
macro_rules! map_any {
    ($array:expr, $rows:ident => $result:expr) => {
        match $array {
            Array::F32($rows) => Array::F32($result),
            Array::F64($rows) => Array::F64($result),
            Array::I32($rows) => Array::I32($result),
            Array::I64($rows) => Array::I64($result),
            Array::U8($rows) => Array::U8($result),
        }
    };
}

impl Array {
    /// Returns the class of each row: the value itself for single-element rows, else the argmax. Returns `None` if a
    /// value is not a class id.
    pub fn class_ids(&self) -> Option<Vec<usize>> {
        fn ids<T: Number>(rows: &[T], columns: usize) -> Option<Vec<usize>> {
            let id = |value: f64| (value >= 0.0 && value.fract() == 0.0).then_some(value as usize);
            let greatest = |row: &[T]| {
                (1..row.len()).fold(0, |best, i| if row[i].to_f64() > row[best].to_f64() { i } else { best })
            };
            match columns {
                0 => None,
                1 => rows.iter().map(|&value| id(value.to_f64())).collect(),
                _ => Some(rows.chunks_exact(columns).map(greatest).collect()),
            }
        }
        for_any!(self, rows => ids(rows.values(), rows.row_len()))
    }

    /// Returns the mean and the standard deviation of the population for each element of the rows, in float64.
    pub(crate) fn column_statistics(&self) -> (Vec<f64>, Vec<f64>) {
        fn statistics<T: Number>(rows: &Rows<T>) -> (Vec<f64>, Vec<f64>) {
            let (columns, count) = (rows.row_len().max(1), rows.len().max(1) as f64);
            let column = |at: usize| rows.values().iter().skip(at).step_by(columns).map(|value| value.to_f64());
            let mean: Vec<f64> = (0..rows.row_len()).map(|at| column(at).sum::<f64>() / count).collect();
            let variance = |(at, mean): (usize, &f64)| column(at).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            let deviation = mean.iter().enumerate().map(|of| variance(of).sqrt()).collect();
            (mean, deviation)
        }
        for_any!(self, rows => statistics(rows))
    }

    /// Returns whether each row has exactly one 1 and is 0 elsewhere.
    pub fn is_one_hot(&self) -> bool {
        fn one_hot<T: Number>(rows: &Rows<T>) -> bool {
            let is_one_hot = |row: &[T]| {
                row.iter().all(|value| value.to_f64() == 0.0 || value.to_f64() == 1.0)
                    && row.iter().filter(|value| value.to_f64() == 1.0).count() == 1
            };
            rows.row_len() > 0 && rows.values().chunks_exact(rows.row_len()).all(is_one_hot)
        }
        for_any!(self, rows => one_hot(rows))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        for_any!(self, rows => rows.len())
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the shape of one row; empty for `[N]`.
    pub fn row_shape(&self) -> &[usize] {
        for_any!(self, rows => rows.row_shape())
    }

    /// Returns the numpy name of the element type, such as "float32".
    pub fn dtype(&self) -> &'static str {
        match self {
            Array::F32(_) => "float32",
            Array::F64(_) => "float64",
            Array::I32(_) => "int32",
            Array::I64(_) => "int64",
            Array::U8(_) => "uint8",
        }
    }

    /// Returns a view of all rows.
    pub fn view(&self) -> Values<'_> {
        self.slice(0..self.len())
    }

    /// Returns a view of a range of rows.
    ///
    /// # Panics
    /// Panics if the range is out of bounds.
    pub fn slice(&self, rows: Range<usize>) -> Values<'_> {
        for_any!(self, array => array.slice(rows).into())
    }

    /// Creates an array of the same type and row shape with no rows.
    pub(super) fn empty_like(&self) -> Self {
        map_any!(self, rows => rows.empty_like())
    }

    /// Replaces the contents of `batch` with the rows at these indices, in that order. Reuses its memory if the types
    /// match.
    pub(super) fn gather_into(&self, rows: &[usize], batch: &mut Array) {
        match (self, batch) {
            (Array::F32(from), Array::F32(to)) => from.gather_into(rows, to),
            (Array::F64(from), Array::F64(to)) => from.gather_into(rows, to),
            (Array::I32(from), Array::I32(to)) => from.gather_into(rows, to),
            (Array::I64(from), Array::I64(to)) => from.gather_into(rows, to),
            (Array::U8(from), Array::U8(to)) => from.gather_into(rows, to),
            (from, to) => {
                *to = from.empty_like();
                from.gather_into(rows, to);
            }
        }
    }

    /// Removes the rows from `at` to the end and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        map_any!(self, rows => rows.split_off(at))
    }

    /// Returns K if the array has one integer label per sample and the labels are exactly 0, 1, ..., K - 1, each used
    /// at least once.
    pub(super) fn label_count(&self) -> Option<usize> {
        const MAX_LABELS: usize = 10_000;
        if self.row_shape().iter().product::<usize>() != 1 {
            return None;
        }
        let mut seen = Vec::new();
        let mut note = |label: i64| -> Option<()> {
            let label = usize::try_from(label).ok().filter(|label| *label < MAX_LABELS)?;
            seen.resize(seen.len().max(label + 1), false);
            seen[label] = true;
            Some(())
        };
        match self {
            Array::F32(_) | Array::F64(_) => return None,
            Array::I32(rows) => rows.values.iter().try_for_each(|&label| note(label.into()))?,
            Array::I64(rows) => rows.values.iter().try_for_each(|&label| note(label))?,
            Array::U8(rows) => rows.values.iter().try_for_each(|&label| note(label.into()))?,
        }
        (!seen.is_empty() && seen.iter().all(|seen| *seen)).then_some(seen.len())
    }
}

impl<'a> From<&'a Array> for Values<'a> {
    fn from(array: &'a Array) -> Self {
        array.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sliced_and_gathered() {
        let array = Rows::new((0..12).collect(), &[4, 3]).expect("12 numbers");
        assert_eq!(array.slice(1..3).shape(), [2, 3]);
        assert_eq!(array.slice(1..3).as_slice(), Some(&[3, 4, 5, 6, 7, 8][..]));
        let mut batch = Rows::new(Vec::new(), &[0]).expect("no numbers");
        array.gather_into(&[3, 0], &mut batch);
        assert_eq!(batch.view().as_slice(), Some(&[9, 10, 11, 0, 1, 2][..]));
        assert_eq!(batch.view().shape(), [2, 3]);
    }

    #[test]
    fn new_rejects_shapes_that_do_not_match_the_values() {
        assert!(Rows::new(vec![1.0], &[2]).is_err());
        assert!(Rows::new(vec![1.0], &[]).is_err());
        assert!(Rows::<f32>::new(vec![], &[usize::MAX, 2]).is_err());
    }

    #[test]
    fn labels_are_counted_only_if_all_from_0_to_k_minus_1_occur() {
        let labels =
            |values: Vec<i32>| Array::I32(Rows::new(values.clone(), &[values.len()]).expect("a vector")).label_count();
        assert_eq!(labels(vec![2, 0, 1, 1]), Some(3));
        assert_eq!(labels(vec![2, 0]), None);
        assert_eq!(labels(vec![-1, 0]), None);
    }
}
