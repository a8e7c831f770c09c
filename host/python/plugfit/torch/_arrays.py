"""Conversion of tensors to arrays."""

from __future__ import annotations

import torch

from .._arrays import plain


def array(tensor):
    """Returns a tensor as a NumPy array, in float32 if it is of a lower precision, and anything else as it is."""
    if tensor is None or not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.cpu().numpy()


def tensor(value, name, device=None):
    """Returns a tensor on the device, and None as it is. A value that isn't a tensor is converted as everywhere in this
    package.

    Raises ValueError if it has missing or masked values, and TypeError if it doesn't consist of numbers.
    """
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        value = torch.as_tensor(plain(value, name))
    return value if device is None else value.to(device)
