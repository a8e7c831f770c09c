//! Finds inputs from which a target can be read off.

use std::collections::HashMap;

/// The values of a target in the training rows.
#[derive(Clone, Debug)]
pub struct TargetValues {
    /// The name of the target.
    pub name: String,
    /// The values; the ids of classes.
    pub values: Vec<f64>,
    /// Whether the values are names of classes, so that their order means nothing.
    pub are_names: bool,
}

/// In fewer rows than these, a column may equal the target by chance.
const LEAST_ROWS: usize = 20;

/// Returns whether a column determines a target exactly: each value of one belongs to one value of the other, or, for
/// numbers, the correlation is 1 or -1. Missing values, which are NaN, are ignored.
pub fn is_copy(values: &[f64], are_numbers: bool, target: &TargetValues) -> bool {
    let pairs = || values.iter().copied().zip(target.values.iter().copied()).filter(|(value, _)| !value.is_nan());
    pairs().count() >= LEAST_ROWS && (is_one_to_one(pairs()) || are_numbers && !target.are_names && is_linear(pairs()))
}

/// Returns whether each value has one partner and the reverse, and at least two rows share each value on average. If all
/// rows differed, any column would be one-to-one.
fn is_one_to_one(pairs: impl Iterator<Item = (f64, f64)>) -> bool {
    let (mut value_of, mut target_of) = (HashMap::new(), HashMap::new());
    let mut rows = 0;
    for (value, target) in pairs {
        // -0.0 and 0.0 are one value.
        let (value, target) = ((value + 0.0).to_bits(), (target + 0.0).to_bits());
        if *value_of.entry(target).or_insert(value) != value || *target_of.entry(value).or_insert(target) != target {
            return false;
        }
        rows += 1;
    }
    value_of.len() > 1 && value_of.len() * 2 <= rows
}

/// Returns whether the correlation is 1 or -1, up to rounding.
fn is_linear(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> bool {
    let (mut rows, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
    for (x, y) in pairs.clone() {
        (rows, x_sum, y_sum) = (rows + 1.0, x_sum + x, y_sum + y);
    }
    let (x_mean, y_mean) = (x_sum / rows, y_sum / rows);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - x_mean, y - y_mean);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    // Targets are float32, so that a copy in float64 differs by its rounding.
    xx > 0.0 && yy > 0.0 && xy * xy >= (1.0 - 1e-12) * xx * yy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(values: &[f64], are_names: bool) -> TargetValues {
        TargetValues { name: "y".into(), values: values.to_vec(), are_names }
    }

    #[test]
    fn copies_are_found() {
        let y: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        let linear: Vec<f64> = y.iter().map(|y| 3.5 - 0.1 * y).collect();
        assert!(is_copy(&linear, true, &target(&y, false)));
        let classes: Vec<f64> = (0..40).map(|i| f64::from(i % 3)).collect();
        let renamed: Vec<f64> = classes.iter().map(|class| [7.0, 1.0, 4.0][*class as usize]).collect();
        assert!(is_copy(&renamed, false, &target(&classes, true)));
        let mut with_gaps = renamed.clone();
        with_gaps[3] = f64::NAN;
        assert!(is_copy(&with_gaps, false, &target(&classes, true)));
    }

    #[test]
    fn related_columns_are_no_copies() {
        let y: Vec<f64> = (0..40).map(f64::from).collect();
        let square: Vec<f64> = y.iter().map(|y| y * y).collect();
        assert!(!is_copy(&square, true, &target(&y, false)), "each row has its own value, and it isn't linear");
        let classes: Vec<f64> = (0..40).map(|i| f64::from(i % 3)).collect();
        let mut almost = classes.clone();
        almost[39] = 1.0;
        assert!(!is_copy(&almost, true, &target(&classes, true)));
        assert!(!is_copy(&[1.0; 40], true, &target(&classes, false)), "a constant");
        assert!(!is_copy(&y[..9], true, &target(&y[..9], false)), "few rows");
        assert!(!is_copy(&[f64::NAN; 40], true, &target(&y, false)));
    }
}
