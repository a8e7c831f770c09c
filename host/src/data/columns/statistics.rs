//! What is learnt about the values of a column.

use ndarray::aview1;
use serde::{Deserialize, Serialize};

/// A summary of the values of a column, without the missing ones. Dates are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// The number of rows.
    pub rows: usize,
    /// The number of rows in which the value is missing.
    pub missing: usize,
    /// The number of distinct values; at least this number if `more` is set.
    pub distinct: usize,
    /// Whether the distinct values are too many to be counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Statistics, if the values are numbers, booleans or dates and not all are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberSummary>,
    /// The most frequent words and their numbers of rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, usize)>,
}

/// Statistics of numbers in float64.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberSummary {
    /// The least number.
    pub min: f64,
    /// The greatest number.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the population.
    pub deviation: f64,
    /// The median; for an even number of values, the mean of the middle two.
    pub median: f64,
    /// Whether all are integers.
    pub integers: bool,
}

/// How many of the most frequent words are kept.
const TOP: usize = 5;

impl ColumnSummary {
    /// Summarises numbers, of which NaN is a missing one.
    pub fn of_numbers(mut values: Vec<f64>) -> Self {
        let rows = values.len();
        values.retain(|value| !value.is_nan());
        let missing = rows - values.len();
        // Sorted, so that the results don't depend on the order of the rows.
        values.sort_unstable_by(f64::total_cmp);
        let distinct = values.chunk_by(|a, b| a == b).count();
        let numbers = match (values.first(), values.last()) {
            (Some(&min), Some(&max)) => {
                let view = aview1(&values);
                let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
                // The mean of equal numbers may be rounded.
                let (mean, deviation) =
                    if min == max { (min, 0.0) } else { (view.mean().unwrap_or(min), view.std(0.0)) };
                let median = if low == high { low } else { low / 2.0 + high / 2.0 };
                let integers = values.iter().all(|value| value.fract() == 0.0);
                Some(NumberSummary { min, max, mean, deviation, median, integers })
            }
            _ => None,
        };
        ColumnSummary { rows, missing, distinct, more: false, numbers, top: Vec::new() }
    }

    /// Summarises words, given by their ids, of which NaN is a missing one. Also returns how often each word occurs.
    pub fn of_words(ids: &[f64], names: &[String], more: bool) -> (Self, Vec<usize>) {
        let mut counts = vec![0; names.len()];
        ids.iter().filter(|id| !id.is_nan()).for_each(|id| counts[*id as usize] += 1);
        let present: usize = counts.iter().sum();
        let mut order: Vec<usize> = (0..names.len()).filter(|&id| counts[id] > 0).collect();
        let distinct = order.len();
        let first = |a: &usize, b: &usize| counts[*b].cmp(&counts[*a]).then_with(|| names[*a].cmp(&names[*b]));
        if order.len() > TOP {
            order.select_nth_unstable_by(TOP, first);
            order.truncate(TOP);
        }
        order.sort_unstable_by(first);
        let top = order.into_iter().map(|id| (names[id].clone(), counts[id])).collect();
        let missing = ids.len() - present;
        (ColumnSummary { rows: ids.len(), missing, distinct, more, numbers: None, top }, counts)
    }

    /// Returns whether every value is missing.
    pub fn is_empty(&self) -> bool {
        self.missing == self.rows
    }

    /// Returns whether all values are equal and none is missing.
    pub fn is_constant(&self) -> bool {
        self.distinct == 1 && self.missing == 0 && !self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_match_numbers_computed_by_hand() {
        let summary = ColumnSummary::of_numbers(vec![4.0, f64::NAN, 2.0, 8.0, 2.0]);
        assert_eq!((summary.rows, summary.missing, summary.distinct), (5, 1, 3));
        let numbers = summary.numbers.expect("numbers");
        // The squared differences from the mean 4 are 0, 4, 16 and 4.
        assert_eq!((numbers.min, numbers.max, numbers.mean, numbers.median), (2.0, 8.0, 4.0, 3.0));
        assert!((numbers.deviation - 6.0_f64.sqrt()).abs() < 1e-15 && numbers.integers);
        let odd = ColumnSummary::of_numbers(vec![0.5, -1.0, 7.0]).numbers.expect("numbers");
        assert_eq!((odd.median, odd.integers), (0.5, false));
    }

    #[test]
    fn integers_that_float32_rounds_keep_their_differences() {
        let second = |add: f64| 1_700_000_000.0 + add;
        let numbers = ColumnSummary::of_numbers(vec![second(0.0), second(1.0), second(2.0)]).numbers.expect("numbers");
        assert_eq!((numbers.mean, numbers.median), (second(1.0), second(1.0)));
        assert!((numbers.deviation - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn equal_numbers_have_no_deviation() {
        let numbers = ColumnSummary::of_numbers(vec![0.1; 7]).numbers.expect("numbers");
        assert_eq!((numbers.mean, numbers.deviation), (0.1, 0.0));
        let empty = ColumnSummary::of_numbers(vec![f64::NAN; 3]);
        assert!(empty.is_empty() && empty.numbers.is_none() && !empty.is_constant());
    }

    #[test]
    fn the_most_frequent_words_come_first() {
        let names: Vec<String> = ["f", "e", "d", "c", "b", "a", "unused"].map(str::to_owned).to_vec();
        let ids = [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0, f64::NAN];
        let (summary, counts) = ColumnSummary::of_words(&ids, &names, false);
        assert_eq!((summary.distinct, summary.missing, counts[4]), (6, 1, 2));
        let top: Vec<&str> = summary.top.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(top, ["b", "a", "c", "d", "e"]);
    }
}
