//! Checks of labels: class ids, allowed numbers, and ranges.

use crate::{
    kernels::{arranged::Arranged, simd::Kernel},
    numeric::numeric,
    shape::{squeeze_or_expand_to_same_rank, Shape},
    weights::Weights,
    Error, Float, Inputs, Result, Tensor,
};

/// Returns `true` if a number is an integer. `trunc` is avoided: without SSE4.1 it is a function call.
#[inline]
fn is_whole(number: f64) -> bool {
    // Every float64 of at least 2^53 is an integer.
    const WHOLE: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    (number as i64) as f64 == number || number.abs() >= WHOLE && number.is_finite()
}

/// Checks that all ids are integers from 0 to `classes - 1`, or at least 0 if `classes` is `None`. Indices that are
/// `absent` aren't checked.
pub(crate) fn check_ids(
    ids: &Tensor<'_>,
    name: &str,
    classes: Option<usize>,
    absent: impl Fn(usize) -> bool,
) -> Result<()> {
    let limit = classes.map_or(f64::INFINITY, |classes| classes as f64);
    let wrong = |id: f64| !(id >= 0.0 && id < limit && is_whole(id));
    ids.find(wrong, absent).map_or(Ok(()), |place| {
        let ids_are = match classes {
            Some(0) => "y_pred has no classes".to_owned(),
            Some(1) => "the only class is 0".to_owned(),
            Some(classes) => format!("ids must be integers from 0 to {}", classes - 1),
            None => "ids must be integers from 0".to_owned(),
        };
        Err(label_error(ids, name, place, &ids_are))
    })
}

/// Builds the error for an invalid label. It names the label's row.
fn label_error(tensor: &Tensor<'_>, name: &str, flat: usize, rule: &str) -> Error {
    let number = match (tensor.as_slice::<f32>(), tensor.as_slice::<f64>(), tensor.get_whole(flat)) {
        (Some(numbers), ..) => numbers[flat].to_string(),
        (None, None, Some(whole)) => whole.to_string(),
        _ => tensor.get_f64(flat).to_string(),
    };
    let each = tensor.shape().iter().skip(1).product::<i64>().max(1) as usize;
    let (row, column) = (flat / each, flat % each);
    let place = match tensor.shape() {
        [] => String::new(),
        [_, columns] if *columns > 1 => format!(" in row {row}, column {column} (from 0)"),
        _ => format!(" in row {row} (from 0)"),
    };
    Error::input(format!("{name} contains {number}{place}; {rule} (labels of weight 0 aren't checked)")).at_row(row)
}

/// The tolerance of a label's range, for the rounding of averaged or smoothed labels.
pub const ROUNDING: f64 = 1e-3;

/// A loop that tests whether any label is out of range.
struct Outside<'a, F> {
    labels: &'a [F],
    low: F,
    high: F,
}

impl<F: Float> Kernel for Outside<'_, F> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        self.labels.iter().fold(false, |any, &label| any | (label < self.low) | (label > self.high))
    }
}

/// Checks that the labels of all rows that aren't `absent` are in the range. NaN passes the check; it makes the value
/// NaN.
pub(crate) fn check_range<F: Float>(
    rows: &Arranged<'_, F>,
    y_true: &Tensor<'_>,
    (low, high): (f64, f64),
    absent: impl Fn(usize) -> bool,
) -> Result<()> {
    let (labels, columns) = (&*rows.y_true, rows.columns);
    let (least, most) = (F::from_f64(low - ROUNDING), F::from_f64(high + ROUNDING));
    if !F::run(Outside { labels, low: least, high: most }) {
        return Ok(());
    }
    let wrong = |label: &F| *label < least || *label > most;
    let found = (0..rows.rows).filter(|&row| !absent(row)).find_map(|row| {
        let first = row * columns;
        labels[first..first + columns].iter().position(wrong).map(|column| first + column)
    });
    let rule = || format!("labels must be between {low} and {high}");
    found.map_or(Ok(()), |place| Err(label_error(y_true, "y_true", rows.original_index(place), &rule())))
}

