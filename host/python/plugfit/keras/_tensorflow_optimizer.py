"""Steps of optimizers in TensorFlow's functions."""

from __future__ import annotations

from . import _tensorflow


def updated(optimizer, values, grads, present, rate, quiet):
    """Returns the values of all variables after a step of the plug-in. ``grads`` are those of the ``present`` ones."""
    rates = [] if rate is None else [rate]

    def step(*arrays):
        values, grads, rate = arrays[: len(present)], arrays[len(present) : len(arrays) - len(rates)], arrays[len(arrays) - len(rates) :]
        return optimizer._step(values, grads, present, rate[0] if rates else None, quiet)

    shapes = [value.shape for value in values]
    return _tensorflow.call_all(optimizer, step, [*values, *grads, *rates], shapes)
