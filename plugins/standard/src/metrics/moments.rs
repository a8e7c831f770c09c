//! Means and central moments of pairs of numbers, updated incrementally.

use super::{means::Total, merge_each};
use plugfit_api::prelude::*;

/// The weight of pairs of a label and a prediction, their means, and the sums of squares and products of their
/// deviations from the means. Means instead of sums keep the variance of numbers near 1e9 accurate, and the variance of
/// equal numbers exactly 0.
#[state]
#[derive(Copy, Default)]
pub struct Moments {
    pub weight: f64,
    pub mean_true: f64,
    pub mean_pred: f64,
    pub true_squares: f64,
    pub pred_squares: f64,
    pub products: f64,
}

impl Moments {
    fn of(y_true: f64, y_pred: f64, weight: f64) -> Self {
        Moments { weight, mean_true: y_true, mean_pred: y_pred, ..Moments::default() }
    }

    /// Returns the moments of one line with the weight 1 for each element: first the means, then the products of
    /// deviations. The sums are of differences from the first element, so that equal numbers have an exact mean and a
    /// variance of 0.
    fn of_line(y_true: &[f64], y_pred: &[f64]) -> Self {
        let (Some(&first_true), Some(&first_pred)) = (y_true.first(), y_pred.first()) else {
            return Moments::default();
        };
        let weight = y_true.len() as f64;
        let [of_true, of_pred] = sums(y_true, y_pred, |t, p| [t - first_true, p - first_pred]).map(|sum| sum / weight);
        let [true_squares, pred_squares, products] = sums(y_true, y_pred, |t, p| {
            let (t, p) = (t - first_true - of_true, p - first_pred - of_pred);
            [t * t, p * p, t * p]
        });
        let (mean_true, mean_pred) = (first_true + of_true, first_pred + of_pred);
        Moments { weight, mean_true, mean_pred, true_squares, pred_squares, products }
    }

    /// Merges the moments of `other`. Chan, Golub & LeVeque 1979.
    fn add(&mut self, other: &Moments) {
        if self.weight == 0.0 {
            *self = *other;
            return;
        }
        let weight = self.weight + other.weight;
        if other.weight == 0.0 || weight == 0.0 {
            return;
        }
        let difference = [other.mean_true - self.mean_true, other.mean_pred - self.mean_pred];
        let share = other.weight / weight;
        let between = self.weight * share;
        self.true_squares += other.true_squares + difference[0] * difference[0] * between;
        self.pred_squares += other.pred_squares + difference[1] * difference[1] * between;
        self.products += other.products + difference[0] * difference[1] * between;
        self.mean_true += difference[0] * share;
        self.mean_pred += difference[1] * share;
        self.weight = weight;
    }
}

