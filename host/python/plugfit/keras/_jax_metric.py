"""Calls of metrics from compiled JAX functions."""

from __future__ import annotations

import json
import math

import numpy as np

import jax

from .. import _native
from . import _probe, _xla


class Calls:
    """The calls of a metric: an update returns the count of updates, which the next call takes."""

    def __init__(self, metric):
        self._metric, self._like = metric, None
        self._target = None
        if metric._function is None and _xla.is_available():
            undefined = float(np.ravel(metric._undefined())[0])
            self._target = {"number": str(_native.xla_metric_number(metric)), "undefined": json.dumps(None if math.isnan(undefined) else undefined)}

    def update(self, updates, batch):
        """Updates the state with a batch."""
        like = _probe.results_of(self._metric, {name: (array.shape, array.dtype) for name, array in batch.items()})
        self._like = self._like if like is None else like
        names, arrays = list(batch), list(batch.values())

        def update(updates, *arrays):
            self._metric.update_state(**dict(zip(names, map(np.asarray, arrays))))
            return [np.float32(updates + 1)]

        attributes = {"inputs": " ".join("y_pred" if name == "values" else name for name in names)}
        return self._call("plugfit_metric_update", update, [_scalar()], [updates, *arrays], attributes)[0]

    def result(self, updates):
        """Returns the result after this count of updates."""
        like = self._metric.result() if self._like is None else self._like
        names = list(like) if isinstance(like, dict) else []
        shapes = [_scalar() for _ in names] if names else [jax.ShapeDtypeStruct(np.shape(like), np.float32)]

        def result(updates):
            return _probe.numbers(self._metric, names, shapes[0].shape)

        found = self._call("plugfit_metric_result", result, shapes, [updates], {"names": json.dumps(names)})
        return dict(zip(names, found)) if names else found[0]

    def _call(self, name, function, results, arrays, attributes):
        attributes = None if self._target is None else {**self._target, **attributes}
        return _xla.call(name if attributes else None, function, results, arrays, self._metric.name, attributes, ordered=True)


def _scalar():
    return jax.ShapeDtypeStruct((), np.float32)
