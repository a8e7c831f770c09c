"""Metrics with a formula, as sums of tensors."""

from __future__ import annotations

import numpy as np

import torch

from ._arrays import tensor


def of_batch(metric, formula, target, preds, weight):
    """Returns the sums of a batch as a vector in float64.

    Raises ValueError if shapes don't fit.
    """
    preds = tensor(preds, "preds")
    weight = tensor(weight, "sample_weight", preds.device)
    inputs = [preds] if metric._takes_values else metric._arranged(tensor(target, "target", preds.device), preds)
    found = formula.metric("torch")(*inputs, weight, metric._is_of_loss)
    return found.reshape(-1).to(torch.float64)


def result(metric, formula, sums):
    """Returns the result of a vector of sums; an undefined one is that of ``plugfit.metrics``."""
    undefined = torch.from_numpy(np.asarray(metric._undefined(), np.float32)).to(sums.device)
    if len(sums) == 0:
        return undefined
    f, how = formula.metric("torch"), formula.sums
    sums = sums.reshape(f.shape() if how is None else f.shape(len(sums) // (len(how.terms) * how.bins)))
    found = f.result(sums).to(torch.float32)
    return found if f.undefined is None else torch.where(f.undefined(sums), undefined, found)
