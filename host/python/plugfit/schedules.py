"""Learning-rate schedules: ``get(identifier)``, and a class for each (``schedules.CosineDecay(0.1, 1000)``)."""

from __future__ import annotations

import operator

import numpy as np

from . import _config, _native
from ._component import Component, Registry

__all__ = ["Schedule", "get", "serialize", "deserialize"]


class Schedule(Component, _native.Schedule):
    """A learning-rate schedule: ``schedule(step)`` returns the learning rate of a step, counted from 0."""

    def __new__(cls, *args, **kwargs):
        return Component.__new__(cls, *args, **kwargs)

    def __call__(self, step):
        """Returns the learning rate of step number ``step`` as a float. A negative step counts as 0."""
        return self._at(_whole(step))


def _whole(step):
    try:
        whole = operator.index(step)
    except TypeError:
        number = np.asarray(step)
        if number.size != 1 or number.dtype.kind not in "iufb":
            raise TypeError(f"a step is a whole number, not {step!r}") from None
        whole = int(number.reshape(()))
        if whole != number.reshape(()):
            raise ValueError(f"a step is a whole number, not {step!r}") from None
    return max(whole, 0)


_registry = Registry("schedule", Schedule, _native.Schedule, "keras.optimizers.schedules", None)


def get(identifier):
    """Returns the schedule for an identifier: a name, a dict as Keras serializes it, or a schedule."""
    return _registry.get(identifier)


def serialize(schedule):
    """Returns the schedule as a dict, which :func:`get` reads."""
    return schedule._serialize()


def deserialize(config):
    """Returns the schedule that :func:`serialize` wrote."""
    return get(config)


def as_keras(identifier):
    """Returns a schedule's serialized form as Keras writes it."""
    return _config.plain(get(identifier)._serialize())


def __getattr__(name):
    return _registry.named(name)


def __dir__():
    return sorted(set(__all__) | set(_registry.names()))


_registry.make_standard()
