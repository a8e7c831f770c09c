//! Stateless random numbers: functions of a seed, a step and an index.
//!
//! A resumed run has no generator state to restore, and the numbers don't depend on the number of threads.

/// Mixes any number of 64-bit values into one; every bit of each affects the result.
pub fn mix(values: &[u64]) -> u64 {
    values.iter().fold(0x243f_6a88_85a3_08d3, |state, &value| splitmix(state ^ splitmix(value)))
}

/// One step of SplitMix64, with its finaliser. Steele, Lea & Flood 2014.
pub fn splitmix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a stream of 32-bit numbers, addressed by their index.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    low: u32,
    high: u32,
}

impl Stream {
    /// Creates the stream for these values.
    pub fn new(values: &[u64]) -> Self {
        let key = mix(values);
        Stream { low: key as u32, high: (key >> 32) as u32 }
    }

    /// Returns the number at an index. Uses only 32-bit arithmetic, so that loops over it vectorise.
    #[inline(always)]
    pub fn at(self, index: u32) -> u32 {
        scramble(scramble(index ^ self.low) ^ self.high)
    }
}

/// A 32-bit mixing function of low bias. Wellons, "Prospecting for hash functions", 2018.
#[inline(always)]
fn scramble(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_uniform_and_uncorrelated() {
        let count = 100_000;
        let stream = Stream::new(&[7, 0, 1]);
        let mean = (0..count).map(|i| f64::from(stream.at(i))).sum::<f64>() / f64::from(count) / 2f64.powi(32);
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        let other = Stream::new(&[7, 1, 0]);
        let equal_top_bits = (0..count).filter(|&i| (stream.at(i) ^ other.at(i)) >> 31 == 0).count() as f64;
        assert!((equal_top_bits / f64::from(count) - 0.5).abs() < 0.01);
        let neighbours_agree = (0..count).filter(|&i| (stream.at(i) ^ stream.at(i + 1)) >> 31 == 0).count() as f64;
        assert!((neighbours_agree / f64::from(count) - 0.5).abs() < 0.01);
    }
}
