"""Losses: ``get(identifier)``, and a class for each loss that a plug-in has (``losses.Huber(delta=2.0)``)."""

from __future__ import annotations

from . import _native
from ._component import Component, Registry

__all__ = ["Loss", "LossFunctionWrapper", "get", "serialize", "deserialize"]


class Loss(Component, _native.Loss):
    """A loss: ``loss(y_true, y_pred, sample_weight=None, mask=None)`` is a float32, or an array of them where nothing is reduced.

    Arrays are anything with numbers: NumPy, DLPack, PyTorch on the CPU, JAX, lists. What is float32 and in C order isn't copied.
    ``gradient(...)`` takes the same and gives the derivative with respect to ``y_pred``.
    """

    _base_keys = ("reduction", "name", "dtype")

    def __new__(cls, *args, **kwargs):
        return Component.__new__(cls, *args, **kwargs)

    def call(self, y_true, y_pred):
        """The values, not reduced."""
        unreduced = self.__dict__.get("_unreduced")
        if unreduced is None:
            unreduced = self._unreduced = type(self)._of(_with_reduction(self, "none"), self._function)
        return unreduced(y_true, y_pred)

    @property
    def dtype(self):
        return "float32"

    def __getstate__(self):
        return None


def _with_reduction(loss, reduction):
    if loss._function is not None:
        return {"name": loss.name, "reduction": reduction}
    config = dict(loss.get_config(), reduction=reduction)
    return {"class_name": loss._spec["class_name"], "config": config}


class LossFunctionWrapper(Loss):
    """A Python function of ``y_true`` and ``y_pred``, float32 arrays, to a value for each sample (or more).

    It trains if it has an attribute ``gradient``: a function of the same arrays to the derivative with respect to ``y_pred``.
    """

    def __new__(cls, fn, reduction="sum_over_batch_size", name=None, dtype=None):
        return cls._of_function(fn, reduction, name)

    @classmethod
    def _of_function(cls, fn, reduction="sum_over_batch_size", name=None):
        name = name or getattr(fn, "__name__", type(fn).__name__)
        return cls._of({"name": name, "reduction": reduction}, fn)

    @property
    def fn(self):
        return self._function

    def get_config(self):
        return {"name": self.name, "reduction": self.reduction, "fn": self._function}


_registry = Registry("loss", Loss, _native.Loss, "keras.losses", LossFunctionWrapper)


def get(identifier):
    """The loss that an identifier stands for: a name, a dict as Keras serializes it, a loss, a function; None is None.

    Raises ValueError for an unknown name or a setting that can't be, TypeError for what is no identifier.
    """
    return _registry.get(identifier)


def serialize(loss):
    """The loss as a dict, which :func:`get` reads."""
    return loss._serialize()


def deserialize(config):
    """The loss that :func:`serialize` wrote."""
    return get(config)


def __getattr__(name):
    return _registry.named(name)


def __dir__():
    return sorted(set(__all__) | set(_registry.names()))
