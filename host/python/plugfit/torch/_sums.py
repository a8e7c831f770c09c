"""Metrics that are a function of a weighted mean, as sums of tensors."""

from __future__ import annotations

import math

import torch

from ._arrays import tensor


def sums(metric, formula, y_true, y_pred, weight):
    """Returns the sum of the weighted values of a batch and the sum of its weights, as a vector in float64. Values of
    weight 0 aren't used, even if they are NaN. A sample has the mean of its values: the first axis counts samples.

    Raises ValueError if shapes don't fit.
    """
    y_pred = tensor(y_pred, "preds")
    y_true, y_pred = _matched(metric, formula, tensor(y_true, "target", y_pred.device), y_pred)
    if weight is None:
        values = formula.torch()(y_true, y_pred).to(torch.float64)
        total, weights = values.sum(), values.new_full((), values.numel())
        return torch.stack([total, weights]) / _values_per_sample(values.shape)
    weight = tensor(weight, "sample_weight", y_pred.device).to(torch.float64)
    aligned = _aligned(weight, _shape(formula, tuple(y_pred.shape)), metric._is_of_loss)
    values = formula.torch()(y_true, y_pred, aligned == 0).to(torch.float64)
    aligned = torch.broadcast_to(aligned, values.shape)
    total = torch.where(aligned == 0, 0.0, values * aligned).sum()
    # A single weight is that of the batch.
    many = _values_per_sample(values.shape) if weight.dim() else max(values.numel(), 1)
    return torch.stack([total, aligned.sum()]) / many


def result(metric, formula, total):
    """Returns the result of the sums, or that of no values if the sum of weights is 0."""
    value, weight = total
    mean, of_mean = value / weight, getattr(formula.torch(), "result", None)
    found = mean if of_mean is None else of_mean(mean)
    return torch.where(weight == 0, float(metric._undefined()), found).to(torch.float32)


def _matched(metric, formula, y_true, y_pred):
    if y_true.dim() == y_pred.dim() == 1 and getattr(metric, "_vector_is_a_row", False):
        return y_true[None], y_pred[None]
    if y_true.dim() == 2 and y_pred.dim() == 1 and formula.inputs["y_true"] == "element":
        # As in Keras, a vector matches a column.
        return y_true, y_pred[:, None]
    return y_true, y_pred


def _shape(formula, shape):
    """Returns the shape of the values for the shape of ``y_pred``."""
    axis, each = formula.axis, formula.each
    if each == "element" or each in ("row", "class_id") and len(shape) == 1:
        return shape
    if axis is None or not -len(shape) <= axis < len(shape):
        return () if axis is None else shape
    return shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]


def _values_per_sample(shape):
    return max(math.prod(shape[1:]), 1)


def _aligned(weight, shape, first_only):
    """Returns the weights with as many axes as the values. Weights with fewer axes belong to the first axes if they fit
    those, and to the last otherwise, unless ``first_only``."""
    given = tuple(weight.shape)
    if len(given) == len(shape) + 1 and given[-1] == 1:
        weight, given = weight[..., 0], given[:-1]
    ones = [1] * (len(shape) - len(given))
    if len(given) <= len(shape) and _fits(given, shape):
        return weight.reshape(*given, *ones)
    if len(given) < len(shape) and not first_only and _fits(given, shape[len(ones) :]):
        return weight.reshape(*ones, *given)
    raise ValueError(f"sample_weight of shape {given} doesn't fit the values of shape {shape}")


def _fits(given, lengths):
    return all(one in (1, other) for one, other in zip(given, lengths))
