"""Metrics: ``get(identifier)``, and a class for each metric of a plug-in (``metrics.AUC(curve="PR")``)."""

from __future__ import annotations

import numpy as np

from . import _classes, _native
from ._component import Component
from ._registry import Registry

__all__ = ["Metric", "MeanMetricWrapper", "get", "serialize", "deserialize"]

#: Metrics that Keras computes with integers.
_INTEGER = {"IoU", "BinaryIoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"}


class Metric(Component, _native.Metric):
    """A metric and its state.

    ``update_state(y_true, y_pred, sample_weight=None)`` updates the state with a batch (Mean and Sum take ``values``
    instead of the first two). Further inputs of a plug-in's metric are given by name: ``update_state(y_true, y_pred,
    group=...)``. ``result()`` returns the result, ``reset_state()`` resets the state. Sums are in float64
    for float64 predictions; a result is always float64. ``merge_state``, ``get_state``/``set_state`` and pickle
    transfer the state between processes.
    """

    _extra_arguments = ("dtype",)

    def __call__(self, *args, **kwargs):
        """Updates the state with a batch and returns the result."""
        self.update_state(*args, **kwargs)
        return self.result()

    def result(self):
        """Returns the result: a float64, an array of them or a dict.

        If the result is undefined (no data yet, a single class), it is that of Keras: 0, or NaN for R2Score. For a
        metric of a plug-in it is NaN.
        """
        result = self._result()
        return self._undefined() if result is None else result

    def merge_state(self, metrics):
        """Merges the states of metrics with the same settings into this one."""
        if isinstance(metrics, Metric):
            raise TypeError("merge_state takes a list of metrics, not a metric")
        super().merge_state(list(metrics))

    def _arranged(self, y_true, y_pred):
        """Returns arrays of any library in the shapes that Keras uses. Raises ValueError if Keras refuses theirs."""
        return y_true, y_pred

    def _undefined(self):
        is_keras = self._spec is None or self._is_standard() and self._spec["class_name"] != "R2Score"
        return np.float64(0.0 if is_keras else np.nan)

    def reset_states(self):
        """Does the same as :meth:`reset_state`, for older code."""
        self.reset_state()

    @property
    def dtype(self):
        """The dtype in which Keras would accumulate. The state here is float64."""
        if self._given_dtype is not None:
            return self._given_dtype
        return "int32" if type(self).__name__ in _INTEGER else "float32"

    #: Keras's private name for it.
    _dtype = dtype

    def get_config(self):
        """Returns every setting under Keras's keys."""
        return dict(super().get_config(), dtype=self.dtype)

    def _get_pickle_state(self):
        return self.get_state()

    def _set_pickle_state(self, saved):
        self.set_state(saved)


class MeanMetricWrapper(Metric):
    """The mean of the values of a loss, or of a Python function of ``y_true`` and ``y_pred``, which are float32
    arrays."""

    def __new__(cls, fn, name=None, dtype=None):
        return cls._from_function(fn, name, dtype)

    @classmethod
    def _from_function(cls, fn, name=None, dtype=None):
        return cls._from_identifier({"config": {"name": name or getattr(fn, "__name__", type(fn).__name__)}}, fn, dtype)

    def get_config(self):
        """Returns the settings, including a function itself."""
        if self._function is not None:
            return {"name": self.name, "dtype": self.dtype, "fn": self._function}
        return super().get_config()


_registry = Registry("metric", Metric, _native.Metric, "keras.metrics", MeanMetricWrapper, _classes.METRICS)
get, deserialize = _registry.get, _registry.deserialize


def serialize(metric):
    """Returns the metric as a dict, which :func:`get` reads. The dict doesn't contain the state."""
    return metric._serialize()


__getattr__, __dir__ = _registry.named, _registry.dir
