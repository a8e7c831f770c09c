"""Metrics: ``get(identifier)``, and a class for each metric that a plug-in has (``metrics.AUC(curve="PR")``)."""

from __future__ import annotations

import numpy as np

from . import _native
from ._component import Component, Registry

__all__ = ["Metric", "MeanMetricWrapper", "get", "serialize", "deserialize"]

#: Keras counts in integers.
_INTEGER = {"IoU", "BinaryIoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"}


class Metric(Component, _native.Metric):
    """A metric with what it has seen.

    ``update_state(y_true, y_pred, sample_weight=None)`` takes in a batch (Mean and Sum: ``values`` in place of the first two),
    ``result()`` is what it has come to, ``reset_state()`` forgets. It is summed up in float64 for float64 predictions; a result is
    float64 always. ``merge_state``, ``get_state``/``set_state`` and pickle carry it from process to process.
    """

    _beside = ("dtype",)

    def __new__(cls, *args, **kwargs):
        return Component.__new__(cls, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        """Takes in a batch and gives the result."""
        self.update_state(*args, **kwargs)
        return self.result()

    def result(self):
        """What it has come to: a float64, an array of them or a dict.

        What isn't defined (no data yet, a single class) is what Keras gives for it: 0, and NaN for R2Score. Of a plug-in's metrics it
        is NaN.
        """
        result = self._result()
        return self._undefined() if result is None else result

    def merge_state(self, metrics):
        """Takes in what others of the same settings have seen."""
        if isinstance(metrics, Metric):
            raise TypeError("merge_state takes a list of metrics, not a metric")
        super().merge_state(list(metrics))

    def _undefined(self):
        is_keras = self._spec is None or self._is_standard() and self._spec["class_name"] != "R2Score"
        return np.float64(0.0 if is_keras else np.nan)

    def reset_states(self):
        """As :meth:`reset_state`, in older code."""
        self.reset_state()

    @property
    def dtype(self):
        """What Keras would sum up in; here that is float64."""
        if self._given_dtype is not None:
            return self._given_dtype
        return "int32" if type(self).__name__ in _INTEGER else "float32"

    #: What Keras calls it among its own.
    _dtype = dtype

    def get_config(self):
        """Every setting, under Keras's keys."""
        return dict(super().get_config(), dtype=self.dtype)

    def _saved(self):
        return self.get_state()

    def _go_on(self, saved):
        self.set_state(saved)


class MeanMetricWrapper(Metric):
    """The mean of a loss's values, or of those of a Python function of ``y_true`` and ``y_pred``, float32 arrays."""

    def __new__(cls, fn, name=None, dtype=None):
        return cls._of_function(fn, name, dtype)

    @classmethod
    def _of_function(cls, fn, name=None, dtype=None):
        return cls._of({"config": {"name": name or getattr(fn, "__name__", type(fn).__name__)}}, fn, dtype)

    def get_config(self):
        """Its settings; a function is itself among them."""
        if self._function is not None:
            return {"name": self.name, "dtype": self.dtype, "fn": self._function}
        return super().get_config()


_registry = Registry("metric", Metric, _native.Metric, "keras.metrics", MeanMetricWrapper)


def get(identifier):
    """The metric that an identifier stands for: a name (of a loss too), a dict as Keras serializes it, a metric, a function; None is None.

    Raises ValueError for an unknown name or a setting that can't be, TypeError for what is no identifier.
    """
    return _registry.get(identifier)


def serialize(metric):
    """The metric as a dict, which :func:`get` reads; not what it has seen."""
    return metric._serialize()


def deserialize(config):
    """The metric that :func:`serialize` wrote."""
    return get(config)


def __getattr__(name):
    return _registry.named(name)


def __dir__():
    return sorted(set(__all__) | set(_registry.names()))


_registry.make_standard()
