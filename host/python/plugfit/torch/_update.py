"""A step of an optimizer by its formula, as a pure function of lists of tensors.

The order is that of the plug-in's host: divide the gradients by the loss scale, accumulate and clip them; decay weights;
update; average.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from .._formula import _torch_lists


class Rule:
    """The formula of an optimizer for a list of parameters."""

    def __init__(self, formula):
        self.update = _torch_lists.optimizer(formula)
        self.slots = dict(formula.slots)
        #: The slots that are one number for a parameter.
        self.numbers = [name for name in self.slots if formula.inputs.get(f"slot.{name}") == "scalar"]


class Part(NamedTuple):
    """The parameters of a group with one device and one dtype. All tensors are local."""

    rule: Any
    group: dict
    #: The parameters, with their device mesh if they are distributed.
    params: list
    #: The values that are updated: the parameters, or copies of them in float32.
    values: list
    gradients: list
    #: The slots by name.
    slots: dict
    #: The averages and the sums of gradients. Empty if the group has none.
    averages: list
    sums: list
    #: Whether the weights of each parameter decay.
    decays: list
    #: The number of earlier steps, and the learning rate: tensors.
    step: Any
    rate: Any


def apply(parts):
    """Makes one step of all parts in place."""
    scaled = [_scaled(part) for part in parts]
    for part, gradients, norm in zip(parts, scaled, _global_norms(parts, scaled)):
        _apply(part, list(_clipped(part, gradients, norm)))


def _scaled(part):
    """Returns the gradients before clipping."""
    gradients, factor = part.gradients, 1 / (part.group["loss_scale_factor"] or 1.0)
    steps = part.group["gradient_accumulation_steps"]
    if steps:
        torch._foreach_add_(part.sums, gradients)
        gradients, factor = part.sums, factor / steps
    return gradients if factor == 1 else torch._foreach_mul(gradients, factor)


def _global_norms(parts, scaled):
    """Returns for each part the norm of the gradients of all groups that are clipped by it to the same maximum."""
    totals = {}
    for part, gradients in zip(parts, scaled):
        limit = part.group["global_clipnorm"]
        if limit is not None:
            squares = torch.stack(_squares(part, gradients)).sum()
            totals[limit] = squares if limit not in totals else totals[limit] + squares.to(totals[limit])
    return [None if part.group["global_clipnorm"] is None else torch.sqrt(totals[part.group["global_clipnorm"]]) for part in parts]


def _squares(part, gradients):
    return [_of_all_shards(torch.sum(gradient * gradient), param) for param, gradient in zip(part.params, gradients)]


def _of_all_shards(total, param):
    """Returns the sum over the shards of a distributed parameter."""
    if not is_distributed(param):
        return total
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Replicate() if placement.is_replicate() else Partial() for placement in param.placements]
    return DTensor.from_local(total, param.device_mesh, placements).full_tensor()


def _clipped(part, gradients, norm):
    clipnorm, clipvalue = part.group["clipnorm"], part.group["clipvalue"]
    if clipvalue is not None:
        return torch._foreach_maximum(torch._foreach_minimum(gradients, clipvalue), -clipvalue)
    if clipnorm is not None:
        factors = [_factor(torch.sqrt(square), clipnorm) for square in _squares(part, gradients)]
        return [gradient * factor for gradient, factor in zip(gradients, factors)]
    if norm is not None:
        return torch._foreach_mul(gradients, _factor(norm, part.group["global_clipnorm"]).to(gradients[0]))
    return gradients


def _factor(norm, limit):
    return torch.where(norm > limit, limit / norm, 1.0)


def _apply(part, gradients):
    if _is_of_lists(part):
        _update(part, gradients)
    else:
        for index, gradient in enumerate(gradients):
            _update(_of_one(part, index), [gradient])
    part.step.add_(1)


def _is_of_lists(part):
    """Returns whether an operation computes all parameters at once. On the CPU that takes memory, and isn't faster."""
    if torch.compiler.is_compiling():
        return True
    return part.values[0].device.type != "cpu" if part.group["foreach"] is None else part.group["foreach"]


def _of_one(part, index):
    """Returns the part of one parameter."""
    one = {name: getattr(part, name)[index : index + 1] for name in ("params", "values", "averages", "sums", "decays")}
    return part._replace(slots={name: slot[index : index + 1] for name, slot in part.slots.items()}, **one)


def _update(part, gradients):
    group, steps = part.group, part.group["gradient_accumulation_steps"] or 1
    values = part.values
    if group["weight_decay"]:
        lost = part.rate * group["weight_decay"]
        values = [value - value * lost if decays else value for value, decays in zip(values, part.decays)]
    iteration = part.step if steps == 1 else torch.floor(part.step / steps)
    updated, slots = part.rule.update(values, gradients, part.slots, part.rate, iteration + 1)
    if steps > 1:
        # Other steps only accumulate the gradients.
        is_update = (part.step + 1) % steps == 0
        updated = _chosen(is_update, updated, part.values)
        slots = {name: _chosen(is_update, new, part.slots[name]) for name, new in slots.items()}
        torch._foreach_copy_(part.sums, [torch.where(is_update, 0.0, one) for one in part.sums])
    torch._foreach_copy_(part.values, updated)
    for name, new in slots.items():
        torch._foreach_copy_(part.slots[name], new)
    if part.averages:
        average(part.values, part.averages, group, iteration)


def average(values, averages, group, iteration):
    """Updates the averages of values, and overwrites the values with them where it is time."""
    momentum = torch.where(iteration == 0, 0.0, group["ema_momentum"])
    torch._foreach_copy_(averages, [momentum * mean + (1 - momentum) * value for mean, value in zip(averages, values)])
    if group["ema_overwrite_frequency"]:
        is_time = (iteration + 1) % group["ema_overwrite_frequency"] == 0
        torch._foreach_copy_(values, _chosen(is_time, averages, values))


def _chosen(mask, news, olds):
    return [torch.where(mask, new, old) for new, old in zip(news, olds)]


def is_distributed(tensor):
    """Returns whether it is a DTensor, which has a part of a tensor on each rank."""
    return hasattr(tensor, "to_local")


def local(tensor):
    """Returns the part of a tensor on this rank, which shares its memory."""
    return tensor.to_local() if is_distributed(tensor) else tensor
