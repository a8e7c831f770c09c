"""Losses: ``get(identifier)``, and a class for each loss of a plug-in (``losses.Huber(delta=2.0)``)."""

from __future__ import annotations

import functools
import inspect
import re
import weakref

import numpy as np

from . import _classes, _native
from ._component import Component
from ._registry import Registry

__all__ = ["Loss", "LossFunctionWrapper", "get", "serialize", "deserialize"]


class Loss(Component, _native.Loss):
    """A loss: ``loss(y_true, y_pred, sample_weight=None, mask=None)`` returns a float32, or an array without reduction.

    With ``dtype="float64"`` values and gradients are computed in float64. With any other dtype they are computed in
    float32 and converted.

    Array arguments may be NumPy, DLPack, PyTorch on the CPU, JAX or lists. float32 in C order isn't copied.
    Further inputs of a plug-in's loss are given by name: ``loss(y_true, y_pred, variance=...)``.
    ``gradient(...)`` takes the same arguments and returns the derivative with respect to ``y_pred``.

    A subclass may implement ``call(y_true, y_pred)``, which returns the values for float32 arrays (float64 with
    ``dtype="float64"``). It inherits everything else except the gradient.
    """

    _extra_arguments = ("dtype",)

    @classmethod
    def _native_identifier(cls, identifier, dtype):
        if dtype is None:
            return identifier
        if not isinstance(identifier, dict):
            identifier = {"class_name": identifier}
        config = {key: value for key, value in (identifier.get("config") or {}).items() if key != "dtype"}
        # The native loss computes in float64 if requested. Results are converted to any other dtype in this module.
        return {**identifier, "config": {**config, "dtype": dtype} if dtype == "float64" else config}

    #: The arguments of an instance of a user's class.
    _user_arguments = None

    def __new__(cls, *args, **kwargs):
        if cls._spec is None and cls.call is not Loss.call:
            return cls._from_user_class(args, kwargs)
        return Component.__new__(cls, *args, **kwargs)

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None, *args, **kwargs):
        # __new__ has initialised the instance. It reads the arguments of a user's class by their names.
        if self._user_arguments is None:
            return
        if (reduction or "none") != self.reduction:
            raise TypeError(f"{type(self).__name__}.__init__ must have an argument `reduction`, to pass on")
        if name is not None and name != super().name:
            self._name = name

    @classmethod
    def _from_user_class(cls, args, kwargs):
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
        bound.apply_defaults()
        rest = [parameter.name for parameter in bound.signature.parameters.values() if parameter.kind is parameter.VAR_KEYWORD]
        given = {**bound.arguments, **{key: value for name in rest for key, value in bound.arguments[name].items()}}
        name = given.get("name") or _snake_case(cls.__name__)
        config = {"name": name, "reduction": given.get("reduction", "sum_over_batch_size")}
        reference = recreated = None

        def call(y_true, y_pred):
            nonlocal recreated
            # A compiled model may be the only user of the loss, and refers to this function, not to the loss.
            loss = reference() or recreated
            if loss is None:
                loss = recreated = cls(*args, **kwargs)
            return loss.call(y_true, y_pred)

        call._is_of_a_class = True
        loss = cls._from_identifier({"config": config}, call, given.get("dtype"))
        loss.__class__, loss._user_arguments = cls, (args, kwargs)
        reference = weakref.ref(loss)
        return loss

    def __reduce__(self):
        if self._user_arguments is None:
            return super().__reduce__()
        args, kwargs = self._user_arguments
        return functools.partial(type(self), *args, **kwargs), ()

    def __call__(self, y_true, y_pred, sample_weight=None, mask=None, **inputs):
        """Returns the loss of a batch. Weights and the mask broadcast to the values as in Keras."""
        self._check(y_true, y_pred)
        value = super().__call__(y_true, y_pred, sample_weight, mask, **inputs)
        return value if self._given_dtype in (None, "float32") else value.astype(_numpy_dtype(self._given_dtype))

    def gradient(self, y_true, y_pred, sample_weight=None, mask=None, **inputs):
        """Returns the gradient of the reduced loss (of the sum without reduction) with respect to y_pred, in its
        shape."""
        self._check(y_true, y_pred)
        return super().gradient(y_true, y_pred, sample_weight, mask, **inputs)

    def value_and_gradient(self, y_true, y_pred, sample_weight=None, mask=None, **inputs):
        """Returns the loss and its gradient, computed in one pass."""
        self._check(y_true, y_pred)
        return super().value_and_gradient(y_true, y_pred, sample_weight, mask, **inputs)

    def _check(self, y_true, y_pred):
        """Refuses shapes that Keras refuses, beyond those that the formula refuses."""

    @property
    def name(self):
        """The name."""
        return self.__dict__.get("_name") or super().name

    def get_config(self):
        """Returns every setting under Keras's keys."""
        config = super().get_config()
        return {**config, "name": self.name} if "name" in config else config

    def call(self, y_true, y_pred):
        """Returns the values without reduction."""
        unreduced = self.__dict__.get("_unreduced")
        if unreduced is None:
            unreduced = self._unreduced = type(self)._from_identifier(_with_reduction(self, "none"), self._function, self._given_dtype)
        return unreduced(y_true, y_pred)

    @property
    def dtype(self):
        """The dtype of results."""
        return self._given_dtype or "float32"


