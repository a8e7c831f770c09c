//! The update of parameters by the plug-in, in memory.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};
use plugfit::Result;
use plugfit::component::{self, OptimizerState, Parameter};
use plugfit::plugin::SlotValues;

use super::module::Found;
use super::record::OptimizerRecord;
use crate::labels::tensor;

/// An optimizer that the plug-in computes in float32.
#[derive(Debug)]
pub(super) struct Native {
    optimizer: component::Optimizer,
    /// The state that is restored when the parameters are known.
    loaded: Option<OptimizerState>,
}

impl Native {
    pub fn new(optimizer: component::Optimizer) -> Self {
        Native { optimizer, loaded: None }
    }

    /// Returns the new values of the parameters that change.
    pub fn step<B: AutodiffBackend>(
        &mut self,
        found: Vec<Found<B>>,
        learning_rate: f64,
    ) -> Result<Vec<Option<Tensor<B::InnerBackend, 2>>>> {
        let gradients: Vec<Option<Vec<f32>>> = found.iter().map(|found| found.gradient.clone().map(numbers)).collect();
        let gradients: Vec<Option<&[f32]>> = gradients.iter().map(Option::as_deref).collect();
        self.change(found, |optimizer, values| {
            // A rate that is set replaces the schedule.
            if optimizer.learning_rate() != learning_rate {
                optimizer.set_learning_rate(learning_rate)?;
            }
            optimizer.apply(&gradients, values)
        })
    }

    /// Returns the values at which the parameters are evaluated, of those that change.
    pub fn finalize<B: AutodiffBackend>(
        &mut self,
        found: Vec<Found<B>>,
    ) -> Result<Vec<Option<Tensor<B::InnerBackend, 2>>>> {
        self.change(found, component::Optimizer::finalize)
    }

    fn change<B: AutodiffBackend>(
        &mut self,
        found: Vec<Found<B>>,
        change: impl FnOnce(&mut component::Optimizer, &mut [&mut [f32]]) -> Result<()>,
    ) -> Result<Vec<Option<Tensor<B::InnerBackend, 2>>>> {
        let old: Vec<Vec<f32>> = found.iter().map(|found| numbers(found.value.clone())).collect();
        if !self.optimizer.is_built() {
            let parameters: Vec<Parameter> = found.iter().map(|found| found.parameter.clone()).collect();
            self.optimizer.build(&parameters, &old.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        }
        if let Some(state) = self.loaded.take() {
            self.optimizer.restore(&state)?;
        }
        let mut new = old.clone();
        change(&mut self.optimizer, &mut new.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>())?;
        // Others aren't replaced, because float64 values would be rounded.
        let changed = |((found, old), new): ((Found<B>, Vec<f32>), Vec<f32>)| {
            let new = (old != new).then(|| new.into_iter().map(f64::from).collect())?;
            Some(tensor(new, found.value.dims(), &found.value.device(), found.value.dtype()))
        };
        Ok(found.into_iter().zip(old).zip(new).map(changed).collect())
    }

    pub fn state(&self) -> OptimizerState {
        self.loaded.clone().unwrap_or_else(|| self.optimizer.state())
    }

    pub fn load(&mut self, state: OptimizerState) {
        self.loaded = Some(state);
    }

    /// Adds the slots to a record.
    pub fn save<B: AutodiffBackend>(&self, record: &mut OptimizerRecord<B>) {
        for (name, values) in self.state().tensors {
            match values {
                SlotValues::Double(values) => {
                    record.number_names.push(name);
                    record.numbers.push(values);
                }
                SlotValues::Single(values) => {
                    let length = [values.len()];
                    let values = values.into_iter().map(f64::from).collect();
                    record.tensor_names.push(name);
                    record.tensors.push(tensor(values, length, &B::Device::default(), DType::F32));
                }
            }
        }
    }

    /// Restores the slots of a record when the parameters are known.
    pub fn load_record<B: AutodiffBackend>(&mut self, record: OptimizerRecord<B>) {
        let single = |tensor: Tensor<B, 1>| SlotValues::Single(tensor.into_data().iter::<f32>().collect());
        let tensors = record.tensor_names.into_iter().zip(record.tensors.into_iter().map(single));
        let numbers = record.number_names.into_iter().zip(record.numbers.into_iter().map(SlotValues::Double));
        let tensors = tensors.chain(numbers).collect();
        self.load(OptimizerState { steps: record.steps, learning_rate: None, tensors });
    }
}

fn numbers<B: Backend>(tensor: Tensor<B, 2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
