"""Metrics for Keras whose formula the backend computes."""

from __future__ import annotations

import numpy as np

import keras
from keras import ops

from .. import metrics as _metrics
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class FormulaMetric(keras.metrics.Metric):
    """A plugfit metric with a formula as a Keras metric. Its state consists of Keras variables: the sums of a metric of
    sums, or those of weight times value and of weight. If each column has sums of its own, the variables are created by
    the first batch.

    The sums are float64. JAX without ``jax_enable_x64`` has no float64: a sum is then a pair of float32 numbers, the
    second of which contains what the first lost by rounding. The values of one batch are summed in float32 there.

    A class id that isn't one makes a mean NaN and adds nothing to other sums, since a compiled function can't refuse it.

    Raises ValueError if the metric has no formula.
    """

    def __init__(self, identifier, name=None, dtype=None):
        self._metric = _common.resolve(_metrics, _metrics.MeanMetricWrapper, identifier)
        self._formula = self._metric.formula()
        self._of_batch = self._formula.metric("keras")
        super().__init__(name=name or self._metric.name, dtype=dtype)
        self._takes_masks = _common.takes_masks(self._metric)
        self._sums = self._lost = None
        if self._formula.sums is None or not self._formula.sums.by_column:
            self._create(self._of_batch.shape())

    def _create(self, shape):
        wide = _common.wide_dtype()
        self._sums = self.add_variable(shape=shape, initializer="zeros", dtype=wide, name="sums")
        if wide != "float64":
            self._lost = self.add_variable(shape=shape, initializer="zeros", dtype=wide, name="lost")

    def update_state(self, *args, **kwargs):
        """Updates the state with ``y_true, y_pred, sample_weight=None``, or with ``values, sample_weight=None``. Values of
        weight 0 and masked values are ignored, even if they are NaN.

        Raises ValueError if the shapes don't fit.
        """
        batch = _common.batch(self._metric, self._takes_masks, args, kwargs)
        weight = _combined(batch.pop("sample_weight", None), batch.pop("mask", None))
        *labels, scores = batch.values()
        found = self._of_batch(*labels, ops.stop_gradient(scores), weight, self._metric._is_of_loss)
        if self._sums is None:
            if None in found.shape:
                raise ValueError(f"{self.name} has sums for each column of y_pred, whose shape is {tuple(scores.shape)}")
            self._create(tuple(found.shape))
        if tuple(found.shape) != tuple(self._sums.shape):
            raise ValueError(f"y_pred of shape {tuple(scores.shape)} has {found.shape[1]} columns, and {self._sums.shape[1]} until now")
        self._add(ops.cast(found, self._sums.dtype))

    def _add(self, found):
        if self._lost is None:
            self._sums.assign_add(found)
            return
        before = self._sums.value
        after = before + found
        added = after - before
        lost = (before - (after - added)) + (found - added)
        self._sums.assign(after)
        # An infinite sum loses nothing.
        self._lost.assign_add(ops.where(ops.isfinite(lost), lost, 0.0))

    def result(self):
        """Returns the result as a tensor of float32, undefined results as ``plugfit.metrics`` does."""
        undefined = np.asarray(self._metric._undefined(), np.float32)
        if self._sums is None:
            return ops.convert_to_tensor(undefined)
        sums = self._sums.value if self._lost is None else self._sums.value + self._lost.value
        result = ops.cast(self._of_batch.result(sums), "float32")
        return result if self._of_batch.undefined is None else ops.where(self._of_batch.undefined(sums), undefined, result)

    def get_config(self):
        """Returns the identifier and Keras's own settings."""
        return {"identifier": _common.identifier_of(self._metric), "name": self.name}


def _combined(weight, mask):
    """Returns the weights, which are 0 where the mask excludes a value."""
    if mask is None:
        return weight
    if weight is None:
        return ops.cast(ops.cast(mask, "bool"), "float32")
    mask, weight = keras.src.losses.loss.squeeze_or_expand_to_same_rank(ops.cast(mask, "bool"), weight)
    return ops.where(mask, weight, ops.zeros_like(weight))
