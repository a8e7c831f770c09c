//! A training: parameters and slots, updated through the functions that a host calls.

use super::{
    super::{fences::Borders, instance::Instance},
    OptimizerInstance,
};
use crate::{error::into_result, tensor::elements, Element, Error, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RSlice, RStr, RVec},
};

/// The state of a training: parameters, slots and the step.
#[derive(Clone)]
pub(super) struct Training {
    pub(super) shapes: Vec<Vec<i64>>,
    pub(super) values: Vec<Vec<f32>>,
    pub(super) specs: RVec<abi::Slot>,
    /// The values of the slots.
    pub(super) slots: Vec<Vec<f32>>,
    pub(super) step: u64,
    pub(super) rate: f64,
}

const NAMES: [&str; 4] = ["dense/kernel", "dense/bias", "other/kernel", "other/bias"];

fn parameters<'a>(shapes: &'a [Vec<i64>], flags: u64) -> Vec<abi::Parameter<'a>> {
    let of = |(path, shape): (&&'static str, &'a Vec<i64>)| abi::Parameter {
        name: RStr::from_str(path.rsplit('/').next().unwrap_or(path)),
        path: RStr::from_str(path),
        shape: RSlice::from_slice(shape),
        dtype: f32::DTYPE,
        flags,
    };
    NAMES.iter().zip(shapes).map(of).collect()
}

/// The options of an entry.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) gradient_scale: f64,
    pub(super) clip_value: f64,
    pub(super) weight_decay: f64,
    pub(super) learning_rate_factor: f64,
    pub(super) ema_momentum: Option<f64>,
}

/// The options of a plain step.
pub(super) const PLAIN: Ask = Ask {
    gradient_scale: 1.0,
    clip_value: f64::INFINITY,
    weight_decay: 0.0,
    learning_rate_factor: 1.0,
    ema_momentum: None,
};

