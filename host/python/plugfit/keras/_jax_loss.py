"""Losses without a formula as functions of JAX arrays: the plug-in computes the value and the gradient."""

from __future__ import annotations

import numpy as np

import jax
import jax.numpy as jnp

from .._arrays import weighted
from . import _common, _xla


def loss(loss, y_true, y_pred, sample_weight, mask):
    """Returns the loss. It is differentiable with respect to ``y_pred``."""
    given = {"y_true": y_true, "sample_weight": sample_weight, "mask": mask}
    others = {name: jnp.asarray(array) for name, array in given.items() if array is not None}
    y_pred = jnp.asarray(y_pred)
    plugin = _Plugin(loss)
    shape = ()
    if loss.reduction == "none" or _common.is_traced(y_pred, *others.values()) and all(isinstance(length, int) for length in y_pred.shape):
        # The shape of the values depends only on the shapes of the inputs. A mismatch raises a clear error here.
        zeros = {name: np.zeros(array.shape, array.dtype) for name, array in {**others, "y_pred": y_pred}.items()}
        shape = np.shape(loss(**zeros))
    of_value, of_derivatives = (jax.ShapeDtypeStruct(each, plugin.dtype) for each in (shape, y_pred.shape))

    @jax.custom_vjp
    def value_of(y_pred, others):
        return plugin.call([of_value], y_pred, others)[0]

    def forward(y_pred, others):
        if shape == ():
            value, derivatives = plugin.call([of_value, of_derivatives], y_pred, others)
            return value, (derivatives, y_pred, others)
        return value_of(y_pred, others), (None, y_pred, others)

    def backward(residuals, cotangent):
        derivatives, y_pred, others = residuals
        if derivatives is not None:
            derivatives = derivatives * cotangent
        else:
            # Without reduction, the cotangent is a weight of each value.
            weight = cotangent if "sample_weight" not in others else weighted(cotangent, others["sample_weight"])
            _, derivatives = plugin.call([of_value, of_derivatives], y_pred, {**others, "sample_weight": weight})
        return derivatives.astype(y_pred.dtype), None

    value_of.defvjp(forward, backward)
    return value_of(y_pred, others)


class _Plugin:
    """The calls of a loss: the value, or the value and the gradient with respect to ``y_pred``."""

    def __init__(self, loss):
        self._loss = loss
        self.dtype = np.dtype(_common.backend_dtype("float64" if loss._given_dtype == "float64" else "float32"))

    def call(self, results, y_pred, others):
        """Computes one result, or both."""
        names, arrays = ["y_pred", *others], [y_pred, *others.values()]

        def compute(*arrays):
            given = dict(zip(names, map(np.asarray, arrays)))
            found = [self._loss(**given)] if len(results) == 1 else self._loss.value_and_gradient(**given)
            return [np.asarray(each, self.dtype) for each in found]

        if not _is_foreign(self._loss, self.dtype):
            return _xla.call(None, compute, results, arrays, self._loss.name, None)
        attributes = {**_xla.attributes_of("loss", self._loss), "inputs": " ".join(names)}
        return _xla.call("plugfit_loss", compute, results, arrays, self._loss.name, attributes)


def _is_foreign(loss, dtype):
    """Returns whether there is a native function for the loss."""
    # JAX without 64-bit dtypes has no results in the dtype in which a float64 loss computes.
    return _xla.is_available() and loss._function is None and (loss._given_dtype != "float64" or dtype == np.float64)
