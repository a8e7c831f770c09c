//! The levels of optimizers behind one trait.

use super::super::component::{impl_component, level, Component, Probe};
use crate::{
    catch_panics::guard,
    kernels::disjoint_slices::DisjointSlices,
    optimizer::{
        recorded,
        update::{self, Job, MAX_SLOTS},
        ElementwiseOptimizer, Entry, FormulaStep, Optimizer, Parameter, Slot, Start, Step, Update,
    },
    Error, Host, Plain, Result, Tensor, TensorMut,
};

/// One parameter of an update as the host passes it, before scaling, clipping and weight decay.
#[doc(hidden)]
pub struct HostEntry<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) gradient_scale: f32,
    pub(super) clip_value: f32,
    pub(super) weight_decay: f64,
    pub(super) ema: Option<TensorMut<'a>>,
    pub(super) ema_momentum: f32,
}

/// One step of all parameters as the host passes it.
#[doc(hidden)]
pub struct HostUpdate<'a> {
    pub(super) step: Step,
    pub(super) entries: Vec<HostEntry<'a>>,
    /// The slots of the optimizer as a whole.
    pub(super) slots: Vec<TensorMut<'a>>,
}

impl HostEntry<'_> {
    /// Returns weight decay times learning rate, or 0 if there is no gradient.
    fn decay(&self) -> f32 {
        if self.entry.gradient.is_some() {
            (self.weight_decay * self.entry.learning_rate) as f32
        } else {
            0.0
        }
    }
}

/// A type-erased optimizer of any level.
pub trait AnyOptimizer: Component {
    #[doc(hidden)]
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>>;
    #[doc(hidden)]
    fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        slot: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut TensorMut<'_>,
        host: &Host<'_>,
    ) -> Result<()> {
        let _ = (parameters, parameter, seed, target, host);
        Err(Error::unsupported(format!("slot {slot} starts with a constant; it isn't filled")))
    }
    #[doc(hidden)]
    fn update(&self, update: HostUpdate<'_>, host: &Host<'_>) -> Result<()>;
    #[doc(hidden)]
    fn finalize(&self, update: HostUpdate<'_>, host: &Host<'_>) -> Result<()> {
        let _ = (update, host);
        Ok(())
    }
}

struct ByTensor<T>(T);
struct ByElement<T, const N: usize, const M: usize>(T);

impl_component!(
    ByElement<T: ElementwiseOptimizer<N, M>, const N, const M>,
    optimizer => optimizer.info(),
    formula recorded::elementwise_optimizer(optimizer).map(|formula| formula.0)
);

impl<T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize> AnyOptimizer for ByElement<T, N, M> {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let declared = self.0.slots();
        if declared.len() > N.min(MAX_SLOTS) {
            return Err(Error::other(format!(
                "{} slots are declared; at most {} are possible",
                declared.len(),
                N.min(MAX_SLOTS)
            )));
        }
        let mut slots = Vec::with_capacity(parameters.len() * declared.len());
        for (index, parameter) in parameters.iter().enumerate() {
            for &(name, start) in &declared {
                slots.push(Slot { start: Start::Constant(start), ..Slot::like(index, parameter, name) });
            }
        }
        Ok(slots)
    }
    fn update(&self, HostUpdate { step, entries, .. }: HostUpdate<'_>, host: &Host<'_>) -> Result<()> {
        let mut jobs = Vec::with_capacity(entries.len());
        for host_entry in entries {
            let decay = host_entry.decay();
            let HostEntry { entry, gradient_scale, clip_value, ema, ema_momentum, .. } = host_entry;
            let Some(gradient) = entry.gradient else { continue };
            let gradient = gradient.f32s("the gradient")?;
            let fits = |length: usize, what: &str| match length == gradient.len() {
                true => Ok(()),
                false => Err(Error::input(format!(
                    "{what} of {} has {length} elements; its gradient has {}",
                    entry.parameter.path,
                    gradient.len()
                ))),
            };
            fits(entry.value.len(), "the value")?;
            let mut slots = [const { None }; MAX_SLOTS];
            if entry.slots.len() > MAX_SLOTS.min(N) {
                return Err(Error::input(format!("{} has more slots than were requested", entry.parameter.path)));
            }
            for (place, slot) in slots.iter_mut().zip(entry.slots) {
                fits(slot.len(), "a slot")?;
                *place = Some(DisjointSlices::new(slot.into_floats::<f32>("a slot")?));
            }
            if let Some(ema) = &ema {
                fits(ema.len(), "the average")?;
            }
            let ema = ema.map(|ema| ema.into_floats::<f32>("the average")).transpose()?;
            jobs.push(Job {
                value: DisjointSlices::new(entry.value.into_floats::<f32>("the value")?),
                gradient,
                slots,
                numbers: self.0.numbers(&formula_step(&step, entry.learning_rate)).map(|number| Plain(number.0 as f32)),
                gradient_scale,
                clip_value,
                decay,
                ema: ema.map(|ema| (DisjointSlices::new(ema), ema_momentum)),
            });
        }
        update::update(&self.0, &jobs, host);
        Ok(())
    }
}

