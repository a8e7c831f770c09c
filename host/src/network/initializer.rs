//! How a layer's weights begin. Keras 3's initializers, by their names.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::random::mix;

/// The distribution that a weight is drawn from, with Keras's definition.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// all 0
    Zeros,
    /// all 1
    Ones,
    /// uniform within ±√(6 / (fan_in + fan_out)). Glorot & Bengio 2010.
    GlorotUniform,
    /// normal of variance 2 / (fan_in + fan_out), cut off at two standard deviations
    GlorotNormal,
    /// uniform within ±√(6 / fan_in). He et al. 2015.
    HeUniform,
    /// normal of variance 2 / fan_in, cut off at two standard deviations
    HeNormal,
    /// uniform within ±√(3 / fan_in). LeCun et al. 1998.
    LecunUniform,
    /// normal of variance 1 / fan_in, cut off at two standard deviations
    LecunNormal,
    /// normal
    RandomNormal {
        /// its mean; 0 unless told
        mean: f64,
        /// its standard deviation; 0.05 unless told
        stddev: f64,
    },
    /// uniform
    RandomUniform {
        /// from here; -0.05 unless told
        minval: f64,
        /// to here, exclusive; 0.05 unless told
        maxval: f64,
    },
}

/// A distribution and, if it isn't to follow from the network's seed, a seed of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Initializer {
    /// What is drawn from.
    pub distribution: Distribution,
    /// Its own seed; none: it follows from the network's.
    pub seed: Option<u64>,
}

/// Every distribution at its defaults, with its name and Keras's class name.
const NAMES: [(Distribution, &str, &str); 10] = [
    (Distribution::Zeros, "zeros", "Zeros"),
    (Distribution::Ones, "ones", "Ones"),
    (Distribution::GlorotUniform, "glorot_uniform", "GlorotUniform"),
    (Distribution::GlorotNormal, "glorot_normal", "GlorotNormal"),
    (Distribution::HeUniform, "he_uniform", "HeUniform"),
    (Distribution::HeNormal, "he_normal", "HeNormal"),
    (Distribution::LecunUniform, "lecun_uniform", "LecunUniform"),
    (Distribution::LecunNormal, "lecun_normal", "LecunNormal"),
    (Distribution::RandomNormal { mean: 0.0, stddev: 0.05 }, "random_normal", "RandomNormal"),
    (Distribution::RandomUniform { minval: -0.05, maxval: 0.05 }, "random_uniform", "RandomUniform"),
];

impl From<Distribution> for Initializer {
    fn from(distribution: Distribution) -> Self {
        Initializer { distribution, seed: None }
    }
}

impl Distribution {
    /// The distribution of that name or class name, at its defaults.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, short, class)| name == *short || name == *class).map(|(distribution, ..)| *distribution)
    }

    /// Its class name.
    pub fn class_name(&self) -> &'static str {
        let same_kind = |other: &Distribution| std::mem::discriminant(other) == std::mem::discriminant(self);
        NAMES.iter().find(|(distribution, ..)| same_kind(distribution)).map_or("Zeros", |(.., class)| class)
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().map(|(_, name, _)| *name)
    }
}

