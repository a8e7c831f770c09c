//! The confusion counts of float32 labels and predictions, in one pass.

use super::confusion::{Buckets, Rule};
use plugfit_api::{
    Inputs, Scratch, Tensor,
    simd::{Kernel, dispatch},
};

/// The number of elements of a block, whose counts fit into 32 bits.
const BLOCK: usize = 1 << 12;
/// The maximum number of buckets that are counted in 32 bits before they are added to the state.
const MOST_COUNTED: usize = 1 << 12;

/// The labels, predictions and weights of a batch.
#[derive(Clone, Copy)]
struct Elements<'a> {
    y_true: &'a [f32],
    y_pred: &'a [f32],
    weight: Option<&'a [f32]>,
}

impl<'a> Elements<'a> {
    fn new(inputs: &Inputs<'a>) -> Option<Self> {
        let (y_true, y_pred) = (inputs.y_true().ok()?, inputs.y_pred().ok()?);
        let same = |tensor: Tensor<'_>| tensor.shape() == y_pred.shape();
        if !same(y_true) || inputs.weight().is_some_and(|weight| !same(weight)) {
            return None;
        }
        let weight = match inputs.weight() {
            Some(weight) => Some(weight.as_slice::<f32>()?),
            None => None,
        };
        Some(Elements { y_true: y_true.as_slice()?, y_pred: y_pred.as_slice()?, weight })
    }

    /// Returns a block of elements.
    #[inline(always)]
    fn block(self, first: usize) -> Self {
        let range = first..self.y_pred.len().min(first + BLOCK);
        Elements {
            y_true: &self.y_true[range.clone()],
            y_pred: &self.y_pred[range.clone()],
            weight: self.weight.map(|weight| &weight[range]),
        }
    }

    /// Whether all labels are 0 or 1, and no prediction is NaN.
    #[inline(always)]
    fn are_valid(self) -> bool {
        let label = self.y_true.iter().fold(true, |valid, y| valid & ((*y == 0.0) | (*y == 1.0)));
        self.y_pred.iter().fold(label, |valid, p| valid & !p.is_nan())
    }
}

impl Rule {
    /// Adds a batch of float32 elements to the buckets. Returns `false`, and adds nothing, if the batch or the rule is of
    /// another form, or if a label or prediction is invalid.
    pub(super) fn update_single(&self, buckets: &mut [[f64; 2]], inputs: &Inputs<'_>) -> bool {
        let counts_all = self.top_k.is_none() && self.class_id.is_none() && self.label_weights.is_empty();
        if !counts_all || self.multi_label || self.from_logits {
            return false;
        }
        let Some(elements) = Elements::new(inputs) else { return false };
        match self.buckets {
            Buckets::Single(threshold) => {
                let Some(sums) = dispatch(AtThreshold { elements, threshold: threshold as f32 }) else { return false };
                buckets.as_flattened_mut().iter_mut().zip(sums).for_each(|(bucket, sum)| *bucket += sum);
                true
            }
            Buckets::Even { thresholds, beyond } if elements.weight.is_none() && thresholds < MOST_COUNTED => {
                let mut counts = Scratch::<u32>::of_length(4 * (thresholds + 1));
                counts.fill(0);
                let even = Even { elements, thresholds, first: u32::from(beyond), counts: &mut counts };
                if !dispatch(even) {
                    return false;
                }
                let (one, other) = counts.split_at(2 * (thresholds + 1));
                for ((bucket, one), other) in buckets.as_flattened_mut().iter_mut().zip(one).zip(other) {
                    *bucket += f64::from(*one) + f64::from(*other);
                }
                true
            }
            Buckets::Even { .. } | Buckets::Sorted { .. } => false,
        }
    }
}

/// Sums the weights of positives and negatives that aren't above the threshold, and of those above it.
struct AtThreshold<'a> {
    elements: Elements<'a>,
    threshold: f32,
}

impl Kernel for AtThreshold<'_> {
    type Output = Option<[f64; 4]>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut sums = [0.0; 4];
        for first in (0..self.elements.y_pred.len()).step_by(BLOCK) {
            let block = self.elements.block(first);
            if !block.are_valid() {
                return None;
            }
            let counts = match block.weight {
                None => self.counts(block),
                Some(weight) => self.weights(block, weight),
            };
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Some(sums)
    }
}

impl AtThreshold<'_> {
    #[inline(always)]
    fn counts(&self, block: Elements<'_>) -> [f64; 4] {
        let mut counts = [0u32; 3];
        for (y, p) in block.y_true.iter().zip(block.y_pred) {
            let (above, positive) = (u32::from(*p > self.threshold), u32::from(*y != 0.0));
            counts[0] += above & positive;
            counts[1] += above;
            counts[2] += positive;
        }
        let ([both, above, positive], all) = (counts, block.y_pred.len() as u32);
        [positive - both, all + both - above - positive, both, above - both].map(f64::from)
    }

    #[inline(always)]
    fn weights(&self, block: Elements<'_>, weight: &[f32]) -> [f64; 4] {
        const LANES: usize = 8;
        let mut lanes = [[0.0f64; LANES]; 4];
        let mut add = |k: usize, y: f32, p: f32, weight: f32| {
            let weight = f64::from(weight);
            let (above, positive) = (p > self.threshold, y != 0.0);
            lanes[0][k] += if !above & positive { weight } else { 0.0 };
            lanes[1][k] += if !above & !positive { weight } else { 0.0 };
            lanes[2][k] += if above & positive { weight } else { 0.0 };
            lanes[3][k] += if above & !positive { weight } else { 0.0 };
        };
        let whole = weight.len() - weight.len() % LANES;
        for at in (0..whole).step_by(LANES) {
            let (y, p, weight) =
                (&block.y_true[at..at + LANES], &block.y_pred[at..at + LANES], &weight[at..at + LANES]);
            for k in 0..LANES {
                add(k, y[k], p[k], weight[k]);
            }
        }
        let rest = block.y_true[whole..].iter().zip(&block.y_pred[whole..]).zip(&weight[whole..]);
        for (k, ((y, p), weight)) in rest.enumerate() {
            add(k, *y, *p, *weight);
        }
        lanes.map(|lanes| lanes.iter().sum())
    }
}

/// Counts elements between evenly spaced thresholds. `counts` holds two histograms of positives and negatives, so that an
/// element seldom waits for the one before it.
struct Even<'a, 'c> {
    elements: Elements<'a>,
    thresholds: usize,
    first: u32,
    counts: &'c mut [u32],
}

impl Kernel for Even<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let (mut places, parts) = ([0u32; BLOCK], self.thresholds as f32 - 1.0);
        let (one, other) = self.counts.split_at_mut(2 * (self.thresholds + 1));
        for first in (0..self.elements.y_pred.len()).step_by(BLOCK) {
            let block = self.elements.block(first);
            if !block.are_valid() {
                return false;
            }
            let places = &mut places[..block.y_pred.len()];
            for ((place, y), p) in places.iter_mut().zip(block.y_true).zip(block.y_pred) {
                let scaled = p.clamp(0.0, 1.0) * parts;
                // Rounding up without a function call: the number is at most 2^12.
                let whole = scaled as i32;
                let bucket = (whole + i32::from(whole as f32 != scaled)) as u32;
                *place = 2 * bucket.max(self.first) + u32::from(*y == 0.0);
            }
            for pair in places.chunks(2) {
                one[pair[0] as usize] += 1;
                if let Some(second) = pair.get(1) {
                    other[*second as usize] += 1;
                }
            }
        }
        true
    }
}
