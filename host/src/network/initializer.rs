//! Weight initialisers, with the names and definitions of Keras 3.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use super::fields::{Fields, unknown_name};
use crate::Result;
use crate::random::mix;

/// The distribution of the initial weights, with the definition of Keras.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// all 0
    Zeros,
    /// all 1
    Ones,
    /// uniform within ±√(6 / (fan_in + fan_out)). Glorot & Bengio 2010.
    GlorotUniform,
    /// normal of variance 2 / (fan_in + fan_out), truncated at two standard deviations
    GlorotNormal,
    /// uniform within ±√(6 / fan_in). He et al. 2015.
    HeUniform,
    /// normal of variance 2 / fan_in, truncated at two standard deviations
    HeNormal,
    /// uniform within ±√(3 / fan_in). LeCun et al. 1998.
    LecunUniform,
    /// normal of variance 1 / fan_in, truncated at two standard deviations
    LecunNormal,
    /// normal
    RandomNormal {
        /// the mean; default 0
        mean: f64,
        /// the standard deviation; default 0.05
        stddev: f64,
    },
    /// uniform
    RandomUniform {
        /// the lower bound; default -0.05
        minval: f64,
        /// the upper bound, exclusive; default 0.05
        maxval: f64,
    },
}

/// A distribution with an optional seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Initializer {
    /// The distribution of the values.
    pub distribution: Distribution,
    /// The seed; `None` derives it from the seed of the network.
    pub seed: Option<u64>,
}

/// The distributions with default parameters, their names and the class names of Keras.
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
    /// Returns the distribution with this name or class name, with default parameters.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, short, class)| name == *short || name == *class).map(|(distribution, ..)| *distribution)
    }

    /// Returns the class name of Keras.
    pub fn class_name(&self) -> &'static str {
        let same_kind = |other: &Distribution| std::mem::discriminant(other) == std::mem::discriminant(self);
        NAMES.iter().find(|(distribution, ..)| same_kind(distribution)).map_or("Zeros", |(.., class)| class)
    }

    /// Returns all names.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().map(|(_, name, _)| *name)
    }
}

impl Initializer {
    /// Reads a field of a layer: a name, or a class name with its config.
    pub(super) fn from_field(fields: &mut Fields, key: &'static str, default: Distribution) -> Result<Self> {
        let (name, config) = match fields.take(key) {
            None => return Ok(default.into()),
            Some(Value::String(name)) => (name, None),
            Some(object @ Value::Object(_)) => {
                let mut outer = Fields::new(&object, fields.path(key))?;
                let name = outer.string("class_name")?;
                let name = name
                    .ok_or_else(|| fields.type_error(key, "an initializer's name or {class_name, config}", &object))?;
                let config = outer.take("config");
                outer.check_keras_package("initializer", &name)?;
                outer.finish("an initializer")?;
                (name, config)
            }
            Some(other) => return Err(fields.type_error(key, "an initializer's name or {class_name, config}", &other)),
        };
        let mut distribution = Distribution::from_name(&name)
            .ok_or_else(|| unknown_name("initializer", &name, fields.path(key), Distribution::names()))?;
        let Some(config) = config else { return Ok(distribution.into()) };
        let mut settings = Fields::new(&config, fields.path(key) + ".config")?;
        match &mut distribution {
            Distribution::RandomNormal { mean, stddev } => {
                *mean = settings.number("mean")?.unwrap_or(*mean);
                *stddev = settings.number("stddev")?.unwrap_or(*stddev);
            }
            Distribution::RandomUniform { minval, maxval } => {
                *minval = settings.number("minval")?.unwrap_or(*minval);
                *maxval = settings.number("maxval")?.unwrap_or(*maxval);
            }
            _ => {}
        }
        let seed = settings.whole("seed")?;
        settings.require_absent(&["input_axes", "output_axes"])?;
        settings.finish(distribution.class_name())?;
        Ok(Initializer { distribution, seed })
    }

    /// Writes JSON for [`from_field`](Self::from_field).
    pub(super) fn to_json(self) -> Value {
        let mut config = match self.distribution {
            Distribution::RandomNormal { mean, stddev } => json!({ "mean": mean, "stddev": stddev }),
            Distribution::RandomUniform { minval, maxval } => json!({ "minval": minval, "maxval": maxval }),
            _ => json!({}),
        };
        if let Some(seed) = self.seed {
            config["seed"] = json!(seed);
        }
        json!({ "class_name": self.distribution.class_name(), "config": config })
    }

    /// Fills a weight with random values. `seed` is the seed of the network, and `weight_index` identifies the weight.
    /// The fans are those of a kernel `[in, out]`.
    pub(super) fn fill(&self, values: &mut [f32], [fan_in, fan_out]: [usize; 2], seed: u64, weight_index: &[u64; 2]) {
        let fan_in = fan_in.max(1) as f64;
        let fans = fan_in + fan_out.max(1) as f64;
        let mut random = Pcg64::seed_from_u64(mix(&match self.seed {
            Some(seed) => [seed, 0, 0],
            None => [seed, weight_index[0], weight_index[1]],
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

/// Draws a standard normal number. Box & Muller 1958.
fn normal(random: &mut Pcg64) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Draws truncated normal numbers whose standard deviation *after* truncation at two standard deviations is `stddev`,
/// as in Keras.
fn fill_truncated_normal(values: &mut [f32], stddev: f64, random: &mut Pcg64) {
    /// The standard deviation of a standard normal truncated at ±2.
    const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;
    for value in values {
        let mut drawn = normal(random);
        while drawn.abs() > 2.0 {
            drawn = normal(random);
        }
        *value = (drawn * stddev / TRUNCATED_STDDEV) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, seed: u64, layer_index: u64) -> Vec<f32> {
        let mut values = vec![f32::NAN; 200 * 100];
        let initializer = Initializer::from(Distribution::from_name(name).expect("a name"));
        initializer.fill(&mut values, [200, 100], seed, &[layer_index, 0]);
        values
    }

    fn standard_deviation(values: &[f32]) -> f64 {
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
    }

    #[test]
    fn uniform_distributions_fill_their_range() {
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
    fn normal_distributions_have_their_standard_deviation() {
        for (name, stddev) in [
            ("glorot_normal", (2.0_f64 / 300.0).sqrt()),
            ("he_normal", (2.0_f64 / 200.0).sqrt()),
            ("lecun_normal", (1.0_f64 / 200.0).sqrt()),
            ("random_normal", 0.05),
        ] {
            let got = standard_deviation(&drawn(name, 1, 0));
            assert!((got / stddev - 1.0).abs() < 0.02, "{name}: {got} {stddev}");
        }
        let limit = 2.0 * (2.0_f32 / 200.0).sqrt() / 0.879_625_7;
        assert!(drawn("he_normal", 1, 0).iter().all(|v| v.abs() <= limit * 1.000_001));
    }

    #[test]
    fn values_depend_only_on_seed_and_place() {
        assert_eq!(drawn("he_normal", 1, 0), drawn("he_normal", 1, 0));
        assert_ne!(drawn("he_normal", 1, 0), drawn("he_normal", 2, 0));
        assert_ne!(drawn("he_normal", 1, 0), drawn("he_normal", 1, 1));
        let seeded = Initializer { distribution: Distribution::GlorotUniform, seed: Some(3) };
        let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
        seeded.fill(&mut a, [2, 2], 1, &[0, 0]);
        seeded.fill(&mut b, [2, 2], 2, &[5, 1]);
        assert_eq!(a, b);
    }
}
