"""Conversion of tensors to arrays."""

from __future__ import annotations

import torch

from .._arrays import plain


def is_low_precision(dtype):
    """Returns whether a dtype of floats is less precise than float32, in which it is computed."""
    return dtype.is_floating_point and dtype.itemsize < 4


def array(tensor):
    """Returns a tensor as a NumPy array, in float32 if it is of a lower precision, and anything else as it is."""
    if tensor is None or not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach()
    if is_low_precision(tensor.dtype):
        tensor = tensor.float()
    # NumPy has no arrays whose sign or conjugate is pending.
    return tensor.cpu().resolve_conj().resolve_neg().numpy()


def tensor(value, name, device=None):
    """Returns a tensor on the device, and None as it is. A value that isn't a tensor is copied, and converted as
    everywhere in this package.

    Raises ValueError if it has missing or masked values, and TypeError if it doesn't consist of real numbers.
    """
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        value = torch.tensor(plain(value, name))
    if value.is_complex():
        raise TypeError(f"{name} contains {str(value.dtype).removeprefix('torch.')}, not numbers")
    return value if device is None else value.to(device)


def ordered(component, inputs):
    """Returns the further inputs of a loss or a metric in its order.

    Raises ValueError if one is missing or unknown.
    """
    further = component._further
    for name in inputs:
        if name not in further:
            has = f"; it has {', '.join(further)}" if further else ""
            raise ValueError(f"{component.name} has no input {name!r} beside its usual ones{has}")
    for name in further:
        if name not in inputs:
            raise ValueError(f"{component.name} needs the input {name!r}: pass {name}=...")
    return [inputs[name] for name in further]
