//! The scores that a ranking metric has seen, by class.

use crate::chunks::Chunks;
use plugfit_api::{
    metric::read_state,
    prelude::*,
    simd::{Kernel, dispatch},
};

/// The scores of all elements whose weight isn't 0.
#[state]
#[derive(Default)]
pub struct Scores {
    pub positives: ClassScores,
    pub negatives: ClassScores,
}

/// The scores of one class. Each element is stored in the smallest form that holds its score and weight exactly.
#[state]
#[derive(Default)]
pub struct ClassScores {
    /// float32 scores of weight 1.
    pub singles: Chunks<f32>,
    /// float64 scores of weight 1.
    pub doubles: Chunks<f64>,
    /// float32 scores with weights that are exact in float32.
    pub weighted_singles: Chunks<[f32; 2]>,
    /// Scores with weights.
    pub weighted_doubles: Chunks<[f64; 2]>,
}

/// The state of version 2.
#[state]
struct ScoresV2 {
    positives: Vec<f32>,
    negatives: Vec<f32>,
    /// For each other element: the score, its weight as a positive, and its weight as a negative.
    weighted: Vec<[f64; 3]>,
}

impl Scores {
    pub fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        if self.update_single(inputs) {
            return Ok(());
        }
        inputs.check_labels([-1.0, 0.0, 1.0], None)?;
        let single = inputs.y_pred()?.as_slice::<f32>().is_some();
        let (before, mut has_nan) = ([self.positives.lengths(), self.negatives.lengths()], false);
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                has_nan |= y_pred.is_nan();
                let class = if y_true > 0.0 { &mut self.positives } else { &mut self.negatives };
                class.push(y_pred, weight, single);
            }
        })?;
        if has_nan {
            self.positives.truncate(before[0]);
            self.negatives.truncate(before[1]);
            return Err(Error::input("y_pred contains NaN, which has no rank"));
        }
        Ok(())
    }

    /// Adds a batch of float32 elements without weights. Returns `false`, and adds nothing, for any other batch and for
    /// one that is invalid.
    fn update_single(&mut self, inputs: &Inputs<'_>) -> bool {
        let (Ok(y_true), Ok(y_pred)) = (inputs.y_true(), inputs.y_pred()) else { return false };
        let (Some(labels), Some(scores)) = (y_true.as_slice::<f32>(), y_pred.as_slice::<f32>()) else { return false };
        if inputs.weight().is_some() || y_true.shape() != y_pred.shape() || !dispatch(AreValid { labels, scores }) {
            return false;
        }
        // Each block of scores is sorted into both classes without branches, which would often be mispredicted.
        const BLOCK: usize = 1024;
        let [mut positives, mut negatives] = [[0.0; BLOCK]; 2];
        for (labels, scores) in labels.chunks(BLOCK).zip(scores.chunks(BLOCK)) {
            let (mut positive, mut negative) = (0, 0);
            for (label, score) in labels.iter().zip(scores) {
                // A block has at most as many of a class as it has elements.
                positives[positive] = *score;
                negatives[negative] = *score;
                let is_positive = usize::from(*label > 0.0);
                positive += is_positive;
                negative += 1 - is_positive;
            }
            self.positives.singles.extend_from_slice(&positives[..positive]);
            self.negatives.singles.extend_from_slice(&negatives[..negative]);
        }
        true
    }

    /// Adds an element of an older state.
    pub fn push_older(&mut self, [score, positive, negative]: [f64; 3]) {
        // One of the weights is 0.
        match positive != 0.0 {
            true => self.positives.push(score, positive, false),
            false => self.negatives.push(score, negative, false),
        }
    }

    pub fn merge(&mut self, other: &Scores) {
        self.positives.merge(&other.positives);
        self.negatives.merge(&other.negatives);
    }

    pub fn load_older(version: u32, bytes: &[u8]) -> Result<Self> {
        let mut scores = Scores::default();
        let weighted = match version {
            1 => read_state(bytes)?,
            2 => {
                let ScoresV2 { positives, negatives, weighted } = read_state(bytes)?;
                scores.positives.singles = positives.into();
                scores.negatives.singles = negatives.into();
                weighted
            }
            _ => {
                let message = format!("the saved state is of version {version}; this one reads 1 to 3");
                return Err(Error::state(message));
            }
        };
        weighted.into_iter().for_each(|element| scores.push_older(element));
        Ok(scores)
    }

    /// Calls `f` with the weight of positives and of negatives at each distinct score, in descending order.
    pub fn for_each_score(&self, f: impl FnMut(f64, f64)) {
        match (self.positives.only_form(), self.negatives.only_form()) {
            (Form::Empty | Form::Singles, Form::Empty | Form::Singles) => {
                merge_sorted(self.positives.singles.to_vec(), self.negatives.singles.to_vec(), f);
            }
            (Form::Empty | Form::Doubles, Form::Empty | Form::Doubles) => {
                merge_sorted(self.positives.doubles.to_vec(), self.negatives.doubles.to_vec(), f);
            }
            (Form::Empty | Form::WeightedSingles, Form::Empty | Form::WeightedSingles) => {
                merge_sorted(self.positives.weighted_singles.to_vec(), self.negatives.weighted_singles.to_vec(), f);
            }
            _ => merge_sorted(self.positives.in_double(), self.negatives.in_double(), f),
        }
    }
}

/// The form of all elements of a class.
enum Form {
    Empty,
    Singles,
    Doubles,
    WeightedSingles,
    /// They have weights in float64, or several forms.
    Other,
}

