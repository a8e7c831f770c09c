//! Random weights for the Poisson bootstrap: functions of a seed, a replicate and the key of a row, so that they don't
//! depend on the order of rows and on partitions. Chamandy et al., "Estimating uncertainty for massive data streams",
//! 2012.

/// One step of SplitMix64, with its finaliser. Steele, Lea & Flood 2014.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns the key of rows that belong together by the text of their value.
pub fn key_of(text: &str) -> u64 {
    // FNV-1a, whose result `weights` mixes.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The key of a row, mixed once for all replicates.
#[derive(Clone, Copy, Debug)]
pub struct MixedKey(u64);

impl MixedKey {
    pub fn new(key: u64) -> Self {
        MixedKey(mix(key))
    }
}

/// The probabilities that a Poisson variable of mean 1 is at most 0, 1, 2, …, times 2³². A greater one than 12 has a
/// probability of less than 2⁻³².
const CUMULATIVE: [u32; 13] = {
    let mut cumulative = [0; 13];
    let (mut term, mut sum, mut at) = (1.0 / std::f64::consts::E, 0.0, 0);
    while at < cumulative.len() {
        sum += term;
        cumulative[at] = (sum * 4_294_967_296.0) as u32;
        at += 1;
        term /= at as f64;
    }
    cumulative
};

/// The number of weights that almost all rows have: the others have a probability of less than 0.4 %.
const USUAL: usize = 4;

/// Writes the weight of each key in a replicate.
pub fn weights(seed: u64, replicate: u32, keys: &[MixedKey], weights: &mut Vec<f64>) {
    let stream = mix(mix(seed) ^ u64::from(replicate));
    let (usual, further) = CUMULATIVE.split_at(USUAL);
    weights.clear();
    weights.extend(keys.iter().map(|MixedKey(key)| {
        let uniform = (mix(stream ^ key) >> 32) as u32;
        let mut above: u32 = usual.iter().map(|bound| u32::from(uniform >= *bound)).sum();
        if above == USUAL as u32 {
            above += further.iter().map(|bound| u32::from(uniform >= *bound)).sum::<u32>();
        }
        f64::from(above)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_poisson_of_mean_1_and_independent() {
        let keys: Vec<MixedKey> = (0..200_000).map(MixedKey::new).collect();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        weights(7, 0, &keys, &mut first);
        weights(7, 1, &keys, &mut second);
        let count = keys.len() as f64;
        let mut term = 1.0 / std::f64::consts::E;
        for expected in 0..6 {
            let found = first.iter().filter(|weight| **weight == f64::from(expected)).count() as f64 / count;
            let deviation = (term * (1.0 - term) / count).sqrt();
            assert!((found - term).abs() < 5.0 * deviation, "{expected}: {found}, {term}");
            term /= f64::from(expected + 1);
        }
        let mean = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / count;
        let between = mean(&mut first.iter().zip(&second).map(|(a, b)| (a - 1.0) * (b - 1.0)));
        let neighbours = mean(&mut first.windows(2).map(|pair| (pair[0] - 1.0) * (pair[1] - 1.0)));
        assert!(between.abs() < 0.012 && neighbours.abs() < 0.012, "{between}, {neighbours}");
    }
}