/// Returns the sums of `N` terms over a line, in eight lanes.
fn sums<const N: usize>(y_true: &[f64], y_pred: &[f64], terms: impl Fn(f64, f64) -> [f64; N]) -> [f64; N] {
    const LANES: usize = 8;
    let mut lanes = [[0.0; LANES]; N];
    let (y_true, true_rest) = y_true.as_chunks::<LANES>();
    let (y_pred, pred_rest) = y_pred.as_chunks::<LANES>();
    for (t, p) in y_true.iter().zip(y_pred) {
        for k in 0..LANES {
            for (lanes, term) in lanes.iter_mut().zip(terms(t[k], p[k])) {
                lanes[k] += term;
            }
        }
    }
    for (k, (&t, &p)) in true_rest.iter().zip(pred_rest).enumerate() {
        for (lanes, term) in lanes.iter_mut().zip(terms(t, p)) {
            lanes[k] += term;
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The state along an axis: moments over all samples, or values of lines within samples.
#[state]
#[derive(Default)]
pub struct Seen {
    /// The weighted values of lines within samples.
    lines: Total,
    /// The moments of each column along the samples; empty if the axis is within samples.
    columns: Vec<Moments>,
}

impl Seen {
    /// Updates the state with a batch.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit each other or the state.
    pub fn update(&mut self, axis: i64, inputs: &Inputs<'_>, value: impl Fn(&Moments) -> f64) -> Result<()> {
        if inputs.axis(axis)? == 0 {
            return self.update_columns(axis, inputs);
        }
        if !self.columns.is_empty() {
            return Err(mixed(axis));
        }
        let mut batch = Total::default();
        inputs.for_each_line(axis, |y_true, y_pred, weight| {
            if weight != 0.0 {
                batch.add(weight, value(&Moments::of_line(y_true, y_pred)));
            }
        })?;
        self.lines.merge(&batch.per(inputs.values_per_sample(Each::Line(axis))?))
    }

    fn update_columns(&mut self, axis: i64, inputs: &Inputs<'_>) -> Result<()> {
        let shape = inputs.y_pred()?.shape();
        let columns = shape.iter().skip(1).product::<i64>() as usize;
        if self.lines != Total::default() {
            return Err(mixed(axis));
        }
        if !self.columns.is_empty() && self.columns.len() != columns {
            let message =
                format!("y_pred of shape {shape:?} has {columns} columns, and {} until now", self.columns.len());
            return Err(Error::input(message));
        }
        let mut column = 0;
        inputs.for_each(|y_true, y_pred, weight| {
            if self.columns.is_empty() {
                self.columns.resize(columns, Moments::default());
            }
            if weight != 0.0 {
                self.columns[column].add(&Moments::of(y_true, y_pred, weight));
            }
            column = if column + 1 == columns { 0 } else { column + 1 };
        })
    }

    /// Merges another state.
    ///
    /// # Errors
    /// Returns an error if the states have different axes or numbers of columns.
    pub fn merge(&mut self, other: &Seen) -> Result<()> {
        if other.columns.is_empty() {
            if !self.columns.is_empty() && other.lines != Total::default() {
                return Err(Error::state("one state has lines along the samples, and the other within them"));
            }
            return self.lines.merge(&other.lines);
        }
        if self.lines != Total::default() {
            return Err(Error::state("one state has lines within the samples, and the other along them"));
        }
        merge_each(&mut self.columns, &other.columns, "columns", Moments::add)
    }

    pub fn result(&self, value: impl Fn(&Moments) -> f64) -> Outcome {
        if self.columns.is_empty() {
            return self.lines.mean();
        }
        let mut total = Total::default();
        self.columns.iter().filter(|column| column.weight != 0.0).for_each(|column| total.add(1.0, value(column)));
        total.mean()
    }
}

fn mixed(axis: i64) -> Error {
    Error::input(format!(
        "axis {axis} is that of the samples in one batch and not in another: give all batches one rank"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_same_moments_as_its_elements_added_singly() {
        for n in [0, 1, 2, 7, 8, 9, 100] {
            for shift in [0.0, 1e9] {
                let line = |step: f64| (0..n).map(|i| shift + (f64::from(i) * step).sin()).collect::<Vec<f64>>();
                let (t, p) = (line(1.3), line(0.7));
                let mut each = Moments::default();
                t.iter().zip(&p).for_each(|(&t, &p)| each.add(&Moments::of(t, p, 1.0)));
                let line = Moments::of_line(&t, &p);
                let all =
                    |m: &Moments| [m.weight, m.mean_true, m.mean_pred, m.true_squares, m.pred_squares, m.products];
                for (a, b) in all(&line).into_iter().zip(all(&each)) {
                    assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{n} {shift}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn equal_numbers_have_no_variance() {
        let line = Moments::of_line(&[0.1; 11], &[0.7; 11]);
        assert_eq!((line.true_squares, line.pred_squares, line.products), (0.0, 0.0, 0.0));
        assert_eq!((line.mean_true, line.mean_pred), (0.1, 0.7));
        let line = Moments::of_line(&[0.1, f64::NAN, 0.1], &[0.7; 3]);
        assert!(line.mean_true.is_nan() && line.true_squares.is_nan());
    }
}
