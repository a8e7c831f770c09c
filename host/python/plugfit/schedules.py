"""Learning-rate schedules: ``get(identifier)``, and a class for each (``schedules.CosineDecay(0.1, 1000)``)."""

from __future__ import annotations

import operator

import numpy as np

from . import _config, _native
from ._component import Component
from ._registry import Registry

__all__ = ["Schedule", "get", "serialize", "deserialize"]


class Schedule(Component, _native.Schedule):
    """A learning-rate schedule: ``schedule(step)`` returns the learning rate of a step, counted from 0."""

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


_registry = Registry("schedule", Schedule, _native.Schedule, "keras.optimizers.schedules")
get, deserialize = _registry.get, _registry.deserialize


def serialize(schedule):
    """Returns the schedule as a dict, which :func:`get` reads. The dict doesn't contain the state."""
    return schedule._serialize()


__getattr__, __dir__ = _registry.named, _registry.dir


def as_keras(identifier):
    """Returns a schedule's serialized form as Keras writes it."""
    return _config.plain(get(identifier)._serialize())
