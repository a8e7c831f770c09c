//! What a call borrows, from the ABI's types to the author's, without an allocation.

use crate::{Error, Float, Inputs, Result, Tensor, TensorMut};
use plugfit_abi::{self as abi, abi_stable::std_types::ROption};

/// Inputs that a component can have.
const MAX_INPUTS: usize = 8;

/// Gives `f` the inputs as the author sees them.
///
/// # Safety
/// What `raw` points at must be as its fields say.
pub(crate) unsafe fn with_inputs<T>(raw: &abi::Inputs<'_>, f: impl FnOnce(&Inputs<'_>) -> Result<T>) -> Result<T> {
    let count = raw.tensors.len();
    if count > MAX_INPUTS {
        return Err(Error::input(format!("{count} inputs were given; at most {MAX_INPUTS} are supported")));
    }
    // SAFETY: the caller's promise.
    let (weight, mask) = unsafe { (tensor(&raw.weight)?, tensor(&raw.mask)?) };
    // SAFETY: the caller's promise.
    let named = |raw| unsafe { named(raw) };
    // Nearly all components take two, for which less is written.
    if let [first, second] = raw.tensors.as_slice() {
        return f(&Inputs { tensors: &[named(first)?, named(second)?], weight, mask });
    }
    let mut tensors = [("", Tensor::new::<f32>(&[], &[0])); MAX_INPUTS];
    for (slot, raw) in tensors.iter_mut().zip(raw.tensors.iter()) {
        *slot = named(raw)?;
    }
    f(&Inputs { tensors: &tensors[..count], weight, mask })
}

/// # Safety
/// As [`with_inputs`].
unsafe fn named<'a>(raw: &abi::NamedTensor<'a>) -> Result<(&'a str, Tensor<'a>)> {
    // SAFETY: the caller's promise.
    Ok((raw.name.as_str(), unsafe { Tensor::from_raw(raw.tensor) }?))
}

/// # Safety
/// As [`with_inputs`].
pub(crate) unsafe fn tensor<'a>(raw: &ROption<abi::Tensor>) -> Result<Option<Tensor<'a>>> {
    match raw {
        // SAFETY: the caller's promise.
        ROption::RSome(raw) => unsafe { Tensor::from_raw(*raw) }.map(Some),
        ROption::RNone => Ok(None),
    }
}

/// # Safety
/// As [`with_inputs`], and nobody else may look at the memory for as long as `'a`.
pub(crate) unsafe fn tensor_mut<'a>(raw: &ROption<abi::Tensor>) -> Result<Option<TensorMut<'a>>> {
    match raw {
        // SAFETY: the caller's promise.
        ROption::RSome(raw) => unsafe { TensorMut::from_raw(*raw) }.map(Some),
        ROption::RNone => Ok(None),
    }
}

/// # Safety
/// As [`tensor_mut`].
pub(crate) unsafe fn floats_mut<'a, F: Float>(raw: &ROption<abi::Tensor>, name: &str) -> Result<Option<&'a mut [F]>> {
    // SAFETY: the caller's promise.
    match unsafe { tensor_mut(raw) }? {
        Some(tensor) => tensor.into_floats(name).map(Some),
        None => Ok(None),
    }
}