impl Initializer {
    /// Fills a weight. `seed` is the network's and `place` the weight's; fans are those of a kernel `[in, out]`.
    pub(super) fn fill(&self, values: &mut [f32], [fan_in, fan_out]: [usize; 2], seed: u64, place: &[u64; 2]) {
        let fan_in = fan_in.max(1) as f64;
        let fans = fan_in + fan_out.max(1) as f64;
        let mut random = Pcg64::seed_from_u64(mix(&match self.seed {
            Some(own) => [own, 0, 0],
            None => [seed, place[0], place[1]],
        }));
        let mut uniform = |limit: f64| {
            values.iter_mut().for_each(|value| *value = ((random.random::<f64>() * 2.0 - 1.0) * limit) as f32);
        };
        match self.distribution {
            Distribution::Zeros => values.fill(0.0),
            Distribution::Ones => values.fill(1.0),
            Distribution::GlorotUniform => uniform((6.0 / fans).sqrt()),
            Distribution::HeUniform => uniform((6.0 / fan_in).sqrt()),
            Distribution::LecunUniform => uniform((3.0 / fan_in).sqrt()),
            Distribution::GlorotNormal => fill_truncated_normal(values, (2.0 / fans).sqrt(), &mut random),
            Distribution::HeNormal => fill_truncated_normal(values, (2.0 / fan_in).sqrt(), &mut random),
            Distribution::LecunNormal => fill_truncated_normal(values, (1.0 / fan_in).sqrt(), &mut random),
            Distribution::RandomNormal { mean, stddev } => {
                values.iter_mut().for_each(|value| *value = (mean + stddev * normal(&mut random)) as f32);
            }
            Distribution::RandomUniform { minval, maxval } => {
                values.iter_mut().for_each(|v| *v = (minval + (maxval - minval) * random.random::<f64>()) as f32);
            }
        }
    }
}

/// A standard normal number. Box & Muller 1958.
fn normal(random: &mut Pcg64) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Normal numbers of this standard deviation *after* what lies beyond two deviations was drawn again, as Keras has it.
fn fill_truncated_normal(values: &mut [f32], stddev: f64, random: &mut Pcg64) {
    /// The standard deviation of a standard normal cut off at ±2.
    const CUT_STDDEV: f64 = 0.879_625_661_034_239_8;
    for value in values {
        let mut drawn = normal(random);
        while drawn.abs() > 2.0 {
            drawn = normal(random);
        }
        *value = (drawn * stddev / CUT_STDDEV) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, seed: u64, place: u64) -> Vec<f32> {
        let mut values = vec![f32::NAN; 200 * 100];
        let initializer = Initializer::from(Distribution::from_name(name).expect("a name"));
        initializer.fill(&mut values, [200, 100], seed, &[place, 0]);
        values
    }

    fn standard_deviation(values: &[f32]) -> f64 {
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
    }

    #[test]
    fn uniform_ones_stay_within_their_limit_and_reach_it() {
        for (name, limit) in [
            ("glorot_uniform", (6.0_f32 / 300.0).sqrt()),
            ("he_uniform", (6.0_f32 / 200.0).sqrt()),
            ("lecun_uniform", (3.0_f32 / 200.0).sqrt()),
            ("random_uniform", 0.05),
        ] {
            let largest = drawn(name, 1, 0).into_iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            assert!(largest <= limit && largest > 0.999 * limit, "{name}: {largest} {limit}");
        }
    }

    #[test]
    fn normal_ones_have_their_standard_deviation() {
        for (name, stddev) in [
            ("glorot_normal", (2.0_f64 / 300.0).sqrt()),
            ("he_normal", (2.0_f64 / 200.0).sqrt()),
            ("lecun_normal", (1.0_f64 / 200.0).sqrt()),
            ("random_normal", 0.05),
        ] {
            let got = standard_deviation(&drawn(name, 1, 0));
            assert!((got / stddev - 1.0).abs() < 0.02, "{name}: {got} {stddev}");
        }
        let cut = 2.0 * (2.0_f32 / 200.0).sqrt() / 0.879_625_7;
        assert!(drawn("he_normal", 1, 0).iter().all(|v| v.abs() <= cut * 1.000_001));
    }

    #[test]
    fn draws_depend_on_seed_and_place_alone() {
        assert_eq!(drawn("he_normal", 1, 0), drawn("he_normal", 1, 0));
        assert_ne!(drawn("he_normal", 1, 0), drawn("he_normal", 2, 0));
        assert_ne!(drawn("he_normal", 1, 0), drawn("he_normal", 1, 1));
        let own = Initializer { distribution: Distribution::GlorotUniform, seed: Some(3) };
        let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
        own.fill(&mut a, [2, 2], 1, &[0, 0]);
        own.fill(&mut b, [2, 2], 2, &[5, 1]);
        assert_eq!(a, b);
    }
}
