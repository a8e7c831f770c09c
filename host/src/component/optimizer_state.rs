//! Saves and restores the state of an optimizer.

use super::Optimizer;
use super::optimizer::check_rate;
use crate::plugin::SlotValues;
use crate::{Error, Result};

/// Everything that an optimizer's steps depend on, except its configuration and the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// The number of batches seen.
    pub steps: u64,
    /// The learning rate, if it was changed.
    pub learning_rate: Option<f64>,
    /// The numbers of each slot, such as `dense/kernel:momentum`, or `:loss_scale` for a slot of the whole optimizer.
    pub tensors: Vec<(String, SlotValues)>,
}

impl Optimizer {
    /// Returns everything that its steps depend on, to resume later.
    pub fn state(&self) -> OptimizerState {
        let mut tensors = Vec::new();
        if let Some(built) = &self.built {
            for parameter in &built.parameters {
                let named = |name: &str| format!("{}:{name}", parameter.path);
                tensors.extend(parameter.slots.iter().map(|slot| (named(&slot.spec.name), slot.values.clone())));
                let buffers = [("ema", &parameter.ema), ("accumulated", &parameter.accumulated)];
                let buffers = buffers
                    .into_iter()
                    .filter_map(|(name, values)| Some((named(name), SlotValues::Single(values.clone()?))));
                tensors.extend(buffers);
            }
            tensors.extend(built.slots.iter().map(|slot| (format!(":{}", slot.spec.name), slot.values.clone())));
        }
        OptimizerState { steps: self.steps, learning_rate: self.set_rate, tensors }
    }

    /// Restores a state of an optimizer that was built for the same parameters.
    ///
    /// # Errors
    /// Returns an error if the state belongs to a different optimizer; this one is unchanged then.
    pub fn restore(&mut self, state: &OptimizerState) -> Result<()> {
        let wrong =
            |what: String| Error::failure(format!("the state of the optimizer doesn't fit {}: {what}", self.name()));
        let current = self.state();
        let same = |values: &SlotValues, other: &SlotValues| match (values, other) {
            (SlotValues::Single(a), SlotValues::Single(b)) => a.len() == b.len(),
            (SlotValues::Double(a), SlotValues::Double(b)) => a.len() == b.len(),
            _ => false,
        };
        let mut found = Vec::with_capacity(current.tensors.len());
        for (name, values) in &current.tensors {
            match state.tensors.iter().find(|(other, _)| other == name) {
                Some((_, other)) if same(values, other) => found.push(other.clone()),
                Some(_) => return Err(wrong(format!("{name} has another length"))),
                None => return Err(wrong(format!("it has no {name}"))),
            }
        }
        let is_known = |name: &String| current.tensors.iter().any(|(known, _)| known == name);
        if self.is_built()
            && let Some((name, _)) = state.tensors.iter().find(|(name, _)| !is_known(name))
        {
            return Err(wrong(format!("it also has {name}")));
        }
        state.learning_rate.map(check_rate).transpose()?;
        let mut found = found.into_iter();
        let mut next = |values: &mut SlotValues| {
            if let Some(found) = found.next() {
                *values = found;
            }
        };
        if let Some(built) = &mut self.built {
            for parameter in &mut built.parameters {
                parameter.slots.iter_mut().for_each(|slot| next(&mut slot.values));
                for values in [&mut parameter.ema, &mut parameter.accumulated].into_iter().flatten() {
                    let mut slot = SlotValues::Single(std::mem::take(values));
                    next(&mut slot);
                    if let SlotValues::Single(restored) = slot {
                        *values = restored;
                    }
                }
            }
            built.slots.iter_mut().for_each(|slot| next(&mut slot.values));
        }
        self.steps = state.steps;
        if let Some(rate) = state.learning_rate {
            self.set_learning_rate(rate)?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;
    use crate::component::Parameter;

    fn built(name: &str, values: &[f32]) -> Optimizer {
        let mut made = crate::Host::new().optimizer("adam").expect("it is there");
        build(&mut made, name, values).expect("a build");
        made
    }

    fn build(optimizer: &mut Optimizer, name: &str, values: &[f32]) -> Result<()> {
        let parameter = Parameter { name: name.into(), path: name.into(), shape: vec![values.len()], trainable: true };
        optimizer.build(&[parameter], &[values])
    }

    #[test]
    fn a_state_with_an_invalid_learning_rate_changes_nothing() {
        let mut other = built("kernel", &[1.0]);
        other.apply(&[Some(&[1.0])], &mut [&mut [1.0]]).expect("a step");
        let mut optimizer = built("kernel", &[1.0]);
        let before = optimizer.state();
        let state = OptimizerState { learning_rate: Some(f64::NAN), ..other.state() };
        assert!(optimizer.restore(&state).is_err());
        assert_eq!(optimizer.state(), before);
    }

    #[test]
    fn an_optimizer_without_its_parameters_has_its_settings_and_can_be_built_for_others() {
        let mut optimizer = built("kernel", &[1.0]);
        optimizer.set_learning_rate(0.5).expect("a rate");
        optimizer.apply(&[Some(&[1.0])], &mut [&mut [1.0]]).expect("a step");
        assert!(build(&mut optimizer, "bias", &[1.0, 2.0]).is_err());
        optimizer.unbuild();
        build(&mut optimizer, "bias", &[1.0, 2.0]).expect("a build");
        assert_eq!((optimizer.learning_rate(), optimizer.state().steps), (0.5, 1));
    }
}
