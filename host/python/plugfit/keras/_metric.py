"""Metrics for Keras that the plug-in computes. Their state is stored outside of Keras's variables."""

from __future__ import annotations

import numpy as np

import keras

from .. import metrics as _metrics
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class Metric(keras.metrics.Metric):
    """A plugfit metric as a Keras metric. Its state isn't in Keras's variables: a compiled function calls the plug-in in
    each step."""

    def __init__(self, identifier, name=None, dtype=None):
        # A copy, so that two models don't share a state.
        self._metric = _common.resolve(_metrics, _metrics.MeanMetricWrapper, identifier)._fresh_copy()
        self._compiled = None
        self._takes_masks = _common.takes_masks(self._metric)
        super().__init__(name=name or self._metric.name, dtype=dtype)
        # Keras regards a metric without variables as not built. The count also orders the calls in compiled functions.
        self._updates = self.add_weight(shape=(), initializer="zeros", name="updates")

    def update_state(self, *args, **kwargs):
        """Updates the state with ``y_true, y_pred, sample_weight=None``, or with ``values, sample_weight=None``.

        Raises TypeError for other arguments.
        """
        batch = _common.batch(self._metric, self._takes_masks, args, kwargs)
        calls = self._calls(*batch.values())
        if calls is None:
            self._metric.update_state(**{name: _common.to_numpy(array) for name, array in batch.items()})
            self._updates.assign_add(1)
        else:
            self._updates.assign(calls.update(self._updates.value, batch))

    def _calls(self, *tensors):
        """Returns the calls of the plug-in from a compiled function, or None outside of one."""
        name = _common.native_backend(self._metric)
        if name == "jax" and _common.is_traced(*tensors):
            from ._jax_metric import Calls
        elif name == "tensorflow" and _common.is_in_graph():
            from ._tensorflow_metric import Calls
        else:
            return None
        if self._compiled is None:
            self._compiled = Calls(self._metric)
        return self._compiled

    def result(self):
        """Returns the result in float32: a tensor, or a dict of them."""
        calls = self._calls(self._updates.value)
        if calls is not None:
            return calls.result(self._updates.value)
        self._wait()
        return keras.tree.map_structure(lambda value: keras.ops.convert_to_tensor(np.asarray(value, np.float32)), self._metric.result())

    def reset_state(self):
        """Resets the state."""
        self._wait()
        self._metric.reset_state()
        super().reset_state()

    def _wait(self):
        """Waits for the steps that JAX still computes."""
        if _common.backend() == "jax" and not _common.is_traced(self._updates.value):
            self._updates.value.block_until_ready()

    def get_config(self):
        """Returns the identifier and Keras's own settings."""
        return {"identifier": _common.identifier_of(self._metric), "name": self.name}