impl Inputs<'_> {
    /// Checks that all class ids in the input `name`, of any shape, are integers from 0 to `classes - 1`, or at least 0
    /// if `classes` is `None`. Ids whose index is `absent` aren't checked. The ids are read once.
    ///
    /// # Errors
    /// Returns an error that names the row if an id is invalid, or an error if the input isn't numeric.
    pub fn check_class_ids(&self, name: &str, classes: Option<usize>, absent: impl Fn(usize) -> bool) -> Result<()> {
        check_ids(&numeric(self.get(name)?, name)?, name, classes, absent)
    }

    /// Checks that all numbers in the input `name`, of any shape, are integers. Numbers whose index is `absent` aren't
    /// checked. The numbers are read once.
    ///
    /// # Errors
    /// Returns an error that names the row if a number isn't an integer, or an error if the input isn't numeric.
    pub fn check_whole_numbers(&self, name: &str, absent: impl Fn(usize) -> bool) -> Result<()> {
        let ids = numeric(self.get(name)?, name)?;
        let wrong = |id: f64| !is_whole(id);
        ids.find(wrong, absent).map_or(Ok(()), |place| Err(label_error(&ids, name, place, "ids must be integers")))
    }

    /// Checks that every label in `y_true` whose weight isn't 0 is one of the numbers `allowed`. With `column`, only
    /// labels of that column are checked. The labels are read once.
    ///
    /// # Errors
    /// Returns an error that names the row if a label isn't allowed, or an error if the shapes don't match.
    pub fn check_labels<const N: usize>(&self, allowed: [f64; N], column: Option<usize>) -> Result<()> {
        let (y_true, y_pred) = (numeric(self.y_true()?, "y_true")?, self.y_pred()?);
        let wrong = |label: f64| allowed.iter().fold(true, |wrong, allowed| wrong & (label != *allowed));
        let (mut shape, mut of_pred) = (Shape::new(y_true.shape(), "y_true")?, Shape::new(y_pred.shape(), "y_pred")?);
        squeeze_or_expand_to_same_rank(&mut shape, &mut of_pred);
        let weights = Weights::new(self.weight, &shape)?;
        let columns = shape.last().unwrap_or(1).max(1);
        let absent = |place: usize| weights.get(place) == 0.0 || column.is_some_and(|column| place % columns != column);
        y_true.find(wrong, absent).map_or(Ok(()), |place| {
            let numbers = allowed.map(|number| number.to_string()).join(" or ");
            let hint = match y_true.get_f64(place) {
                -1.0 if allowed.contains(&0.0) => ": write 0 for -1, or leave the metric out",
                _ => "",
            };
            Err(label_error(&y_true, "y_true", place, &format!("labels must be {numbers}{hint}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(y_true: &[f32], weight: Option<&[f32]>, column: Option<usize>) -> Result<()> {
        let shape = [y_true.len() as i64 / 2, 2];
        let y_pred = vec![0.5f32; y_true.len()];
        let tensors = [("y_true", Tensor::new(y_true, &shape)), ("y_pred", Tensor::new(&y_pred, &shape))];
        let of_weight = [shape[0]];
        let weight = weight.map(|weight| Tensor::new(weight, &of_weight));
        Inputs::new(&tensors, weight, None).check_labels([0.0, 1.0], column)
    }

    #[test]
    fn a_label_that_is_not_allowed_is_refused_with_its_place() {
        labels(&[0.0, 1.0, 1.0, 0.0], None, None).unwrap();
        for wrong in [0.2, -1.0, 2.0, f32::NAN] {
            let error = labels(&[0.0, 1.0, 1.0, wrong], None, None).unwrap_err();
            assert!(error.message().contains("row 1, column 1") && error.message().contains("0 or 1"), "{error}");
            labels(&[0.0, 1.0, 1.0, wrong], Some(&[1.0, 0.0]), None).unwrap();
            labels(&[0.0, 1.0, 1.0, wrong], None, Some(0)).unwrap();
            labels(&[0.0, 1.0, 1.0, wrong], None, Some(1)).unwrap_err();
        }
    }

    #[test]
    fn a_wrong_label_after_the_first_block_is_found() {
        let mut y_true = vec![1.0f32; 5000];
        y_true[4321] = 0.5;
        let error = labels(&y_true, None, None).unwrap_err();
        assert!(error.message().contains("0.5 in row 2160, column 1"), "{error}");
    }

    #[test]
    fn the_error_for_a_label_of_minus_1_suggests_0() {
        let error = labels(&[0.0, 1.0, -1.0, 1.0], None, None).unwrap_err();
        assert!(error.message().contains("write 0 for -1") && error.row() == Some(1), "{error}");
        assert!(!labels(&[0.0, 2.0], None, None).unwrap_err().message().contains("write"));
    }

    #[test]
    fn absent_ids_are_skipped_in_every_chunk() {
        let ids: Vec<f64> = (0..9000).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
        let tensor = Tensor::new(&ids, &[9000]);
        assert!(check_ids(&tensor, "y_true", Some(2), |place| place % 2 == 0).is_ok());
        let error = check_ids(&tensor, "y_true", Some(2), |place| place % 2 == 0 && place != 8500).unwrap_err();
        assert_eq!(error.row(), Some(8500));
    }

    #[test]
    fn the_greatest_id_of_each_type_is_an_integer() {
        let check = |ids: Tensor<'_>| check_ids(&ids, "y_pred", None, |_| false);
        check(Tensor::new(&[0, u64::MAX], &[2])).unwrap();
        check(Tensor::new(&[0, i64::MAX], &[2])).unwrap();
        check(Tensor::new(&[0.0, 1e300], &[2])).unwrap();
        for ids in [[0.0, -1.0], [0.0, 0.5], [0.0, f64::INFINITY], [0.0, f64::NAN]] {
            let error = check(Tensor::new(&ids, &[2])).unwrap_err();
            assert!(error.message().contains("in row 1"), "{error}");
        }
        let large = check_ids(&Tensor::new(&[(1i64 << 53) + 1], &[1]), "y_true", Some(3), |_| false).unwrap_err();
        assert!(large.message().contains("9007199254740993"), "{large}");
    }
}
