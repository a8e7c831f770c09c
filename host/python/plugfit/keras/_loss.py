"""The class behind `plugfit.keras.loss`, which is in `__init__.py`. The backend computes the formula, or the plug-in the
values and gradients."""

from __future__ import annotations

import numpy as np

import keras

from .. import losses as _losses
from .._arrays import weighted
from .._component import _dtype_name, formula_of
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class Loss(keras.losses.Loss):
    """A plugfit loss as a Keras loss.

    ``engine="formula"`` makes Keras's backend compute the loss from its formula, and ``engine="native"`` makes the
    plug-in compute it. By default the plug-in computes arrays on the CPU, and the backend all others if there is a
    formula: those in a compiled function, on another device, or of TensorFlow.
    """

    def __init__(self, identifier, name=None, reduction=None, dtype=None, engine=None):
        self._loss = _common.resolve(_losses, _losses.LossFunctionWrapper, identifier)
        dtype = _dtype_name(dtype) or self._loss._given_dtype
        super().__init__(name=name or self._loss.name, reduction=reduction or self._loss.reduction, dtype=dtype)
        if reduction is not None and reduction != self._loss.reduction:
            self._loss = type(self._loss)._from_identifier(_losses._with_reduction(self._loss, reduction), self._loss._function, dtype)
        elif dtype != self._loss._given_dtype:
            self._loss = _losses.get(self._loss, dtype)
        self._engine = engine
        formula = formula_of(self._loss, engine)
        self._formula = None if formula is None else formula.keras()

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = keras.src.backend.get_keras_mask(y_pred)
        y_true, y_pred = _common.numbers(y_true, "y_true"), _common.numbers(y_pred, "y_pred")
        sample_weight = _common.numbers(sample_weight, "sample_weight")
        if isinstance(y_pred, np.ndarray):
            y_pred = keras.ops.convert_to_tensor(y_pred)
        if self._takes_formula(y_true, y_pred, sample_weight, mask):
            found = self._reduced(y_true, y_pred, sample_weight, mask)
        elif _common.native_backend(self._loss) == "jax":
            found = _jax_loss(self._loss, y_true, y_pred, sample_weight, mask)
        else:
            found = _torch_loss(self._loss, self._engine, y_true, y_pred, sample_weight, mask)
        return keras.ops.cast(found, _common.backend_dtype(self.dtype))

    def _takes_formula(self, *arguments):
        """Returns whether Keras computes the loss. PyTorch's adapter chooses by itself."""
        if self._formula is None or _common.backend() == "torch":
            return False
        if self._engine is not None or _common.backend() != "jax":
            return True
        return _common.is_traced(*arguments) or not _common.is_on_cpu(*arguments)

    def _reduced(self, y_true, y_pred, sample_weight, mask):
        dtype = _common.backend_dtype(self.dtype)
        tensor = lambda value: None if value is None else keras.ops.convert_to_tensor(value)
        y_true, y_pred = tensor(y_true), keras.ops.cast(y_pred, dtype)
        sample_weight, mask = tensor(sample_weight), tensor(mask)
        unused = [] if sample_weight is None else [keras.ops.equal(sample_weight, 0)]
        unused += [] if mask is None else [keras.ops.logical_not(keras.ops.cast(mask, "bool"))]
        values = self._formula(y_true, y_pred, *unused)
        reduce = keras.src.losses.loss.reduce_weighted_values
        return reduce(values, sample_weight=sample_weight, mask=mask, reduction=self._loss.reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        """Returns the values without reduction."""
        if self._formula is not None and (_common.backend() == "torch" or self._takes_formula(y_true, y_pred)):
            return self._formula(y_true, y_pred)
        _common.native_backend(self._loss)
        return keras.ops.convert_to_tensor(self._loss.call(_common.to_numpy(y_true), _common.to_numpy(y_pred)))

    def get_config(self):
        """Returns the identifier and Keras's own settings."""
        config = {"identifier": _common.identifier_of(self._loss), "name": self.name, "reduction": self._loss.reduction}
        return config if self._engine is None else {**config, "engine": self._engine}


def _value_and_derivatives(loss, y_true, y_pred, sample_weight, mask, cotangent=None):
    """Returns the loss, and the cotangent's vector-Jacobian product with respect to ``y_pred``. The default is 1."""
    value, derivatives = loss.value_and_gradient(y_true, y_pred, sample_weight, mask)
    if cotangent is None:
        return value, derivatives
    if np.ndim(value) == 0:
        return value, derivatives * derivatives.dtype.type(cotangent)
    # Without reduction, the cotangent is a weight of each value.
    weight = np.asarray(cotangent, derivatives.dtype)
    if sample_weight is not None:
        weight = weighted(weight, sample_weight)
    return value, loss.gradient(y_true, y_pred, weight, mask)


def _jax_loss(loss, y_true, y_pred, sample_weight, mask):
    import jax
    import jax.numpy as jnp

    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    others = {"y_true": y_true}
    if sample_weight is not None:
        others["sample_weight"] = jnp.asarray(sample_weight)
    if mask is not None:
        others["mask"] = jnp.asarray(mask)

    def arguments(others, y_pred):
        others = {name: np.asarray(array) for name, array in others.items()}
        return others["y_true"], np.asarray(y_pred), others.get("sample_weight"), others.get("mask")

    shape = ()
    if loss.reduction == "none" or _common.is_traced(y_pred, *others.values()) and all(isinstance(length, int) for length in y_pred.shape):
        # The shape of the values depends only on the shapes of the inputs. A mismatch raises a clear error here.
        zeros = {name: np.zeros(array.shape, array.dtype) for name, array in {**others, "y_pred": y_pred}.items()}
        shape = np.shape(loss(**zeros))
    dtype = np.dtype(_common.backend_dtype("float64" if loss._given_dtype == "float64" else "float32"))
    of_value = jax.ShapeDtypeStruct(shape, dtype)
    of_derivatives = jax.ShapeDtypeStruct(y_pred.shape, dtype)

    def call(others, y_pred):
        return np.asarray(loss(*arguments(others, y_pred)), dtype)

    def call_both(others, y_pred):
        value, derivatives = _value_and_derivatives(loss, *arguments(others, y_pred))
        return np.asarray(value, dtype), np.asarray(derivatives, dtype)

    def call_vjp(others, y_pred, cotangent):
        return np.asarray(_value_and_derivatives(loss, *arguments(others, y_pred), np.asarray(cotangent))[1], dtype)

    @jax.custom_vjp
    def value_of(y_pred, others):
        return jax.pure_callback(call, of_value, others, y_pred)

    def forward(y_pred, others):
        if shape == ():
            value, derivatives = jax.pure_callback(call_both, (of_value, of_derivatives), others, y_pred)
            return value, (derivatives, y_pred, others)
        return value_of(y_pred, others), (None, y_pred, others)

    def backward(residuals, cotangent):
        derivatives, y_pred, others = residuals
        if derivatives is None:
            derivatives = jax.pure_callback(call_vjp, of_derivatives, others, y_pred, cotangent)
        else:
            derivatives = derivatives * cotangent
        return derivatives.astype(y_pred.dtype), None

    value_of.defvjp(forward, backward)
    return value_of(y_pred, others)


def _torch_loss(loss, engine, y_true, y_pred, sample_weight, mask):
    from .. import torch as _torch

    return _torch.Loss(loss, engine)(y_true, y_pred, sample_weight, mask)
