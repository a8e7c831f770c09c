//! Logits so large that their float32 probabilities are nearly all equal to 0 or 1.

use super::confusion::{CountedElement, Counts};
use plugfit_api::prelude::*;

/// Above this logit, a float32 probability is less than 2 ulp away from 1.
const SATURATED: f64 = 16.0;
/// The maximum number of distinct logits.
const MOST: usize = 1024;

/// The weight of positives and of negatives at each logit of large magnitude, in ascending order.
///
/// If there are too many distinct logits, the same number of low bits of each is dropped. The result doesn't depend on
/// the order of the logits.
#[state]
#[derive(Default)]
pub struct Saturated {
    dropped: u32,
    logits: Vec<(u64, [f64; 2])>,
}

/// Returns a key with the same order as the logits.
fn key(logit: f64) -> u64 {
    let bits = logit.to_bits();
    if logit < 0.0 { !bits } else { bits | 1 << 63 }
}

fn is_negative(key: u64, dropped: u32) -> bool {
    key << dropped >> 63 == 0
}

impl Saturated {
    /// Returns whether the logit of an element is saturated: its magnitude is large, and it is in the first or last
    /// bucket of `thresholds` thresholds.
    pub fn holds(element: &CountedElement, thresholds: usize) -> bool {
        element.y_pred <= -SATURATED && element.bucket == 1
            || element.y_pred >= SATURATED && element.bucket + 1 == thresholds
    }

    pub fn add(&mut self, element: &CountedElement) {
        let mut weights = [0.0; 2];
        weights[element.class] = element.weight;
        self.put(key(element.y_pred) >> self.dropped, weights);
        self.coarsen(self.dropped);
    }

    pub fn merge(&mut self, other: &Saturated) {
        self.coarsen(other.dropped);
        for (key, weights) in &other.logits {
            self.put(key >> (self.dropped - other.dropped), *weights);
            self.coarsen(self.dropped);
        }
    }

    fn put(&mut self, key: u64, weights: [f64; 2]) {
        match self.logits.binary_search_by_key(&key, |logit| logit.0) {
            Ok(place) => self.logits[place].1.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight),
            Err(place) => self.logits.insert(place, (key, weights)),
        }
    }

    /// Drops low bits until at least `least` are dropped and at most [`MOST`] logits are left.
    fn coarsen(&mut self, least: u32) {
        while self.dropped < least || self.logits.len() > MOST {
            self.dropped += 1;
            self.logits.iter_mut().for_each(|logit| logit.0 >>= 1);
            self.logits.dedup_by(|next, previous| {
                let same = next.0 == previous.0;
                if same {
                    previous.1[0] += next.1[0];
                    previous.1[1] += next.1[1];
                }
                same
            });
        }
    }

    /// Inserts a point of the curve for each logit, between the counts at the thresholds around it. Elements of the
    /// same bucket that aren't saturated are distributed evenly over these points, as on a straight line, so that a
    /// single logit changes nothing.
    pub fn refine(&self, counts: &mut Vec<Counts>) {
        let split = self.logits.partition_point(|logit| is_negative(logit.0, self.dropped));
        let (low, high) = self.logits.split_at(split);
        match counts.len() {
            // The first and the last bucket are the same.
            0..=2 => insert(counts, 0, &self.logits),
            thresholds => {
                insert(counts, thresholds - 2, high);
                insert(counts, 0, low);
            }
        }
    }
}

/// Inserts points between the counts at `threshold` and those at the next threshold.
fn insert(counts: &mut Vec<Counts>, threshold: usize, logits: &[(u64, [f64; 2])]) {
    let Some([below, above]) = counts.get(threshold..).and_then(|counts| counts.first_chunk()).copied() else { return };
    let sum = |class: usize| logits.iter().map(|logit| logit.1[class]).sum::<f64>();
    let (positives, negatives) = (sum(0), sum(1));
    // Weights may be negative.
    if positives + negatives <= 0.0 {
        return;
    }
    let others = [
        (below.true_positives - above.true_positives - positives).0,
        (below.false_positives - above.false_positives - negatives).0,
    ];
    let mut seen = [0.0; 2];
    // In descending order; the least logit ends at the counts below and needs no point.
    let points = logits.iter().skip(1).rev().map(|logit| {
        seen = [seen[0] + logit.1[0], seen[1] + logit.1[1]];
        let share = (seen[0] + seen[1]) / (positives + negatives);
        let [positive, negative] = [0, 1].map(|class| seen[class] + share * others[class]);
        Counts {
            true_positives: above.true_positives + positive,
            false_positives: above.false_positives + negative,
            false_negatives: above.false_negatives - positive,
            true_negatives: above.true_negatives - negative,
        }
    });
    let mut points: Vec<Counts> = points.collect();
    points.reverse();
    counts.splice(threshold + 1..threshold + 1, points);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(logits: impl IntoIterator<Item = f64>) -> Saturated {
        let mut saturated = Saturated::default();
        for (i, y_pred) in logits.into_iter().enumerate() {
            saturated.add(&CountedElement { label: 0, y_pred, bucket: 1, class: i % 2, weight: 1.0 });
        }
        saturated
    }

    #[test]
    fn keys_have_the_order_of_the_logits() {
        let saturated = of([40.0, f64::INFINITY, -16.0, -1e300, 17.0, f64::NEG_INFINITY, 40.0]);
        let logits: Vec<u64> = saturated.logits.iter().map(|logit| logit.0).collect();
        assert_eq!(logits, [f64::NEG_INFINITY, -1e300, -16.0, 17.0, 40.0, f64::INFINITY].map(key));
        assert_eq!(saturated.logits[4].1, [2.0, 0.0]);
        assert_eq!(logits.iter().filter(|logit| is_negative(**logit, 0)).count(), 3);
    }

    #[test]
    fn dropped_bits_do_not_depend_on_the_order_of_the_logits() {
        let all: Vec<f64> = (0..5000).map(|i| (if i % 3 == 0 { -20.0 } else { 20.0 }) - f64::from(i) / 1e3).collect();
        let (forward, backward) = (of(all.clone()), of(all.iter().rev().copied()));
        assert!(forward.logits.len() <= MOST && forward.dropped > 0);
        let keys = |saturated: &Saturated| saturated.logits.iter().map(|logit| logit.0).collect::<Vec<_>>();
        assert_eq!((forward.dropped, keys(&forward)), (backward.dropped, keys(&backward)));
        let mut merged = of(all[..77].iter().copied());
        merged.merge(&of(all[77..].iter().copied()));
        assert_eq!((forward.dropped, keys(&forward)), (merged.dropped, keys(&merged)));
        let negative = forward.logits.iter().filter(|logit| is_negative(logit.0, forward.dropped));
        assert_eq!(negative.map(|logit| logit.1[0] + logit.1[1]).sum::<f64>(), 1667.0);
    }
}
