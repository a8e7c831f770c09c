"""Metrics with a formula, as sums of tensors."""

from __future__ import annotations

import numpy as np

import torch

from ._arrays import tensor


def of_batch(metric, formula, target, preds, weight):
    """Returns the sums of a batch as a vector, in float64 or, on Apple's GPUs, in float32.

    Raises ValueError if shapes don't fit.
    """
    preds = tensor(preds, "preds")
    weight = tensor(weight, "sample_weight", preds.device)
    inputs = [preds] if metric._takes_values else metric._arranged(tensor(target, "target", preds.device), preds)
    found = formula.metric("torch")(*inputs, weight, metric._is_of_loss)
    return found.reshape(-1)


def like(sums, other):
    """Returns sums with the device and the dtype of others. Apple's GPUs have no float64, neither before nor after."""
    return sums.to(other.dtype).to(other.device) if other.device.type == "mps" else sums.to(other.device).to(other.dtype)


def moved(tensor, device):
    """Returns a tensor on another device, with the dtype that sums have there. A tensor without values becomes 0."""
    dtype = tensor.dtype
    if dtype.is_floating_point:
        dtype = torch.float32 if device.type == "mps" else torch.float64
    if tensor.is_meta and device.type != "meta":
        return torch.zeros_like(tensor, dtype=dtype, device=device)
    return like(tensor, torch.empty(0, dtype=dtype, device=device))


def result(metric, formula, sums):
    """Returns the result of a vector of sums; an undefined one is that of ``plugfit.metrics``."""
    undefined = torch.from_numpy(np.asarray(metric._undefined(), np.float32)).to(sums.device)
    if len(sums) == 0:
        return undefined
    f, how = formula.metric("torch"), formula.sums
    sums = sums.reshape(f.shape() if how is None else f.shape(len(sums) // (len(how.terms) * how.bins)))
    found = f.result(sums).to(torch.float32)
    return found if f.undefined is None else torch.where(f.undefined(sums), undefined, found)
