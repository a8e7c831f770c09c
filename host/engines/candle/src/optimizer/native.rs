//! The update of variables by the plug-in, in memory.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor};
use plugfit::component;

use super::Variable;
use crate::arrays::error;

/// Updates the variables that have a gradient by one step. The numbers are float32.
pub(super) fn step(
    optimizer: &mut component::Optimizer,
    variables: &mut [Variable],
    gradients: &GradStore,
) -> Result<()> {
    let gradient = |variable: &Variable| gradients.get(variable.var.as_tensor()).map(numbers).transpose();
    let gradients = variables.iter().map(gradient).collect::<Result<Vec<_>>>()?;
    let gradients: Vec<Option<&[f32]>> = gradients.iter().map(Option::as_deref).collect();
    let parameters: Vec<_> = match optimizer.is_built() {
        true => Vec::new(),
        false => variables.iter().map(|variable| variable.parameter.clone()).collect(),
    };
    change(optimizer, variables, |optimizer, values| {
        if !optimizer.is_built() {
            optimizer.build(&parameters, &values.iter().map(|values| &**values).collect::<Vec<_>>())?;
        }
        optimizer.apply(&gradients, values)
    })
}

/// Moves the variables to the values at which they are evaluated.
pub(super) fn finalize(optimizer: &mut component::Optimizer, variables: &mut [Variable]) -> Result<()> {
    change(optimizer, variables, component::Optimizer::finalize)
}

fn change(
    optimizer: &mut component::Optimizer,
    variables: &mut [Variable],
    change: impl FnOnce(&mut component::Optimizer, &mut [&mut [f32]]) -> plugfit::Result<()>,
) -> Result<()> {
    let mut values = variables.iter().map(|variable| numbers(&variable.value()?)).collect::<Result<Vec<_>>>()?;
    let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
    change(optimizer, &mut borrowed).map_err(error)?;
    for (variable, values) in variables.iter_mut().zip(values) {
        let value = Tensor::from_vec(values, variable.var.shape(), &Device::Cpu)?;
        variable.set(value.to_device(variable.var.device())?)?;
    }
    Ok(())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
