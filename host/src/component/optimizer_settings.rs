//! What the host does around a plug-in's update, for programs that compute the formula of an optimizer themselves.

use super::{Optimizer, Parameter};
use crate::Result;
use crate::plugin::Clip;

/// What the host does around the update of every parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// The clipping of gradients, after they are multiplied by `gradient_scale`.
    pub clip: Clip,
    /// The factor of gradients: the reciprocal of the loss scale.
    pub gradient_scale: f64,
    /// Whether the optimizer keeps averages of the parameters.
    pub has_averages: bool,
    /// The number of batches whose gradients are averaged for an update.
    pub accumulation_steps: u64,
}

/// What the host does around the update of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSettings {
    /// Whether the parameter is trained.
    pub trainable: bool,
    /// The fraction of the parameter that a step with learning rate 1 subtracts before the update; 0 if it is excluded
    /// from weight decay.
    pub weight_decay: f64,
    /// The factor of the learning rate.
    pub learning_rate_factor: f64,
}

impl Optimizer {
    /// Returns the settings for all parameters.
    pub fn settings(&self) -> OptimizerSettings {
        OptimizerSettings {
            clip: self.clip,
            gradient_scale: 1.0 / self.loss_scale.unwrap_or(1.0),
            has_averages: self.ema_momentum.is_some(),
            accumulation_steps: self.accumulation.unwrap_or(1),
        }
    }

    /// Returns the settings for a parameter.
    pub fn settings_of(&self, parameter: &Parameter) -> ParameterSettings {
        let group = self.group(&parameter.path).map(|(_, group)| group);
        let weight_decay = group.and_then(|group| group.weight_decay).or(self.weight_decay).unwrap_or(0.0);
        ParameterSettings {
            trainable: parameter.trainable && group.is_none_or(|group| group.trainable != Some(false)),
            weight_decay: if self.decays(parameter) { weight_decay } else { 0.0 },
            learning_rate_factor: group.and_then(|group| group.learning_rate_factor).unwrap_or(1.0),
        }
    }

    /// Returns whether a parameter isn't excluded from weight decay.
    pub(super) fn decays(&self, parameter: &Parameter) -> bool {
        !self.excluded.iter().any(|word| word.is_match(&parameter.name))
            && !self.excluded_paths.contains(&parameter.path)
    }

    /// Returns the learning rate of the step after `steps` previous ones, however many the optimizer has made.
    ///
    /// # Errors
    /// Returns an error if the schedule fails.
    pub fn learning_rate_at(&self, steps: u64) -> Result<f64> {
        self.rate.at(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Host;
    use crate::component::Group;

    fn parameter(path: &str) -> Parameter {
        let name = path.rsplit('/').next().unwrap_or_default();
        Parameter { name: name.into(), path: path.into(), shape: vec![2], trainable: true }
    }

    #[test]
    #[cfg(feature = "builtin")]
    fn a_group_and_exclusions_replace_the_settings_of_a_parameter() {
        let mut optimizer = Host::new().optimizer("AdamW(learning_rate=0.1, weight_decay=0.5, clipnorm=1)").unwrap();
        optimizer.exclude_from_weight_decay(["bias".to_owned()]).unwrap();
        let group = Group { pattern: "b/*".into(), learning_rate_factor: Some(2.0), ..Group::default() };
        let frozen = Group { pattern: "c/*".into(), trainable: Some(false), ..Group::default() };
        let own = Group { pattern: "d/*".into(), weight_decay: Some(0.25), ..Group::default() };
        optimizer.set_groups(vec![group, frozen, own]).unwrap();
        let settings = |path: &str| optimizer.settings_of(&parameter(path));
        let usual = ParameterSettings { trainable: true, weight_decay: 0.5, learning_rate_factor: 1.0 };
        assert_eq!(settings("a/kernel"), usual);
        assert_eq!(settings("a/bias"), ParameterSettings { weight_decay: 0.0, ..usual });
        assert_eq!(settings("b/kernel"), ParameterSettings { learning_rate_factor: 2.0, ..usual });
        assert_eq!(settings("c/kernel"), ParameterSettings { trainable: false, ..usual });
        assert_eq!(settings("d/kernel"), ParameterSettings { weight_decay: 0.25, ..usual });
        assert_eq!(optimizer.settings().clip, Clip::Norm(1.0));
    }

    #[test]
    #[cfg(feature = "builtin")]
    fn the_learning_rate_of_any_step_is_known() {
        let schedule = "SGD(learning_rate=ExponentialDecay(initial_learning_rate=1.0, decay_steps=2, decay_rate=0.25))";
        let optimizer = Host::new().optimizer(schedule).unwrap();
        assert_eq!(optimizer.learning_rate_at(0).unwrap(), 1.0);
        assert_eq!(optimizer.learning_rate_at(4).unwrap(), 0.0625);
    }
}
