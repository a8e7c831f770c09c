//! Loss scaling, which prevents float16 gradients from underflowing.

use plugfit_api::{NestedOptimizer, optimizer::OptimizerInfo, prelude::*};

/// Dynamic loss scaling around another optimizer, which takes the steps with unscaled gradients.
/// A step with non-finite gradients is skipped and halves the scale; `dynamic_growth_steps` finite steps in a row
/// double it. The scale is at least 1, or at least the initial scale if that is less than 1. Micikevicius et al. 2017.
#[derive(Debug, Config)]
#[config(examples = super::examples::LOSS_SCALE_OPTIMIZER)]
pub struct LossScaleOptimizer {
    /// The inner optimizer, which takes the steps with its own learning rate.
    inner_optimizer: Identifier,
    /// The initial scale.
    #[config(default = 32768.0, range = 1e-30..=1e30)]
    initial_scale: f64,
    /// The number of consecutive finite steps after which the scale doubles.
    #[config(default = 2000, range = 1..)]
    dynamic_growth_steps: u64,
    #[config(skip)]
    inner: Option<NestedOptimizer>,
}

/// The maximum of the scale: an infinite scale would skip every step and couldn't be halved.
const LARGEST: f32 = f32::MAX / 2.0;

impl LossScaleOptimizer {
    fn inner(&self) -> Result<&NestedOptimizer> {
        self.inner.as_ref().ok_or_else(|| Error::other("prepare must be called first"))
    }
}

impl Optimizer for LossScaleOptimizer {
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        self.inner = Some(host.optimizer(&self.inner_optimizer)?);
        Ok(())
    }

    fn info(&self) -> OptimizerInfo {
        OptimizerInfo { loss_scale: Some(self.initial_scale), ..OptimizerInfo::default() }
    }

    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = self.inner()?.slots(parameters, host)?;
        for slot in slots.iter_mut().filter(|slot| slot.parameter.is_none()) {
            slot.name = format!("inner/{}", slot.name);
        }
        slots.push(Slot::scalar("loss_scale", self.initial_scale));
        slots.push(Slot::scalar("finite_steps", 0.0));
        slots.push(Slot::scalar("updates", 0.0));
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let Update { step, entries, slots, gradient_scale } = update;
        let (inner, own) = slots.split_at_mut(slots.len().saturating_sub(3));
        let [scale, in_a_row, updates] = own else { return Err(Error::state("a slot is missing")) };
        let scale = &mut scale.f32s_mut("loss_scale")?[0];
        let in_a_row = &mut in_a_row.f32s_mut("finite_steps")?[0];
        let updates = &mut updates.f32s_mut("updates")?[0];
        for entry in entries.iter() {
            let gradient = entry.gradient.map_or(Ok(&[][..]), |gradient| gradient.f32s("a gradient"))?;
            if !gradient.iter().all(|derivative| derivative.is_finite()) {
                // A scale of 0 couldn't grow again, and gradients divided by it would be infinite.
                *scale = (*scale / 2.0).max((self.initial_scale as f32).min(1.0));
                *in_a_row = 0.0;
                return Ok(());
            }
        }
        let step = Step { iteration: *updates as u64, step: *updates as u64, ..*step };
        let gradient_scale = *gradient_scale / f64::from(*scale);
        self.inner()?.update(&mut Update { step, entries, slots: inner, gradient_scale }, host)?;
        *updates += 1.0;
        *in_a_row += 1.0;
        if *in_a_row >= self.dynamic_growth_steps as f32 {
            *scale = (*scale * 2.0).min(LARGEST);
            *in_a_row = 0.0;
        }
        Ok(())
    }

    fn finalize(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let inner = update.slots.len().saturating_sub(3);
        let Update { step, entries, slots, gradient_scale } = update;
        let slots = &mut slots[..inner];
        self.inner()?.finalize(&mut Update { step: *step, entries, slots, gradient_scale: *gradient_scale }, host)
    }
}
