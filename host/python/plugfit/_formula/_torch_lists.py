"""Formulas of optimizers as functions of lists of PyTorch tensors.

One call of ``torch._foreach_…`` computes an operation for all parameters, and ``torch.compile`` makes one kernel of a
whole step.
"""

from __future__ import annotations

import torch

from ._torch import ENGINE
from .graph import function

_UNARY = {
    "neg": torch._foreach_neg,
    "abs": torch._foreach_abs,
    "sqrt": torch._foreach_sqrt,
    "exp": torch._foreach_exp,
    "exp_m1": torch._foreach_expm1,
    "ln": torch._foreach_log,
    "ln_1p": torch._foreach_log1p,
    "tanh": torch._foreach_tanh,
    "sigmoid": torch._foreach_sigmoid,
    "powf": torch._foreach_pow,
    "powi": torch._foreach_pow,
}


def _add(x, y):
    return torch._foreach_add(x, y) if isinstance(x, list) else torch._foreach_add(y, x)


def _mul(x, y):
    return torch._foreach_mul(x, y) if isinstance(x, list) else torch._foreach_mul(y, x)


def _sub(x, y):
    if not isinstance(x, list):
        return torch._foreach_add(torch._foreach_neg(y), x)
    return torch._foreach_add(x, -y) if isinstance(y, torch.Tensor) else torch._foreach_sub(x, y)


def _div(x, y):
    return torch._foreach_div(x, y) if isinstance(x, list) else [x / one for one in y]


def _max(x, y):
    return _compared("max", torch._foreach_maximum, x, y)


def _min(x, y):
    return _compared("min", torch._foreach_minimum, x, y)


def _compared(name, foreach, x, y):
    if isinstance(x, torch.Tensor) or isinstance(y, torch.Tensor):
        return _one_by_one(ENGINE.operations[name], (x, y))
    return foreach(x, y) if isinstance(x, list) else foreach(y, x)


def _flush(x):
    return x


_LISTS = {**_UNARY, "add": _add, "sub": _sub, "mul": _mul, "div": _div, "max": _max, "min": _min, "flush": _flush}


def _one_by_one(operation, arguments):
    length = len(next(argument for argument in arguments if isinstance(argument, list)))
    return [operation(*(argument[index] if isinstance(argument, list) else argument for argument in arguments)) for index in range(length)]


def _of_lists(name):
    """Returns an operation whose arguments are lists with a tensor for each parameter, or a number for all of them."""
    single, foreach = ENGINE.operations[name], _LISTS.get(name)

    def operation(*arguments):
        if not any(isinstance(argument, list) for argument in arguments):
            return single(*arguments)
        return _one_by_one(single, arguments) if foreach is None else list(foreach(*arguments))

    return operation


class _Lists:
    operations = {name: _of_lists(name) for name in ENGINE.operations}

    @staticmethod
    def constant(number, like):
        return ENGINE.constant(number, like[0] if isinstance(like, list) else like)


def optimizer(formula):
    """Returns an optimizer as a function of lists: ``f(parameters, gradients, slots, learning_rate, number)`` returns the
    parameters and the slots after the update. ``slots`` is a dict of lists, and all tensors have one device and one dtype,
    float32 or float64."""
    names, outputs = list(formula.inputs), list(formula.outputs)
    run = function(formula.graph, list(formula.outputs.values()), _Lists)

    def f(parameters, gradients, slots, learning_rate, number):
        given = {"parameter": parameters, "gradient": gradients, "learning_rate": learning_rate, "number": number}
        given.update((f"slot.{name}", slot) for name, slot in slots.items())
        found = dict(zip(outputs, run(*(given[name] for name in names))))

        def restored(name, likes):
            tensors = found[name] if isinstance(found[name], list) else [found[name]] * len(likes)
            return [torch.broadcast_to(tensor, like.shape) for tensor, like in zip(tensors, likes)]

        return restored("parameter", parameters), {name: restored(f"slot.{name}", slot) for name, slot in slots.items()}

    return f
