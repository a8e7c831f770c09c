//! Inputs in the ABI's form.

use plugfit_abi::abi_stable::std_types::RStr;
use plugfit_abi::{self as abi};
use plugfit_api::Inputs;

use crate::{Error, Result};

/// Maximum number of inputs of a component.
pub const MAX_INPUTS: usize = 8;

/// Calls `f` with the inputs in the ABI's form. Doesn't allocate.
pub fn with_inputs<R>(inputs: &Inputs<'_>, f: impl FnOnce(&abi::Inputs<'_>) -> R) -> Result<R> {
    let tensors = inputs.tensors();
    let count = tensors.len();
    if count == 0 || count > MAX_INPUTS {
        return Err(Error::usage(format!("a component takes 1 to {MAX_INPUTS} inputs, not {count}")));
    }
    let named = |index: usize| {
        let (name, tensor) = tensors[index.min(count - 1)];
        abi::NamedTensor { name: RStr::from_str(name), tensor: tensor.raw() }
    };
    let with = |tensors: &[abi::NamedTensor<'_>]| {
        f(&abi::Inputs {
            tensors: tensors.into(),
            weight: inputs.weight().map(|weight| weight.raw()).into(),
            mask: inputs.mask().map(|mask| mask.raw()).into(),
        })
    };
    // Nearly all components take two inputs, which is the fast path.
    Ok(match count {
        2 => with(&[named(0), named(1)]),
        _ => with(&std::array::from_fn::<_, MAX_INPUTS, _>(named)[..count]),
    })
}
