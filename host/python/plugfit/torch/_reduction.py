"""The reduction of a loss's values by tensors' operations, as in Keras."""

from __future__ import annotations

import torch


def reduced(values, weight, mask, reduction):
    """Returns the loss from its values. Weights and the mask may be None."""
    if mask is not None:
        kept = mask.to(torch.bool)
        scale = torch.ones((), dtype=values.dtype, device=values.device)
        if reduction in ("mean", "sum_over_batch_size"):
            # The mean is over the values that aren't masked.
            scale = _ratio(torch.full_like(scale, kept.numel()), kept.sum().to(values.dtype))
        weight = scale if weight is None else weight.to(values.dtype) * scale
        if weight.dim():
            kept, weight = _same_rank(kept, weight)
        # A product with 0 would keep a weight that is NaN.
        weight = torch.where(kept, weight, 0.0)
    if weight is not None:
        weight = weight.to(values.dtype)
        values, weight = _same_rank(values, weight)
        values = values * weight
    if reduction == "none" or values.dim() == 0:
        return values
    total = torch.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weight is not None:
        return _ratio(total, torch.sum(weight))
    return total / values.numel() if values.numel() else total


def _ratio(numerator, denominator):
    """Returns the quotient, or 0 if the denominator is 0."""
    zero = denominator == 0
    return torch.where(zero, 0.0, numerator / torch.where(zero, 1.0, denominator))


def _same_rank(one, other):
    """Removes, as Keras does, a last axis of length 1 that the other tensor doesn't have, or adds it to a vector."""
    if one.dim() == other.dim() + 1 and one.shape[-1] == 1:
        return (one, other[..., None]) if other.dim() == 1 else (one[..., 0], other)
    if other.dim() == one.dim() + 1 and other.shape[-1] == 1:
        return (one[..., None], other) if one.dim() == 1 else (one, other[..., 0])
    return one, other
