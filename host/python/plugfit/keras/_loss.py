"""The class behind `plugfit.keras.loss`, which is in `__init__.py`. The backend computes the formula, or the plug-in the
values and gradients."""

from __future__ import annotations

import numpy as np

import keras

from .. import losses as _losses
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
        else:
            found = self._native(y_true, y_pred, sample_weight, mask)
        return keras.ops.cast(found, _common.backend_dtype(self.dtype))

    def _takes_formula(self, *arguments):
        """Returns whether Keras computes the loss. PyTorch's adapter chooses by itself."""
        if self._formula is None or _common.backend() == "torch":
            return False
        if self._engine is not None or _common.backend() != "jax":
            return True
        return _common.is_traced(*arguments) or not _common.is_on_cpu(*arguments)

    def _native(self, *arguments):
        """Returns the loss that the plug-in computes."""
        name = _common.native_backend(self._loss)
        if name == "jax":
            from . import _jax_loss

            return _jax_loss.loss(self._loss, *arguments)
        if name == "tensorflow":
            from . import _tensorflow

            return _tensorflow.loss(self._loss, *arguments)
        from .. import torch as _torch

        y_true, y_pred, *others = arguments
        return _torch.Criterion(self._loss, self._engine)(y_pred, y_true, *others)

    def _reduced(self, y_true, y_pred, sample_weight, mask):
        dtype = _common.backend_dtype(self.dtype)
        tensor = lambda value: None if value is None else keras.ops.convert_to_tensor(value)
        y_true, y_pred = tensor(y_true), keras.ops.cast(y_pred, dtype)
        sample_weight, mask = tensor(sample_weight), tensor(mask)
        unused = [] if sample_weight is None else [keras.ops.equal(sample_weight, 0)]
        unused += [] if mask is None else [keras.ops.logical_not(keras.ops.cast(mask, "bool"))]
        values = self._formula(y_true, y_pred, *unused)
        source = keras.src.losses.loss
        if sample_weight is not None and mask is not None:
            # Keras multiplies by the mask, which would keep a weight that is NaN.
            kept, sample_weight = source.squeeze_or_expand_to_same_rank(keras.ops.cast(mask, "bool"), keras.ops.cast(sample_weight, dtype))
            sample_weight = keras.ops.where(kept, sample_weight, 0.0)
        return source.reduce_weighted_values(values, sample_weight=sample_weight, mask=mask, reduction=self._loss.reduction, dtype=dtype)

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
