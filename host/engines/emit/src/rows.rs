//! The arguments of a loss as rows.

use plugfit::formula::{Formula, Level};
use plugfit::{Error, Result};

/// How the arguments of a loss become rows: first both are reshaped to `aligned`, then the axis of the elements, if
/// there is one, becomes the last, and finally they get the shape `[rows, columns]`. Class ids are reshaped to
/// `[rows, 1]` at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The shape of both arguments with equal ranks; of `y_pred`, if `y_true` has class ids.
    pub aligned: Vec<usize>,
    /// The axis of the elements of a row; `None`: all elements are one row.
    pub axis: Option<usize>,
    /// The number of rows.
    pub rows: usize,
    /// The number of elements in a row.
    pub columns: usize,
    /// The shape of the loss without reduction.
    pub values: Vec<usize>,
    /// Whether `y_true` has one class id for each row.
    pub has_class_ids: bool,
}

impl Rows {
    /// Creates the rows for arguments of these shapes. As in Keras, a last axis of length 1 may be missing in one of
    /// them.
    ///
    /// # Errors
    /// Returns an error if the shapes don't fit each other or the formula's axis.
    pub fn new(formula: &Formula, y_true: &[usize], y_pred: &[usize]) -> Result<Self> {
        let level = formula.input("y_true").map(|input| formula.inputs()[input].level);
        let has_class_ids = level == Some(Level::Row);
        let aligned = if has_class_ids { y_pred.to_vec() } else { aligned(y_true, y_pred)? };
        let axis = formula.axis().map(|axis| checked(axis, &aligned)).transpose()?;
        let (values, columns) = match axis {
            None => (Vec::new(), aligned.iter().product()),
            Some(axis) => {
                let mut values = aligned.clone();
                let columns = values.remove(axis);
                (values, columns)
            }
        };
        if has_class_ids {
            let mut with_axis = values.clone();
            with_axis.insert(axis.unwrap_or(0), 1);
            if axis.is_none() || y_true != values && y_true != with_axis {
                return Err(Error::usage(format!(
                    "y_true of shape {y_true:?} doesn't hold one class id for each row of y_pred, whose rows have the \
                     shape {values:?}"
                )));
            }
        }
        let rows = values.iter().product();
        Ok(Rows { aligned, axis, rows, columns, values, has_class_ids })
    }

    /// Returns the order of axes that makes the axis of the elements the last; `None` if it is the last already.
    pub fn order(&self) -> Option<Vec<usize>> {
        let (axis, rank) = (self.axis?, self.aligned.len());
        (axis + 1 < rank).then(|| (0..rank).filter(|&other| other != axis).chain([axis]).collect())
    }
}

/// Returns the shape with which weights broadcast to the values of a loss. As in Keras, one of both may have a last axis of
/// length 1 that the other doesn't have.
///
/// # Errors
/// Returns an error if the weights don't fit.
pub fn weight_shape(weight: &[usize], values: &[usize]) -> Result<Vec<usize>> {
    let shape = match (weight, values) {
        ([rest @ .., 1], _) if rest.len() == values.len() => rest.to_vec(),
        (_, [rest @ .., 1]) if rest.len() == weight.len() => [weight, &[1]].concat(),
        _ => weight.to_vec(),
    };
    let fits = shape.len() <= values.len()
        && shape.iter().rev().zip(values.iter().rev()).all(|(&own, &length)| own == 1 || own == length);
    match fits {
        true => Ok(shape),
        false => Err(Error::usage(format!(
            "sample_weight of shape {weight:?} doesn't fit the loss of shape {values:?}: give a weight for each value"
        ))),
    }
}

fn checked(axis: i64, shape: &[usize]) -> Result<usize> {
    let rank = shape.len() as i64;
    if !(-rank..rank).contains(&axis) {
        return Err(Error::usage(format!("y_pred of shape {shape:?} has no axis {axis}")));
    }
    Ok(axis.rem_euclid(rank) as usize)
}

