//! How samples are split into those to train on and those to validate on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::shuffled_order;
use crate::text::grouped;
use crate::{Error, Result};

/// A split of the samples: the table `validation` of `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The fraction of the samples that are for validation; above 0 and below 1.
    pub fraction: f64,
    /// How the samples are chosen. By default, they are grouped with `by`, stratified for classes, and else shuffled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<SplitMethod>,
    /// The column (`.csv`, `.parquet`), array (`.npz`) or file (`.npy`) whose values are groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The seed of the order; by default that of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// How samples for validation are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitMethod {
    /// At random from each class, in proportion to its size.
    Stratified,
    /// At random.
    Shuffled,
    /// At random, with all samples of a group together.
    Grouped,
    /// The last ones.
    Last,
}

/// The indices of the samples of both parts, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The samples to train on.
    pub train: Vec<usize>,
    /// The samples to validate on.
    pub validation: Vec<usize>,
}

/// The number of the shuffle in place of an epoch's, so that the split has an order of its own.
const SHUFFLE: u64 = u64::MAX;

impl SplitConfig {
    /// Checks that the fraction is above 0 and below 1, and that `how` and `by` go together.
    ///
    /// # Errors
    /// Returns a usage error that names the key.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String| Error::usage(what).with("in", format!("data.validation.{key}"));
        if !(self.fraction > 0.0 && self.fraction < 1.0) {
            let what = format!("the fraction for validation must be above 0 and below 1, not {}", self.fraction);
            return Err(wrong("fraction", what));
        }
        match (self.how, &self.by) {
            (Some(SplitMethod::Grouped), None) => {
                Err(wrong("how", "a grouped split needs \"by\", the column of the groups".into()))
            }
            (Some(SplitMethod::Stratified | SplitMethod::Shuffled | SplitMethod::Last), Some(_)) => {
                Err(wrong("by", "\"by\" is for a grouped split".into()).hint("leave it out, or set how = \"grouped\""))
            }
            _ => Ok(()),
        }
    }
}

impl Split {
    /// Takes the last samples for validation, as Keras does: the first floor(N (1 - fraction)) are for training.
    pub fn last(len: usize, fraction: f64) -> Self {
        let train = (len as f64 * (1.0 - fraction)).floor() as usize;
        Split { train: (0..train).collect(), validation: (train..len).collect() }
    }

    /// Takes random samples for validation: N · fraction, rounded, and at least 1 of each part if there are two.
    pub fn shuffled(len: usize, fraction: f64, seed: u64) -> Self {
        let mut order = Vec::new();
        shuffled_order(len, seed, SHUFFLE, &mut order);
        Self::of_validation(len, order.into_iter().take(part_of(len, fraction)))
    }

    /// Takes random samples of each class for validation. The share of a class differs by less than one sample, except
    /// that at least one is for training.
    pub fn stratified(classes: &[usize], fraction: f64, seed: u64) -> Self {
        let len = classes.len();
        let mut order = Vec::new();
        shuffled_order(len, seed, SHUFFLE, &mut order);
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in order {
            members.entry(classes[row]).or_default().push(row);
        }
        // Each class gets the whole part of its share, and those with the largest rest one more.
        let mut counts: Vec<(usize, f64)> = Vec::new();
        for rows in members.values() {
            let share = rows.len() as f64 * fraction;
            counts.push((share.floor() as usize, share.fract()));
        }
        let taken: usize = counts.iter().map(|(count, _)| count).sum();
        let mut by_rest: Vec<usize> = (0..counts.len()).collect();
        by_rest.sort_by(|a, b| counts[*b].1.total_cmp(&counts[*a].1));
        let has_room = |class: &usize| {
            let size = members.values().nth(*class).map_or(0, Vec::len);
            counts[*class].1 > 0.0 && counts[*class].0 + 1 < size
        };
        let more: Vec<usize> =
            by_rest.into_iter().filter(has_room).take(part_of(len, fraction).saturating_sub(taken)).collect();
        let chosen = members.values().enumerate().flat_map(|(class, rows)| {
            let count = counts[class].0 + usize::from(more.contains(&class));
            rows.iter().copied().take(count.min(rows.len() - 1))
        });
        Self::of_validation(len, chosen)
    }

    /// Takes random groups for validation, until they have about N · fraction samples. Each part has at least one group
    /// if there are two.
    pub fn in_groups(groups: &[usize], fraction: f64, seed: u64) -> Self {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, group) in groups.iter().enumerate() {
            members.entry(*group).or_default().push(row);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let mut order = Vec::new();
        shuffled_order(members.len(), seed, SHUFFLE, &mut order);
        let wanted = groups.len() as f64 * fraction;
        let (mut chosen, mut count): (Vec<usize>, usize) = (Vec::new(), 0);
        for (place, group) in order.into_iter().enumerate() {
            let rows = &members[group];
            let is_last = place + 1 == members.len();
            // A group is taken if that comes nearer to the number of samples.
            let comes_nearer = count as f64 + rows.len() as f64 / 2.0 <= wanted;
            if comes_nearer && count + rows.len() < groups.len() || is_last && chosen.is_empty() && place > 0 {
                chosen.extend(rows);
                count += rows.len();
            }
        }
        Self::of_validation(groups.len(), chosen)
    }