def _snake_case(name):
    """Converts a class name as Keras does: MSELoss to mse_loss."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _numpy_dtype(name):
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(name)


def _with_reduction(loss, reduction):
    if loss._function is not None:
        return {"config": {"name": loss.name, "reduction": reduction}}
    config = dict(loss.get_config(), reduction=reduction)
    return {"class_name": loss._spec["class_name"], "config": config}


class LossFunctionWrapper(Loss):
    """A loss from a Python function of ``y_true`` and ``y_pred``, which returns one or more values per sample.

    The arrays are float32, or float64 with ``dtype="float64"``. For training, the function needs an attribute
    ``gradient``: a function of the same arrays that returns the derivative with respect to ``y_pred``.
    """

    def __new__(cls, fn, reduction="sum_over_batch_size", name=None, dtype=None):
        return cls._from_function(fn, reduction, name, dtype)

    def __init__(self, *args, **kwargs):
        pass

    @classmethod
    def _from_function(cls, fn, reduction="sum_over_batch_size", name=None, dtype=None):
        name = name or getattr(fn, "__name__", type(fn).__name__)
        return cls._from_identifier({"config": {"name": name, "reduction": reduction}}, fn, dtype)

    @property
    def fn(self):
        """The function."""
        return self._function

    def get_config(self):
        """Returns the settings, including the function itself."""
        return {"name": self.name, "reduction": self.reduction, "fn": self._function}


class _Registry(Registry):
    def get(self, identifier, dtype=None):
        """Returns the loss for an identifier: a name, a dict as Keras serializes it, a loss or a function. None returns
        None.

        ``dtype`` overrides the dtype in the identifier.

        Raises ValueError for an unknown name or an invalid setting, and TypeError if the object isn't an identifier.
        """
        loss = super().get(identifier)
        if dtype is None or loss is None:
            return loss
        return type(loss)._from_identifier(loss._identifier, loss._function, dtype)

    def named(self, name):
        """Returns the class with this name, or for a name in lower case the function."""
        return _function(name) if name.islower() and not name.startswith("_") else super().named(name)


def _function(name):
    """Returns a function like those of Keras: the values of a loss without reduction."""
    try:
        _native.find("loss", name)
    except ValueError as error:
        raise _registry.missing(name, error if _native.has("loss", name) else None) from None

    def function(y_true, y_pred, **settings):
        return get({"class_name": name, "config": dict(settings, reduction="none")})(y_true, y_pred)

    function.__name__ = name
    function.__doc__ = f"Returns the values of the loss {name} without reduction. Its settings are keyword arguments."
    return function


_registry = _Registry("loss", Loss, _native.Loss, "keras.losses", LossFunctionWrapper, _classes.LOSSES)
get, deserialize = _registry.get, _registry.deserialize


def serialize(loss):
    """Returns the loss as a dict, which :func:`get` reads. The dict doesn't contain the state."""
    return loss._serialize()


__getattr__, __dir__ = _registry.named, _registry.dir
