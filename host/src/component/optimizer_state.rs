//! An optimizer's state, to be kept and gone on from.

use super::Optimizer;
use crate::plugin::SlotValues;
use crate::{Error, Result};

/// Everything that an optimizer's steps depend on, but for its configuration and the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Batches seen.
    pub steps: u64,
    /// The learning rate, where it was set anew.
    pub learning_rate: Option<f64>,
    /// Each slot's numbers: `dense/kernel:momentum`, or `:loss_scale` where it is the optimizer's as a whole.
    pub tensors: Vec<(String, SlotValues)>,
}

impl Optimizer {
    /// Everything that its steps depend on, to go on from later.
    pub fn state(&self) -> OptimizerState {
        let mut tensors = Vec::new();
        if let Some(built) = &self.built {
            for kept in &built.parameters {
                let named = |name: &str| format!("{}:{name}", kept.path);
                tensors.extend(kept.slots.iter().map(|slot| (named(&slot.spec.name), slot.values.clone())));
                let own = [("ema", &kept.ema), ("accumulated", &kept.accumulated)];
                let own = own
                    .into_iter()
                    .filter_map(|(name, values)| Some((named(name), SlotValues::Single(values.clone()?))));
                tensors.extend(own);
            }
            tensors.extend(built.slots.iter().map(|slot| (format!(":{}", slot.spec.name), slot.values.clone())));
        }
        OptimizerState { steps: self.steps, learning_rate: self.set_rate, tensors }
    }

    /// Goes on from a state of an optimizer that was built for the same parameters.
    ///
    /// # Errors
    /// It is of another optimizer; then this one is as it was.
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
        let is_own = |name: &String| current.tensors.iter().any(|(own, _)| own == name);
        if self.is_built()
            && let Some((name, _)) = state.tensors.iter().find(|(name, _)| !is_own(name))
        {
            return Err(wrong(format!("it has {name} besides")));
        }
        let mut found = found.into_iter();
        let mut next = |values: &mut SlotValues| {
            if let Some(found) = found.next() {
                *values = found;
            }
        };
        if let Some(built) = &mut self.built {
            for kept in &mut built.parameters {
                kept.slots.iter_mut().for_each(|slot| next(&mut slot.values));
                for values in [&mut kept.ema, &mut kept.accumulated].into_iter().flatten() {
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
