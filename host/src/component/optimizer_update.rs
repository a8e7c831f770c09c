//! An optimizer's own update, for callers that keep the slots and do everything else of a step.

use plugfit_api::TensorMut;
use plugfit_api::optimizer::{Parameter, Step};

use super::Optimizer;
use crate::plugin::{Entry, Slots};
use crate::{Error, Result};

/// A parameter in an [update](Optimizer::update).
pub struct Updated<'a> {
    /// The length of each axis.
    pub shape: &'a [i64],
    /// The values.
    pub value: &'a mut [f32],
    /// The gradient.
    pub gradient: &'a [f32],
    /// The slots in the order of [`slot_names`](Optimizer::slot_names).
    pub slots: Vec<&'a mut [f32]>,
}

/// A parameter without a name.
fn described(shape: &[i64]) -> Parameter<'_> {
    Parameter { name: "parameter", path: "parameter", shape, embedding: false, trainable: true, decays: true }
}

impl Optimizer {
    /// Returns the names of a parameter's slots, or `None` if the optimizer also has slots that belong to no parameter,
    /// or that aren't float32 in the shape of the parameter.
    ///
    /// # Errors
    /// Returns an error if the optimizer doesn't support a parameter of this shape.
    pub fn slot_names(&self, shape: &[i64]) -> Result<Option<Vec<String>>> {
        let slots = self.optimizer.slots(&[described(shape)])?;
        let is_usual = slots.iter().all(|slot| slot.parameter.is_some() && !slot.double && *slot.shape == *shape);
        Ok(is_usual.then(|| slots.into_iter().map(|slot| slot.name).collect()))
    }

    /// Updates parameters in place by the plug-in's update alone: without clipping, weight decay, averages and the
    /// optimizer's own schedule. `number` is that of the update, from 0.
    ///
    /// # Errors
    /// Returns an error if lengths differ, if the slots aren't those of [`slot_names`](Self::slot_names), or if the
    /// plug-in fails.
    pub fn update(&self, number: u64, learning_rate: f64, parameters: Vec<Updated<'_>>) -> Result<()> {
        for Updated { shape, value, gradient, slots } in &parameters {
            let product = shape.iter().try_fold(1_i64, |product, &length| product.checked_mul(length));
            let slots_of = slots.iter().map(|slot| ("a slot", slot.len()));
            for (what, length) in
                [("a parameter", value.len()), ("a gradient", gradient.len())].into_iter().chain(slots_of)
            {
                if product.map(usize::try_from) != Some(Ok(length)) {
                    let message = format!("{what} has {length} numbers, and the shape of the parameter is {shape:?}");
                    return Err(Error::usage(message));
                }
            }
            let names = self.slot_names(shape)?;
            if names.is_none_or(|names| names.len() != slots.len()) {
                return Err(Error::usage(format!("these aren't the slots of {}", self.name())));
            }
        }
        let mut parts: Vec<_> = parameters
            .into_iter()
            .map(|Updated { shape, value, gradient, slots }| {
                let slots: Vec<_> = slots.into_iter().map(|slot| TensorMut::new(slot, shape)).collect();
                (shape, value, gradient, slots)
            })
            .collect();
        let mut entries: Vec<_> = parts
            .iter_mut()
            .map(|(shape, value, gradient, slots)| {
                Entry::plain(described(shape), value, Some(gradient), Slots::Borrowed(slots))
            })
            .collect();
        let step = Step { iteration: number, step: number, learning_rate, seed: 0 };
        self.optimizer.update(&step, &mut entries, &mut [])
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn an_update_with_borrowed_slots_is_that_of_a_step() {
        let host = crate::Host::new();
        let mut own = host.optimizer("adam").expect("it is there");
        let borrowed = host.optimizer("adam").expect("it is there");
        assert_eq!(borrowed.slot_names(&[3]).expect("its slots").expect("usual ones").len(), 2);
        let parameter =
            crate::network::Parameter { name: "kernel".into(), path: "kernel".into(), shape: vec![3], trainable: true };
        let (mut one, mut other) = ([1.0f32, 2.0, 3.0], [1.0f32, 2.0, 3.0]);
        own.build(&[parameter], &[&one]).expect("a build");
        let (mut first, mut second) = ([0.0f32; 3], [0.0f32; 3]);
        for step in 0..3 {
            let gradient = [0.5, -1.0, step as f32];
            own.apply(&[Some(&gradient)], &mut [&mut one]).expect("a step");
            let slots = vec![&mut first[..], &mut second[..]];
            let updated = Updated { shape: &[3], value: &mut other, gradient: &gradient, slots };
            borrowed.update(step, own.learning_rate(), vec![updated]).expect("an update");
        }
        assert_eq!(one, other);
        let without = Updated { shape: &[3], value: &mut other, gradient: &[0.0; 3], slots: Vec::new() };
        assert!(borrowed.update(3, 0.1, vec![without]).is_err());
        for lengths in [[2, 3, 3], [3, 2, 3], [3, 3, 2]] {
            let [mut value, mut slot, mut second] = lengths.map(|length| vec![0.0_f32; length]);
            let slots = vec![&mut slot[..], &mut second[..]];
            let gradient = [0.0; 3];
            let error =
                borrowed.update(3, 0.1, vec![Updated { shape: &[3], value: &mut value, gradient: &gradient, slots }]);
            assert!(error.expect_err("a wrong length").message().contains("has 2 numbers"));
        }
    }
}
