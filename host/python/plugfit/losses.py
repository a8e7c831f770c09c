"""Losses: ``get(identifier)``, and a class for each loss that a plug-in has (``losses.Huber(delta=2.0)``)."""

from __future__ import annotations

import functools
import inspect
import re
import weakref

import numpy as np

from . import _native
from ._component import Component, Registry

__all__ = ["Loss", "LossFunctionWrapper", "get", "serialize", "deserialize"]


class Loss(Component, _native.Loss):
    """A loss: ``loss(y_true, y_pred, sample_weight=None, mask=None)`` is a float32, or an array of them where nothing is reduced.

    With ``dtype="float64"`` values and gradients are computed in float64. In any other dtype they are computed in float32 and converted.

    Arrays are anything with numbers: NumPy, DLPack, PyTorch on the CPU, JAX, lists. What is float32 and in C order isn't copied.
    ``gradient(...)`` takes the same and gives the derivative with respect to ``y_pred``.

    A class of one's own writes ``call(y_true, y_pred)``, the values for float32 arrays (float64 with ``dtype="float64"``), and has
    everything else from here but for the gradient.
    """

    _beside = ("dtype",)

    @classmethod
    def _told(cls, identifier, dtype):
        if dtype is None:
            return identifier
        if not isinstance(identifier, dict):
            identifier = {"class_name": identifier}
        config = {key: value for key, value in (identifier.get("config") or {}).items() if key != "dtype"}
        # float64 is computed in; to any other dtype results are converted here.
        return {**identifier, "config": {**config, "dtype": dtype} if dtype == "float64" else config}

    #: Of a class that refuses more shapes than its formula does.
    _check = None

    #: The arguments of a class of one's own.
    _written_with = None

    def __new__(cls, *args, **kwargs):
        if cls._spec is None and cls.call is not Loss.call:
            return cls._written(args, kwargs)
        return Component.__new__(cls, *args, **kwargs)

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None, *args, **kwargs):
        # What there is was made by __new__, which reads the arguments of a class of one's own by their names.
        if self._written_with is None:
            return
        if (reduction or "none") != self.reduction:
            raise TypeError(f"{type(self).__name__}.__init__ must have an argument `reduction`, to pass on")
        if name is not None and name != super().name:
            self._name = name

    @classmethod
    def _written(cls, args, kwargs):
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
        bound.apply_defaults()
        rest = [parameter.name for parameter in bound.signature.parameters.values() if parameter.kind is parameter.VAR_KEYWORD]
        given = {**bound.arguments, **{key: value for name in rest for key, value in bound.arguments[name].items()}}
        name = given.get("name") or _snake_case(cls.__name__)
        config = {"name": name, "reduction": given.get("reduction", "sum_over_batch_size")}
        made = again = None

        def call(y_true, y_pred):
            nonlocal again
            # Whoever has the loss at work may have what is compiled of it alone.
            loss = made() or again
            if loss is None:
                loss = again = cls(*args, **kwargs)
            return loss.call(y_true, y_pred)

        call._is_of_a_class = True
        loss = cls._of({"config": config}, call, given.get("dtype"))
        loss.__class__, loss._written_with = cls, (args, kwargs)
        made = weakref.ref(loss)
        return loss

    def __reduce__(self):
        if self._written_with is None:
            return super().__reduce__()
        args, kwargs = self._written_with
        return functools.partial(type(self), *args, **kwargs), ()

    def __call__(self, y_true, y_pred, sample_weight=None, mask=None):
        """The loss of a batch; weights and the mask broadcast to the values as in Keras."""
        if self._check is not None:
            self._check(y_true, y_pred)
        value = super().__call__(y_true, y_pred, sample_weight, mask)
        return value if self._given_dtype in (None, "float32") else value.astype(_numpy_dtype(self._given_dtype))

    def gradient(self, y_true, y_pred, sample_weight=None, mask=None):
        """The derivative of the reduced loss (of the sum, where nothing is reduced) with respect to y_pred, in its shape."""
        if self._check is not None:
            self._check(y_true, y_pred)
        return super().gradient(y_true, y_pred, sample_weight, mask)

    def value_and_gradient(self, y_true, y_pred, sample_weight=None, mask=None):
        """The loss and its gradient, from one pass."""
        if self._check is not None:
            self._check(y_true, y_pred)
        return super().value_and_gradient(y_true, y_pred, sample_weight, mask)

    @property
    def name(self):
        """What it is called."""
        return self.__dict__.get("_name") or super().name

    def get_config(self):
        """Every setting, under Keras's keys."""
        config = super().get_config()
        return {**config, "name": self.name} if "name" in config else config

    def call(self, y_true, y_pred):
        """The values, not reduced."""
        unreduced = self.__dict__.get("_unreduced")
        if unreduced is None:
            unreduced = self._unreduced = type(self)._of(_with_reduction(self, "none"), self._function, self._given_dtype)
        return unreduced(y_true, y_pred)

    @property
    def dtype(self):
        """What results are in."""
        return self._given_dtype or "float32"


def _snake_case(name):
    """As Keras names its own: MSELoss is mse_loss."""
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
    """A Python function of ``y_true`` and ``y_pred``, float32 arrays (float64 with ``dtype="float64"``), to a value for each sample (or
    more).

    It trains if it has an attribute ``gradient``: a function of the same arrays to the derivative with respect to ``y_pred``.
    """

    def __new__(cls, fn, reduction="sum_over_batch_size", name=None, dtype=None):
        return cls._of_function(fn, reduction, name, dtype)

    def __init__(self, *args, **kwargs):
        pass

    @classmethod
    def _of_function(cls, fn, reduction="sum_over_batch_size", name=None, dtype=None):
        name = name or getattr(fn, "__name__", type(fn).__name__)
        return cls._of({"config": {"name": name, "reduction": reduction}}, fn, dtype)

    @property
    def fn(self):
        """The function."""
        return self._function

    def get_config(self):
        """Its settings; the function is itself among them."""
        return {"name": self.name, "reduction": self.reduction, "fn": self._function}


_registry = Registry("loss", Loss, _native.Loss, "keras.losses", LossFunctionWrapper)


def get(identifier, dtype=None):
    """The loss that an identifier stands for: a name, a dict as Keras serializes it, a loss, a function; None is None.

    With a ``dtype`` it is a loss of that, whatever the identifier says.

    Raises ValueError for an unknown name or a setting that can't be, TypeError for what is no identifier.
    """
    loss = _registry.get(identifier)
    if dtype is None or loss is None:
        return loss
    return type(loss)._of(loss._identifier, loss._function, dtype)


def serialize(loss):
    """The loss as a dict, which :func:`get` reads."""
    return loss._serialize()


def deserialize(config):
    """The loss that :func:`serialize` wrote."""
    return get(config)


def __getattr__(name):
    if name.islower() and not name.startswith("_"):
        return _function(name)
    return _registry.named(name)


def _function(name):
    """Keras's functions: the values of a loss, not reduced."""
    try:
        _native.find("loss", name)
    except ValueError as error:
        raise _registry.missing(name, error if _native.has("loss", name) else None) from None

    def function(y_true, y_pred, **settings):
        return get({"class_name": name, "config": dict(settings, reduction="none")})(y_true, y_pred)

    function.__name__ = name
    function.__doc__ = f"The values of the loss {name}, not reduced; its settings are keyword arguments."
    return function


def __dir__():
    return sorted(set(__all__) | set(_registry.names()))


_registry.make_standard()
