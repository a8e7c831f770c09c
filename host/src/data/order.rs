//! The sample order of an epoch.

use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64;

use crate::random::splitmix;

/// Fills `order` with a permutation of 0..len that depends only on `seed` and `epoch`, reusing its memory.
pub fn shuffled_order(len: usize, seed: u64, epoch: u64, order: &mut Vec<usize>) {
    order.clear();
    order.extend(0..len);
    let mut random = Pcg64::from_seed(key(seed, epoch));
    for last in (1..len).rev() {
        order.swap(last, below(last as u64 + 1, &mut random) as usize);
    }
}

/// Derives the 32-byte key of the generator; every bit of both numbers affects it.
fn key(seed: u64, epoch: u64) -> [u8; 32] {
    let mut key = [0; 32];
    let mut word = seed ^ splitmix(epoch);
    for bytes in key.chunks_exact_mut(8) {
        word = splitmix(word);
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    key
}

/// Returns a uniform number below `bound`, by the method of Lemire 2019. rand's own results may change between
/// versions.
fn below(bound: u64, random: &mut Pcg64) -> u64 {
    let mut product = u128::from(random.next_u64()) * u128::from(bound);
    if (product as u64) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u64) < threshold {
            product = u128::from(random.next_u64()) * u128::from(bound);
        }
    }
    (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
        let mut order = vec![99; 3];
        shuffled_order(len, seed, epoch, &mut order);
        order
    }

    #[test]
    fn every_sample_occurs_once() {
        for len in [0, 1, 2, 1000] {
            let mut sorted = order(len, 7, 1);
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..len));
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch() {
        assert_eq!(order(100, 7, 1), order(100, 7, 1));
        assert_ne!(order(100, 7, 1), order(100, 7, 2));
        assert_ne!(order(100, 7, 1), order(100, 8, 1));
        assert_eq!(order(8, 7, 1), [5, 0, 3, 7, 2, 6, 4, 1], "the order must not change between versions");
    }

    #[test]
    fn positions_are_uniform() {
        let mut counts = [[0_u32; 5]; 5];
        for epoch in 0..20_000 {
            for (place, sample) in order(5, 3, epoch).into_iter().enumerate() {
                counts[place][sample] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|&count| (count as f64 / 4000.0 - 1.0).abs() < 0.08), "{counts:?}");
    }
}