/// Returns the shape to which both arguments are reshaped.
fn aligned(y_true: &[usize], y_pred: &[usize]) -> Result<Vec<usize>> {
    match (y_true, y_pred) {
        ([rest @ .., 1], other) if rest == other => match other {
            // A vector becomes a column, so that every entry is a row.
            [_] => Ok(y_true.to_vec()),
            _ => Ok(y_pred.to_vec()),
        },
        (other, [rest @ .., 1]) if rest == other => Ok(y_pred.to_vec()),
        _ if y_true == y_pred => Ok(y_pred.to_vec()),
        _ => Err(Error::usage(format!("y_true of shape {y_true:?} doesn't fit y_pred of shape {y_pred:?}"))
            .hint("each prediction needs a label of its own: bring both to one shape")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(level: &str, axis: &str) -> Formula {
        let text = format!(
            r#"{{"version": 1, "inputs": [["y_true", "{level}"], ["y_pred", "element"]], "nodes": [],
                "outputs": [["value", 1]], "axis": {axis}}}"#
        );
        Formula::read(&text).unwrap()
    }

    fn shapes(rows: &Rows) -> (Vec<usize>, [usize; 2]) {
        (rows.values.clone(), [rows.rows, rows.columns])
    }

    #[test]
    fn a_row_lies_along_the_axis_of_the_formula() {
        let rows = Rows::new(&formula("element", "-1"), &[4, 2, 3], &[4, 2, 3]).unwrap();
        assert_eq!((shapes(&rows), rows.order()), ((vec![4, 2], [8, 3]), None));
        let rows = Rows::new(&formula("element", "1"), &[4, 2, 3], &[4, 2, 3]).unwrap();
        assert_eq!((shapes(&rows), rows.order()), ((vec![4, 3], [12, 2]), Some(vec![0, 2, 1])));
        let rows = Rows::new(&formula("element", "null"), &[4, 2, 3], &[4, 2, 3]).unwrap();
        assert_eq!((shapes(&rows), rows.order()), ((vec![], [1, 24]), None));
    }

    #[test]
    fn a_last_axis_of_length_1_may_be_missing() {
        let aligned = |y_true: &[usize], y_pred: &[usize]| {
            Rows::new(&formula("element", "-1"), y_true, y_pred).map(|rows| rows.aligned)
        };
        assert_eq!(aligned(&[4], &[4, 1]).unwrap(), [4, 1]);
        assert_eq!(aligned(&[4, 1], &[4]).unwrap(), [4, 1]);
        assert_eq!(aligned(&[4, 3, 1], &[4, 3]).unwrap(), [4, 3]);
        for (y_true, y_pred) in [(&[4, 3], &[4, 1]), (&[4, 1], &[4, 3])] {
            assert!(aligned(y_true, y_pred).is_err());
        }
    }

    #[test]
    fn weights_broadcast_to_the_values() {
        for (weight, shape) in [(&[4, 2][..], &[4, 2][..]), (&[4, 2, 1], &[4, 2]), (&[2], &[2]), (&[4, 1], &[4, 1])] {
            assert_eq!(weight_shape(weight, &[4, 2]).unwrap(), shape);
        }
        assert!(weight_shape(&[1], &[]).unwrap().is_empty());
        assert_eq!(weight_shape(&[4], &[4, 1]).unwrap(), [4, 1]);
        assert_eq!(weight_shape(&[4, 2], &[4, 2, 1]).unwrap(), [4, 2, 1]);
        assert!(weight_shape(&[3], &[4, 1]).is_err());
        for weight in [&[4][..], &[4, 2, 2], &[4, 3]] {
            let message = weight_shape(weight, &[4, 2]).unwrap_err().to_string();
            assert!(message.contains("give a weight for each value"), "{message}");
        }
    }

    #[test]
    fn class_ids_fit_the_rows_of_the_predictions() {
        let ids = formula("row", "-1");
        for y_true in [&[4, 2][..], &[4, 2, 1]] {
            let rows = Rows::new(&ids, y_true, &[4, 2, 10]).unwrap();
            assert_eq!(shapes(&rows), (vec![4, 2], [8, 10]));
        }
        let error = Rows::new(&ids, &[4, 10], &[4, 2, 10]).unwrap_err().to_string();
        assert!(error.contains("one class id for each row"), "{error}");
        assert!(Rows::new(&ids, &[], &[]).unwrap_err().to_string().contains("has no axis -1"));
    }
}