impl Training {
    /// Requests and fills the slots for parameters of these shapes and values.
    pub(super) fn new(
        instance: &OptimizerInstance,
        shapes: &[&[i64]],
        values: Vec<Vec<f32>>,
        rate: f64,
    ) -> Result<Self> {
        let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| shape.to_vec()).collect();
        let Instance { table, handle, host, .. } = instance;
        let parameters = parameters(&shapes, abi::PARAMETER_TRAINABLE);
        let all = RSlice::from_slice(&parameters);
        // SAFETY: the handle belongs to the table.
        let specs = into_result(unsafe { (table.slots)(*handle, host, all) })?;
        let mut slots: Vec<Vec<f32>> = Vec::new();
        for (index, slot) in specs.iter().enumerate() {
            if slot.dtype != f32::DTYPE {
                return Err(Error::unsupported("it uses slots that aren't float32, which this test doesn't support"));
            }
            let count = elements(&slot.shape)
                .filter(|&count| count < 1 << 20)
                .ok_or_else(|| Error::other(format!("wants a slot of the shape {:?}", slot.shape.as_slice())))?;
            let owner = match slot.parameter {
                abi::NONE => None,
                index if (0..shapes.len() as i64).contains(&index) => Some(index as usize),
                other => return Err(Error::other(format!("wants a slot of parameter {other} of {}", shapes.len()))),
            };
            let mut start = match (slot.start, owner) {
                (abi::SLOT_COPY_OF_PARAMETER, Some(owner)) if values[owner].len() == count => values[owner].clone(),
                (abi::SLOT_COPY_OF_PARAMETER, _) => {
                    return Err(Error::other("wants a copy of a parameter of another shape"))
                }
                _ => vec![slot.value as f32; count],
            };
            if slot.start == abi::SLOT_FILLED {
                let mut borders = instance.borders();
                let parameter = owner.map(|owner| Tensor::new(&values[owner], &shapes[owner]).raw());
                let parameter = parameter.map(|parameter| borders.input("the parameter", parameter)).into();
                let target = borders.output("the slot", TensorMut::new(&mut start, &slot.shape).raw());
                // SAFETY: the handle belongs to the table; nothing else accesses the target during the call.
                let filled =
                    into_result(unsafe { (table.fill_slot)(*handle, host, all, index as u64, &parameter, 5, &target) });
                drop(borders);
                filled?;
            }
            slots.push(start);
        }
        drop(parameters);
        Ok(Training { shapes, values, specs, slots, step: 0, rate })
    }

    pub(super) fn step(&mut self, instance: &OptimizerInstance, gradients: &[Option<Vec<f32>>]) -> Result<()> {
        self.step_as(instance, gradients, PLAIN, &mut [])
    }

    /// Performs a step with the options `ask`. `averages` are the moving averages of the parameters, or empty.
    pub(super) fn step_as(
        &mut self,
        instance: &OptimizerInstance,
        gradients: &[Option<Vec<f32>>],
        ask: Ask,
        averages: &mut [Vec<f32>],
    ) -> Result<()> {
        let update = self.update(instance.borders(), gradients, ask, averages, |update| {
            // SAFETY: the handle belongs to the table; nothing else accesses the tensors of the update during the call.
            into_result(unsafe { (instance.table.update)(instance.handle, &instance.host, update) })
        });
        self.step += 1;
        update
    }

    pub(super) fn finalize(&mut self, instance: &OptimizerInstance) -> Result<()> {
        let none = vec![None; self.values.len()];
        // SAFETY: as in `step_as`.
        self.update(instance.borders(), &none, PLAIN, &mut [], |update| {
            into_result(unsafe { (instance.table.finalize)(instance.handle, &instance.host, update) })
        })
    }

    /// Calls `f` with the update of a step.
    fn update<T>(
        &mut self,
        mut borders: Borders,
        gradients: &[Option<Vec<f32>>],
        ask: Ask,
        averages: &mut [Vec<f32>],
        f: impl FnOnce(&abi::Update<'_>) -> T,
    ) -> T {
        let Training { shapes, values, specs, slots, step, rate } = self;
        let parameters = parameters(shapes, abi::PARAMETER_TRAINABLE);
        let raw_slots: Vec<abi::Tensor> = slots
            .iter_mut()
            .zip(specs.iter())
            .map(|(slot, spec)| {
                borders.output(&format!("the slot {}", spec.name), TensorMut::new(slot, &spec.shape).raw())
            })
            .collect();
        let slots_of = |owner: i64| -> Vec<abi::Tensor> {
            let pairs = raw_slots.iter().zip(specs.iter());
            pairs.filter(|(_, spec)| spec.parameter == owner).map(|(slot, _)| *slot).collect()
        };
        let parameter_slots: Vec<Vec<abi::Tensor>> = (0..shapes.len()).map(|index| slots_of(index as i64)).collect();
        let mut averages: Vec<abi::Tensor> = averages
            .iter_mut()
            .zip(shapes.iter())
            .map(|(average, shape)| borders.output("the average", TensorMut::new(average, shape).raw()))
            .rev()
            .collect();
        let entries: Vec<abi::UpdateEntry<'_>> = values
            .iter_mut()
            .enumerate()
            .map(|(i, value)| abi::UpdateEntry {
                parameter: parameters[i],
                value: borders.output("the parameter", TensorMut::new(value, &shapes[i]).raw()),
                gradient: gradients[i]
                    .as_ref()
                    .map(|gradient| borders.input("the gradient", Tensor::new(gradient, &shapes[i]).raw()))
                    .into(),
                slots: RSlice::from_slice(&parameter_slots[i]),
                gradient_scale: ask.gradient_scale,
                clip_value: ask.clip_value,
                weight_decay: ask.weight_decay,
                learning_rate_factor: ask.learning_rate_factor,
                ema: averages.pop().into(),
                ema_momentum: ask.ema_momentum.unwrap_or(0.0),
            })
            .collect();
        let global_slots = slots_of(abi::NONE);
        let result = f(&abi::Update {
            iteration: *step,
            step: *step,
            learning_rate: *rate,
            seed: 3 + *step,
            entries: RSlice::from_slice(&entries),
            slots: RSlice::from_slice(&global_slots),
        });
        // Copy the results from the fenced buffers.
        drop(borders);
        result
    }
}
