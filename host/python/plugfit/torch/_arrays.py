"""Conversion of tensors to arrays."""

from __future__ import annotations

import torch


def array(tensor):
    """Returns a tensor as a NumPy array, in float32 if it is of a lower precision, and anything else as it is."""
    if tensor is None or not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.cpu().numpy()
