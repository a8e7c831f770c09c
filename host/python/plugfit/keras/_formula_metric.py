"""Metrics for Keras whose formula the backend computes."""

from __future__ import annotations

import math

import keras
from keras import ops

from .. import metrics as _metrics
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class FormulaMetric(keras.metrics.Metric):
    """A plugfit metric with a formula as a Keras metric. Its state consists of Keras variables: the sums of weight times
    value and of weight.

    The sums are float64. JAX without ``jax_enable_x64`` has no float64: a sum is then a pair of float32 numbers, the
    second of which contains what the first lost by rounding. The values of one batch are summed in float32 there.

    A class id that isn't one makes the result NaN, since a compiled function can't refuse it.

    Raises ValueError if the metric has no formula.
    """

    def __init__(self, identifier, name=None, dtype=None):
        self._metric = _common.resolve(_metrics, _metrics.MeanMetricWrapper, identifier)
        self._formula = self._metric.formula()
        self._values = self._formula.keras()
        super().__init__(name=name or self._metric.name, dtype=dtype)
        self._takes_masks = _common.takes_masks(self._metric)
        wide = _common.wide_dtype()
        self._sums = self.add_variable(shape=(2,), initializer="zeros", dtype=wide, name="sums")
        if wide != "float64":
            self._lost = self.add_variable(shape=(2,), initializer="zeros", dtype=wide, name="lost")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Updates the state with a batch. Values of weight 0 and masked values are ignored, even if they are NaN.

        Raises ValueError if the shapes don't fit.
        """
        mask = keras.src.backend.get_keras_mask(y_pred) if self._takes_masks else None
        names = {"y_true": y_true, "y_pred": y_pred, "sample_weight": sample_weight, "mask": mask}
        y_true, y_pred, weight, mask = (
            None if given is None else ops.convert_to_tensor(_common.numbers(given, name)) for name, given in names.items()
        )
        y_true, y_pred = self._matched(y_true, y_pred)
        weight = _combined(weight, mask)
        is_scalar = weight is not None and len(weight.shape) == 0
        weight = None if weight is None else _aligned(weight, self._shape(tuple(y_pred.shape)), self._metric._is_of_loss)
        unused = [] if weight is None else [ops.equal(weight, 0)]
        values = self._values(y_true, ops.stop_gradient(y_pred), *unused)
        self._add(ops.stack(_totals(values, weight, is_scalar, self._sums.dtype)))

    def _matched(self, y_true, y_pred):
        y_true, y_pred = self._metric._arranged(y_true, y_pred)
        if self._formula.inputs["y_true"] == "element" and (len(y_true.shape), len(y_pred.shape)) == (2, 1):
            # As in Keras, a vector matches a column.
            return y_true, ops.expand_dims(y_pred, -1)
        return y_true, y_pred

    def _shape(self, shape):
        """Returns the shape of the values for the shape of ``y_pred``."""
        axis, each = self._formula.axis, self._formula.each
        if each == "element" or each in ("row", "class_id") and len(shape) == 1:
            return shape
        if axis is None:
            return ()
        return shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :] if -len(shape) <= axis < len(shape) else shape

    def _add(self, totals):
        if self._sums.dtype == "float64":
            self._sums.assign_add(totals)
            return
        before = self._sums.value
        after = before + totals
        added = after - before
        lost = (before - (after - added)) + (totals - added)
        self._sums.assign(after)
        # An infinite sum loses nothing.
        self._lost.assign_add(ops.where(ops.isfinite(lost), lost, 0.0))

    def result(self):
        """Returns the result as a tensor of float32, undefined results as ``plugfit.metrics`` does."""
        sums = self._sums.value if self._sums.dtype == "float64" else self._sums.value + self._lost.value
        mean = sums[0] / sums[1]
        of_mean = getattr(self._values, "result", None)
        undefined = float(self._metric._undefined())
        result = ops.where(ops.equal(sums[1], 0), undefined, mean if of_mean is None else of_mean(mean))
        return ops.cast(result, "float32")

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


def _totals(values, weight, is_scalar, dtype):
    """Returns the sums of weight times value and of weight. As in Keras, a sample has the mean of its values: the first
    axis counts samples, and a scalar weight is that of the batch."""
    values = ops.cast(values, dtype)
    shape = ops.shape(values)
    if weight is None:
        return _by_sample(ops.sum(values), shape[1:]), ops.cast(shape[0] if shape else 1, dtype)
    weight = ops.broadcast_to(ops.cast(weight, dtype), shape)
    # Infinity and NaN times 0 are NaN.
    terms = ops.where(ops.equal(weight, 0), 0.0, values * weight)
    return tuple(_by_sample(ops.sum(one), shape[0 if is_scalar else 1 :]) for one in (terms, weight))


def _by_sample(total, shape):
    if all(isinstance(length, int) for length in shape):
        many = max(math.prod(shape), 1)
        return total if many == 1 else total / many
    many = ops.prod(ops.stack([ops.cast(length, total.dtype) for length in shape]))
    return total / ops.maximum(many, 1)


def _aligned(weight, shape, first_only):
    """Returns the weights with as many axes as the values. Weights with fewer axes belong to the first axes if they fit
    those, and to the last otherwise, unless ``first_only``."""
    given = tuple(weight.shape)
    if len(given) == len(shape) + 1 and given[-1] == 1:
        weight, given = ops.squeeze(weight, -1), given[:-1]
    ones = [1] * (len(shape) - len(given))
    if len(given) <= len(shape) and _fits(given, shape):
        return ops.reshape(weight, (*ops.shape(weight), *ones)) if ones else weight
    if len(given) < len(shape) and not first_only and _fits(given, shape[len(ones) :]):
        return ops.reshape(weight, (*ones, *ops.shape(weight)))
    raise ValueError(f"sample_weight of shape {tuple(weight.shape)} doesn't fit the values of shape {shape}")


def _fits(given, lengths):
    return all(one == 1 or one is None or other is None or one == other for one, other in zip(given, lengths))
