//! Converts the borrowed arguments of an ABI call to the types of the API, without allocating.

use crate::{Error, Float, Inputs, Result, Tensor, TensorMut};
use plugfit_abi::{self as abi, abi_stable::std_types::ROption};

/// The maximum number of inputs of a component, and of their gradients.
pub(super) const MAX_INPUTS: usize = 8;

/// Calls `f` with the inputs as the API's types.
///
/// # Safety
/// The tensors, the weight and the mask of `raw` must be valid for reads of the shapes and dtypes that they declare.
pub(crate) unsafe fn with_inputs<T>(raw: &abi::Inputs<'_>, f: impl FnOnce(&Inputs<'_>) -> Result<T>) -> Result<T> {
    let count = raw.tensors.len();
    if count > MAX_INPUTS {
        return Err(Error::input(format!("{count} inputs were given; at most {MAX_INPUTS} are supported")));
    }
    // SAFETY: the caller upholds the contract of this function.
    let (weight, mask) = unsafe { (tensor(&raw.weight)?, tensor(&raw.mask)?) };
    // SAFETY: as above.
    let named = |raw| unsafe { named_tensor(raw) };
    // Fast path: nearly all components have two inputs, which need no array of the maximum length.
    if let [first, second] = raw.tensors.as_slice() {
        return f(&Inputs { tensors: &[named(first)?, named(second)?], weight, mask });
    }
    let mut tensors = [("", Tensor::new::<f32>(&[], &[0])); MAX_INPUTS];
    for (slot, raw) in tensors.iter_mut().zip(raw.tensors.iter()) {
        *slot = named(raw)?;
    }
    f(&Inputs { tensors: &tensors[..count], weight, mask })
}

/// Converts a named tensor.
///
/// # Safety
/// As [`with_inputs`].
unsafe fn named_tensor<'a>(raw: &abi::NamedTensor<'a>) -> Result<(&'a str, Tensor<'a>)> {
    // SAFETY: the caller upholds the contract of this function.
    Ok((raw.name.as_str(), unsafe { Tensor::from_raw(raw.tensor) }?))
}

/// Converts an optional tensor.
///
/// # Safety
/// As [`with_inputs`].
pub(crate) unsafe fn tensor<'a>(raw: &ROption<abi::Tensor>) -> Result<Option<Tensor<'a>>> {
    match raw {
        // SAFETY: the caller upholds the contract of this function.
        ROption::RSome(raw) => unsafe { Tensor::from_raw(*raw) }.map(Some),
        ROption::RNone => Ok(None),
    }
}

/// Converts an optional tensor that the call writes.
///
/// # Safety
/// As [`with_inputs`]; the memory must also be valid for writes, and nothing else may access it during `'a`.
pub(crate) unsafe fn tensor_mut<'a>(raw: &ROption<abi::Tensor>) -> Result<Option<TensorMut<'a>>> {
    match raw {
        // SAFETY: the caller upholds the contract of this function.
        ROption::RSome(raw) => unsafe { TensorMut::from_raw(*raw) }.map(Some),
        ROption::RNone => Ok(None),
    }
}

/// Converts an optional tensor of dtype `F` that the call writes to a slice; `name` describes it in errors.
///
/// # Safety
/// As [`tensor_mut`].
pub(crate) unsafe fn floats_mut<'a, F: Float>(raw: &ROption<abi::Tensor>, name: &str) -> Result<Option<&'a mut [F]>> {
    // SAFETY: the caller upholds the contract of this function.
    match unsafe { tensor_mut(raw) }? {
        Some(tensor) => tensor.into_floats(name).map(Some),
        None => Ok(None),
    }
}
