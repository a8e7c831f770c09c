//! Lookahead, a wrapper around another optimizer.

use plugfit_api::{NestedOptimizer, prelude::*};

/// Lookahead: slow weights that follow the fast weights of another optimizer. Every `k` steps the slow weights move the
/// fraction `alpha` of the way to the fast weights, and training continues from there. Zhang et al. 2019.
#[derive(Config)]
pub struct Lookahead {
    /// The optimizer of the fast weights.
    #[config(default = "SGD")]
    optimizer: Identifier,
    /// The number of fast steps between two steps of the slow weights.
    #[config(default = 5, range = 1..)]
    k: u64,
    /// The fraction of the way to the fast weights that the slow weights move.
    #[config(default = 0.5, range = 0.0..=1.0)]
    alpha: f64,
    #[config(skip)]
    inner: Option<NestedOptimizer>,
}

impl Lookahead {
    fn inner(&self) -> Result<&NestedOptimizer> {
        self.inner.as_ref().ok_or_else(|| Error::other("prepare must be called first"))
    }
}

impl Optimizer for Lookahead {
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        self.inner = Some(host.optimizer(&self.optimizer)?);
        Ok(())
    }

    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = self.inner()?.slots(parameters, host)?;
        let slow = |(i, parameter)| Slot { start: Start::Copy, ..Slot::like(i, parameter, "slow") };
        slots.extend(parameters.iter().enumerate().map(slow));
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let mut slow: Vec<_> = update.entries.iter_mut().map(|entry| entry.slots.pop()).collect();
        self.inner()?.update(update, host)?;
        if (update.step.iteration + 1).is_multiple_of(self.k) {
            for (entry, slow) in update.entries.iter_mut().zip(&mut slow) {
                let Some(slow) = slow else { return Err(Error::state("a slot is missing")) };
                let (fast, slow) = (entry.value.f32s_mut("the parameter")?, slow.f32s_mut("its slow copy")?);
                for (fast, slow) in fast.iter_mut().zip(slow) {
                    *slow += self.alpha as f32 * (*fast - *slow);
                    *fast = *slow;
                }
            }
        }
        Ok(())
    }
}
