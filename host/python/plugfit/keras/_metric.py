"""Metrics for Keras. Their state is stored outside of Keras's variables."""

from __future__ import annotations

import itertools

import numpy as np

import keras

from .. import metrics as _metrics
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class Metric(keras.metrics.Metric):
    """A plugfit metric as a Keras metric. Its state isn't in Keras's variables: a compiled JAX function updates it with
    an ordered callback."""

    def __init__(self, identifier, name=None, dtype=None):
        # A copy, so that two models don't share a state.
        self._metric = _common.resolve(_metrics, _metrics.MeanMetricWrapper, identifier)._fresh_copy()
        self._like = None
        self._takes_masks = _common.takes_masks(self._metric)
        super().__init__(name=name or self._metric.name, dtype=dtype)
        # Keras regards a metric without variables as not built.
        self._updates = self.add_weight(shape=(), initializer="zeros", name="updates")

    def update_state(self, *args, **kwargs):
        """Updates the state with ``y_true, y_pred, sample_weight=None``, or with ``values, sample_weight=None``."""
        _common.native_backend(self._metric)
        if self._takes_masks:
            mask = keras.src.backend.get_keras_mask(kwargs.get("y_pred", args[1] if len(args) > 1 else None))
            if mask is not None:
                kwargs["mask"] = mask
        names = ("values", "sample_weight") if self._metric._takes_values else ("y_true", "y_pred", "sample_weight")
        tensor = lambda argument, name: None if argument is None else keras.ops.convert_to_tensor(_common.numbers(argument, name))
        args = [tensor(argument, name) for argument, name in itertools.zip_longest(args, names[: len(args)], fillvalue="an argument")]
        kwargs = {name: tensor(argument, name) for name, argument in kwargs.items()}
        if _common.backend() == "jax" and _common.is_traced(*args, *kwargs.values()):
            from jax.experimental import io_callback

            self._probe(args, kwargs)
            io_callback(self._update, None, args, kwargs, ordered=True)
        else:
            self._update([_common.to_numpy(argument) for argument in args], {name: _common.to_numpy(arg) for name, arg in kwargs.items()})
        self._updates.assign_add(1)

    def _update(self, args, kwargs):
        self._metric.update_state(
            *(None if argument is None else np.asarray(argument) for argument in args),
            **{name: None if argument is None else np.asarray(argument) for name, argument in kwargs.items()},
        )

    def _probe(self, args, kwargs):
        """Computes the shape of results from a batch of ones, since a compiled function needs it in advance."""
        ones = lambda argument: None if argument is None else np.ones(argument.shape, argument.dtype)
        metric = self._metric._fresh_copy()
        try:
            metric.update_state(*map(ones, args), **{name: ones(argument) for name, argument in kwargs.items()})
        except ValueError:  # 1 isn't valid, such as a class id if there is only one class
            return
        self._like = metric.result()

    def result(self):
        """Returns the result in float32: a tensor, or a dict of them."""
        if _common.backend() == "jax" and _common.is_traced(self._updates.value):
            import jax
            from jax.experimental import io_callback

            like = self._metric.result() if self._like is None else self._like
            shapes = jax.tree.map(lambda value: jax.ShapeDtypeStruct(np.shape(value), np.float32), like)
            return io_callback(lambda: self._result(shapes), shapes, ordered=True)
        return keras.tree.map_structure(lambda value: keras.ops.convert_to_tensor(np.asarray(value, np.float32)), self._metric.result())

    def _result(self, shapes):
        result = self._metric.result()
        if isinstance(shapes, dict):
            return {name: np.float32(result[name]) for name in shapes}
        # A result that isn't defined yet is a single number.
        return np.broadcast_to(np.asarray(result, np.float32), shapes.shape)

    def reset_state(self):
        """Resets the state."""
        self._metric.reset_state()
        super().reset_state()

    def get_config(self):
        """Returns the identifier and Keras's own settings."""
        return {"identifier": _common.identifier_of(self._metric), "name": self.name}