    fn of_validation(len: usize, validation: impl IntoIterator<Item = usize>) -> Self {
        let mut is_validation = vec![false; len];
        for row in validation {
            is_validation[row] = true;
        }
        let (validation, train) = (0..len).partition(|row| is_validation[*row]);
        Split { train, validation }
    }

    /// Checks that both parts have samples.
    ///
    /// # Errors
    /// Returns a usage error if one is empty.
    pub fn check(&self, fraction: f64) -> Result<()> {
        if !self.train.is_empty() && !self.validation.is_empty() {
            return Ok(());
        }
        let all = self.train.len() + self.validation.len();
        let message = format!(
            "a fraction of {fraction} for validation leaves {} of {} samples to train on",
            grouped(self.train.len()),
            grouped(all)
        );
        Err(Error::usage(message).hint("choose a fraction that leaves samples for both, or name a validation file"))
    }
}

/// Returns N · fraction, rounded, and such that neither part is empty if there are two samples.
fn part_of(len: usize, fraction: f64) -> usize {
    let part = (len as f64 * fraction).round() as usize;
    if len < 2 { 0 } else { part.clamp(1, len - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_parts(split: &Split, len: usize) {
        let mut all = [&split.train[..], &split.validation[..]].concat();
        assert!(split.train.is_sorted() && split.validation.is_sorted());
        all.sort_unstable();
        assert!(all.into_iter().eq(0..len));
    }

    #[test]
    fn every_sample_is_in_one_part() {
        for len in [0, 1, 2, 3, 10, 101] {
            let groups: Vec<usize> = (0..len).map(|row| row % 4).collect();
            for fraction in [0.01, 0.2, 0.5, 0.99] {
                for split in [
                    Split::last(len, fraction),
                    Split::shuffled(len, fraction, 7),
                    Split::stratified(&groups, fraction, 7),
                    Split::in_groups(&groups, fraction, 7),
                ] {
                    assert_parts(&split, len);
                }
                let parts = Split::shuffled(len, fraction, 7);
                assert_eq!(parts.check(fraction).is_ok(), len > 1, "{len} {fraction}");
            }
        }
    }

    #[test]
    fn the_seed_determines_the_samples() {
        let split = |seed| Split::shuffled(100, 0.2, seed);
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
        assert_eq!(split(1).validation.len(), 20);
        assert_ne!(split(1), Split::last(100, 0.2));
    }

    #[test]
    fn classes_keep_their_shares() {
        let sizes = [100, 33, 7, 2, 1];
        let classes: Vec<usize> = sizes.iter().enumerate().flat_map(|(class, size)| vec![class; *size]).collect();
        for fraction in [0.1, 0.25, 0.5, 0.9] {
            let split = Split::stratified(&classes, fraction, 3);
            for (class, size) in sizes.iter().enumerate() {
                let count = split.validation.iter().filter(|row| classes[**row] == class).count();
                assert!((count as f64 - *size as f64 * fraction).abs() <= 1.0, "{class} {fraction}: {count}");
                assert!(count < *size, "a sample of class {class} is for training");
            }
        }
        // Sorted classes are split as others: each part has all of them.
        let split = Split::stratified(&[0, 0, 0, 0, 1, 1, 1, 1], 0.25, 0);
        let found: Vec<usize> = split.validation.iter().map(|row| row / 4).collect();
        assert_eq!(found, [0, 1]);
    }

    #[test]
    fn groups_stay_together() {
        let groups: Vec<usize> = (0..200).map(|row| row * 7 % 23).collect();
        for fraction in [0.1, 0.3, 0.7] {
            let split = Split::in_groups(&groups, fraction, 5);
            let is_shared =
                split.train.iter().any(|row| split.validation.iter().any(|other| groups[*row] == groups[*other]));
            assert!(!is_shared);
            let share = split.validation.len() as f64 / 200.0;
            assert!((share - fraction).abs() < 0.06, "{share} {fraction}");
        }
        // A large group isn't split, and each part has a group.
        let split = Split::in_groups(&[0, 0, 0, 0, 0, 1], 0.01, 1);
        assert!(split.check(0.01).is_ok(), "{split:?}");
        assert!(Split::in_groups(&[4, 4, 4], 0.5, 1).check(0.5).is_err());
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let config =
            |how, by: Option<&str>, fraction| SplitConfig { fraction, how, by: by.map(Into::into), seed: None };
        for fraction in [0.0, 1.0, 1.5, -0.1, f64::NAN] {
            let error = config(None, None, fraction).check().expect_err("out of range").to_string();
            assert!(error.contains("data.validation.fraction"), "{error}");
        }
        assert!(config(Some(SplitMethod::Grouped), None, 0.2).check().is_err());
        assert!(config(Some(SplitMethod::Last), Some("user"), 0.2).check().is_err());
        assert!(config(None, Some("user"), 0.2).check().is_ok());
        assert!(serde_json::from_value::<SplitConfig>(serde_json::json!({"fraction": 0.2, "how": "random"})).is_err());
    }
}
