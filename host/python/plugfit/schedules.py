"""Learning-rate schedules: ``get(identifier)``, and a class for each (``schedules.CosineDecay(0.1, 1000)``)."""

from __future__ import annotations

import importlib
import operator
import sys

import numpy as np

from . import _config, _native
from ._component import Component
from ._registry import Registry

__all__ = ["Schedule", "get", "serialize", "deserialize"]


class Schedule(Component, _native.Schedule):
    """A learning-rate schedule: ``schedule(step)`` returns the learning rate of a step, counted from 0. Keras's
    optimizers take it as a ``learning_rate``."""

    @classmethod
    def _from_identifier(cls, identifier, function=None, dtype=None):
        derive_from_keras()
        return super()._from_identifier(identifier, function, dtype)

    def __call__(self, step):
        """Returns the learning rate of step number ``step`` as a float, or as a tensor for a variable of Keras. A
        negative step counts as 0."""
        return self._in_keras(step) if _config.is_keras(step) else self._at(_whole(step))

    def _in_keras(self, step):
        adapted = self.__dict__.get("_adapted")
        if adapted is None:
            # The adapter imports Keras, and this module.
            adapted = self._adapted = importlib.import_module(f"{__package__}.keras").Schedule(self)
        return adapted(step)


def derive_from_keras():
    """Makes schedules objects of Keras's class, if Keras is imported. An optimizer of Keras passes the step only to
    those, and accepts any other function without complaint."""
    schedules = getattr(getattr(sys.modules.get("keras"), "optimizers", None), "schedules", None)
    base = getattr(schedules, "LearningRateSchedule", None)
    if base is not None and base not in Schedule.__mro__:
        Schedule.__bases__ = (*Schedule.__bases__, base)


def _whole(step):
    try:
        whole = operator.index(step)
    except TypeError:
        number = np.asarray(step)
        if number.size != 1 or number.dtype.kind not in "iufb":
            raise TypeError(f"a step is a whole number, not {step!r}") from None
        if not np.isfinite(number).all() or int(number.reshape(())) != number.reshape(()):
            raise ValueError(f"a step is a whole number, not {step!r}") from None
        whole = int(number.reshape(()))
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