/// Returns the step as numbers of a formula.
fn formula_step(step: &Step, learning_rate: f64) -> FormulaStep<Plain<f64>> {
    FormulaStep { learning_rate: Plain(learning_rate), number: Plain(step.number()) }
}

impl_component!(
    ByTensor<T: Optimizer>,
    optimizer => optimizer.info(),
    formula optimizer.formula().map(|formula| formula.0)
);

impl<T: Optimizer> AnyOptimizer for ByTensor<T> {
    fn slots(&self, parameters: &[Parameter<'_>], host: &Host<'_>) -> Result<Vec<Slot>> {
        self.0.slots(parameters, host)
    }
    fn fill_slot(
        &self,
        parameters: &[Parameter<'_>],
        slot: usize,
        parameter: Option<Tensor<'_>>,
        seed: u64,
        target: &mut TensorMut<'_>,
        host: &Host<'_>,
    ) -> Result<()> {
        self.0.fill_slot(parameters, slot, parameter, seed, target, host)
    }
    fn update(&self, host_update: HostUpdate<'_>, host: &Host<'_>) -> Result<()> {
        let HostUpdate { step, entries: mut host_entries, slots } = host_update;
        // Refuse an entry before any value changes.
        let scaled = host_entries.iter_mut().map(scaled_gradient).collect::<Result<Vec<_>>>()?;
        let mut averages = Vec::with_capacity(host_entries.len());
        let (mut entries, mut slots) = (Vec::with_capacity(host_entries.len()), slots);
        for (host_entry, scaled) in host_entries.into_iter().zip(&scaled) {
            let decay = host_entry.decay();
            let HostEntry { mut entry, ema, ema_momentum, .. } = host_entry;
            if decay != 0.0 {
                entry.value.f32s_mut("the value")?.iter_mut().for_each(|value| *value -= *value * decay);
            }
            averages.push((ema, ema_momentum, decay));
            if let (Some(scaled), Some(gradient)) = (scaled, &mut entry.gradient) {
                *gradient = Tensor::new(scaled, gradient.shape());
            }
            entries.push(entry);
        }
        let updated = guard(|| {
            let slots = &mut slots;
            self.0.update(&mut Update { step, entries: &mut entries, slots, gradient_scale: 1.0 }, host)
        });
        for (entry, (ema, momentum, decay)) in entries.iter_mut().zip(averages) {
            if updated.is_err() {
                // Undo the decay, up to rounding: the host may repeat the update. Nothing is left of values that decay
                // by 1.
                if decay != 0.0 && decay != 1.0 {
                    entry.value.f32s_mut("the value")?.iter_mut().for_each(|value| *value /= 1.0 - decay);
                }
            } else if let (Some(ema), true) = (ema, entry.gradient.is_some()) {
                let value = entry.value.f32s_mut("the value")?;
                for (ema, value) in ema.into_floats::<f32>("the average")?.iter_mut().zip(value) {
                    *ema = momentum * *ema + (1.0 - momentum) * *value;
                }
            }
        }
        updated
    }
    fn finalize(&self, host_update: HostUpdate<'_>, host: &Host<'_>) -> Result<()> {
        let HostUpdate { step, entries, mut slots } = host_update;
        let mut entries: Vec<_> = entries.into_iter().map(|host_entry| host_entry.entry).collect();
        let (entries, slots) = (&mut entries, &mut slots);
        self.0.finalize(&mut Update { step, entries, slots, gradient_scale: 1.0 }, host)
    }
}

/// Returns the scaled and clipped gradient, or `None` if there is none or it is unchanged.
///
/// # Errors
/// Returns an error if the gradient, or a value to decay, isn't float32.
fn scaled_gradient(entry: &mut HostEntry<'_>) -> Result<Option<Vec<f32>>> {
    let Some(gradient) = entry.entry.gradient else { return Ok(None) };
    if entry.decay() != 0.0 {
        entry.entry.value.f32s_mut("the value")?;
    }
    let (scale, clip) = (entry.gradient_scale, entry.clip_value);
    if scale == 1.0 && clip.is_infinite() {
        return Ok(None);
    }
    let gradient = gradient.f32s("the gradient")?;
    Ok(Some(gradient.iter().map(|&gradient| (gradient * scale).clamp(-clip, clip)).collect()))
}

level! {
    /// Creates an optimizer of level 2 from a probe; tried first.
    OptimizerByTensor for &Probe<T> where T: Optimizer;
    fn create_optimizer(config, host) -> AnyOptimizer {
        let mut optimizer = T::from_json(config)?;
        optimizer.prepare(host)?;
        Ok(by_tensor(optimizer))
    }
}

level! {
    /// Creates an optimizer of level 1 from a probe; tried second.
    OptimizerByElement<const N, const M> for Probe<T> where T: ElementwiseOptimizer<N, M>;
    fn create_optimizer(config, _host) -> AnyOptimizer { Ok(by_element(T::from_json(config)?)) }
}

pub(crate) fn by_tensor(optimizer: impl Optimizer) -> Box<dyn AnyOptimizer> {
    Box::new(ByTensor(optimizer))
}

pub(crate) fn by_element<const N: usize, const M: usize>(
    optimizer: impl ElementwiseOptimizer<N, M>,
) -> Box<dyn AnyOptimizer> {
    Box::new(ByElement(optimizer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails in the first update, panics in the second, and changes nothing in the third.
    #[derive(plugfit_macros::Config)]
    struct Failing;

    impl Optimizer for Failing {
        fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
            Ok(Vec::new())
        }
        fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
            match update.step.iteration {
                0 => Err(Error::other("told to")),
                1 => panic!("told to"),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_failed_update_decays_no_weight() {
        let (mut values, gradient) = ([1.0f32, -3.0], [0.5f32; 2]);
        for (iteration, expected) in [(0, [1.0, -3.0]), (1, [1.0, -3.0]), (2, [0.95, -2.85])] {
            let parameter =
                Parameter { name: "w", path: "w", shape: &[2], embedding: false, trainable: true, decays: true };
            let entry = HostEntry {
                entry: Entry {
                    parameter,
                    value: TensorMut::new(&mut values, &[2]),
                    gradient: Some(Tensor::new(&gradient, &[2])),
                    slots: Vec::new(),
                    learning_rate: 0.1,
                },
                gradient_scale: 1.0,
                clip_value: f32::INFINITY,
                weight_decay: 0.5,
                ema: None,
                ema_momentum: 0.0,
            };
            let step = Step { iteration, step: iteration, learning_rate: 0.1, seed: 0 };
            let updated =
                by_tensor(Failing).update(HostUpdate { step, entries: vec![entry], slots: Vec::new() }, &Host::none());
            assert_eq!(updated.is_ok(), iteration == 2);
            assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-6), "{values:?}");
        }
    }
}
