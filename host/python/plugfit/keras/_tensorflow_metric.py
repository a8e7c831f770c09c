"""Calls of metrics from TensorFlow's functions."""

from __future__ import annotations

import numpy as np

from . import _probe, _tensorflow


class Calls:
    """The calls of a metric: an update returns the count of updates, which the next call takes."""

    def __init__(self, metric):
        self._metric, self._like = metric, None

    def update(self, updates, batch):
        """Updates the state with a batch."""
        like = _probe.results_of(self._metric, {name: (array.shape, array.dtype.as_numpy_dtype) for name, array in batch.items()})
        self._like = self._like if like is None else like
        names = list(batch)

        def update(updates, *arrays):
            self._metric.update_state(**dict(zip(names, arrays)))
            return np.float32(updates + 1)

        return _tensorflow.call(self._metric, update, [updates, *batch.values()], "float32", ())

    def result(self, updates):
        """Returns the result after this count of updates."""
        like = self._metric.result() if self._like is None else self._like
        names = list(like) if isinstance(like, dict) else []
        shapes = [()] * len(names) or [np.shape(like)]

        def result(updates):
            return _probe.numbers(self._metric, names, shapes[0])

        found = _tensorflow.call_all(self._metric, result, [updates], shapes)
        return dict(zip(names, found)) if names else found[0]