impl ClassScores {
    fn lengths(&self) -> [usize; 4] {
        [self.singles.len(), self.doubles.len(), self.weighted_singles.len(), self.weighted_doubles.len()]
    }

    /// Removes the elements that were added since there were this many of each form.
    fn truncate(&mut self, [singles, doubles, weighted_singles, weighted_doubles]: [usize; 4]) {
        self.singles.truncate(singles);
        self.doubles.truncate(doubles);
        self.weighted_singles.truncate(weighted_singles);
        self.weighted_doubles.truncate(weighted_doubles);
    }

    /// Adds an element. `single` says that the score is exact in float32.
    fn push(&mut self, score: f64, weight: f64, single: bool) {
        match (single, weight == 1.0) {
            (true, true) => self.singles.push(score as f32),
            (false, true) => self.doubles.push(score),
            (true, false) if f64::from(weight as f32) == weight => {
                self.weighted_singles.push([score as f32, weight as f32]);
            }
            _ => self.weighted_doubles.push([score, weight]),
        }
    }

    fn merge(&mut self, other: &ClassScores) {
        self.singles.extend(&other.singles);
        self.doubles.extend(&other.doubles);
        self.weighted_singles.extend(&other.weighted_singles);
        self.weighted_doubles.extend(&other.weighted_doubles);
    }

    fn only_form(&self) -> Form {
        match self.lengths() {
            [0, 0, 0, 0] => Form::Empty,
            [_, 0, 0, 0] => Form::Singles,
            [0, _, 0, 0] => Form::Doubles,
            [0, 0, _, 0] => Form::WeightedSingles,
            _ => Form::Other,
        }
    }

    /// Returns the score and weight of each element in float64.
    fn in_double(&self) -> Vec<[f64; 2]> {
        let mut all = Vec::with_capacity(self.lengths().iter().sum());
        all.extend(self.weighted_doubles.iter());
        all.extend(self.weighted_singles.iter().map(|element| element.map(f64::from)));
        all.extend(self.doubles.iter().map(|score| [score, 1.0]));
        all.extend(self.singles.iter().map(|score| [f64::from(score), 1.0]));
        all
    }
}

/// An element with a score and a weight.
trait Scored: Copy {
    /// Sorts elements by their scores, ascending.
    fn sort(elements: &mut [Self]);
    fn score(self) -> f64;
    fn weight(self) -> f64;
}

impl Scored for f32 {
    fn sort(elements: &mut [Self]) {
        radsort::sort(elements);
    }
    fn score(self) -> f64 {
        self.into()
    }
    fn weight(self) -> f64 {
        1.0
    }
}

impl Scored for f64 {
    fn sort(elements: &mut [Self]) {
        sort_doubles(elements, |score| *score);
    }
    fn score(self) -> f64 {
        self
    }
    fn weight(self) -> f64 {
        1.0
    }
}

impl Scored for [f32; 2] {
    fn sort(elements: &mut [Self]) {
        radsort::sort_by_key(elements, |element| element[0]);
    }
    fn score(self) -> f64 {
        self[0].into()
    }
    fn weight(self) -> f64 {
        self[1].into()
    }
}

impl Scored for [f64; 2] {
    fn sort(elements: &mut [Self]) {
        sort_doubles(elements, |element| element[0]);
    }
    fn score(self) -> f64 {
        self[0]
    }
    fn weight(self) -> f64 {
        self[1]
    }
}

/// Sorts elements by their scores, ascending.
fn sort_doubles<T: Copy>(elements: &mut [T], score: impl Fn(&T) -> f64) {
    // An integer in the order of the scores.
    let order = |element: &T| {
        let bits = score(element).to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    };
    // A radix sort of the upper half takes half as many passes. Few scores are equal in it and differ in the lower half.
    let upper = |element: &T| (order(element) >> 32) as u32;
    radsort::sort_by_key(elements, upper);
    for equal in elements.chunk_by_mut(|one, other| upper(one) == upper(other)).filter(|equal| equal.len() > 1) {
        equal.sort_by_key(order);
    }
}

/// Sorts both classes, and calls `f` with the weight of positives and of negatives at each distinct score, in descending
/// order.
fn merge_sorted<T: Scored>(mut positives: Vec<T>, mut negatives: Vec<T>, mut f: impl FnMut(f64, f64)) {
    T::sort(&mut positives);
    T::sort(&mut negatives);
    let (mut positives, mut negatives) = (positives.as_slice(), negatives.as_slice());
    loop {
        let score = match (positives.last(), negatives.last()) {
            (None, None) => return,
            (Some(element), None) | (None, Some(element)) => element.score(),
            (Some(one), Some(other)) => one.score().max(other.score()),
        };
        f(take_last(&mut positives, score), take_last(&mut negatives, score));
    }
}

/// Removes the last elements of this score from an ascending slice, and returns the sum of their weights.
fn take_last<T: Scored>(elements: &mut &[T], score: f64) -> f64 {
    let mut weight = 0.0;
    // Zeros of both signs are equal.
    while let [rest @ .., last] = elements
        && last.score() == score
    {
        weight += last.weight();
        *elements = rest;
    }
    weight
}

/// Whether all labels are 1, 0 or -1, and no score is NaN.
struct AreValid<'a> {
    labels: &'a [f32],
    scores: &'a [f32],
}

impl Kernel for AreValid<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let is_label = |label: f32| (label == 0.0) | (label.abs() == 1.0);
        let labels = self.labels.iter().fold(true, |valid, label| valid & is_label(*label));
        self.scores.iter().fold(labels, |valid, score| valid & !score.is_nan())
    }
}
