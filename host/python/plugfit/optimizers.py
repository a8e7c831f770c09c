"""Optimizers: ``get(identifier)``, and a class for each optimizer that a plug-in has (``optimizers.AdamW(3e-4)``)."""

from __future__ import annotations

import re
import warnings

import numpy as np

from . import _arrays, _config, _native, schedules
from ._component import Component, Registry
from ._foreign import ForeignOptimizer
from ._nested import OptimizerMap

__all__ = ["Optimizer", "OptimizerMap", "ForeignOptimizer", "get", "serialize", "deserialize"]


class Optimizer(Component, _native.Optimizer):
    """An optimizer: ``apply(grads, params, names=None)`` updates float32 arrays in place.

    A step is, in Keras's order: the gradients by the loss scale, accumulated, clipped; ``p -= p * weight_decay * learning_rate``; the
    optimizer's own update; the averages. One call of the plug-in sees to all parameters.
    """

    _silent_keys = ("dtype", "lr", "decay", "jit_compile", "is_legacy_optimizer")

    def __new__(cls, *args, **kwargs):
        return Component.__new__(cls, *args, **kwargs)

    def apply(self, grads, params, names=None):
        """A step. ``grads``: for each parameter an array of its shape, or None to leave the parameter as it is. ``params``: float32
        arrays (NumPy's, or PyTorch's on the CPU), which are written in place. ``names``: the parameters' names, unique; they decide what
        exclude_from_weight_decay, Muon and MultiOptimizer take for what.

        Raises ValueError where shapes don't fit, names aren't unique or there is no gradient at all, TypeError for parameters that can't
        be written.
        """
        grads, params = list(grads), list(params)
        if len(grads) != len(params):
            raise ValueError(f"there are {len(grads)} gradients for {len(params)} parameters")
        without = [index for index, grad in enumerate(grads) if grad is None]
        if without:
            if len(without) == len(grads):
                raise ValueError("No gradients provided for any variable.")
            shown = [str(names[index]) if names is not None else f"params[{index}]" for index in without]
            warnings.warn(f"Gradients do not exist for variables {shown}; they stay as they are.", stacklevel=2)
        self._step(grads, params, names)

    def _step(self, grads, params, names):
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        self._build_once(arrays, names)
        self._apply(grads, arrays)
        _arrays.write_back(arrays, params)

    def build(self, params, names=None):
        """Makes the slots for these parameters; :meth:`apply` does it where it wasn't done."""
        self._build_once([_arrays.writeable(param, index) for index, param in enumerate(params)], names)

    def _build_once(self, arrays, names, searched=None):
        # ``searched``: for each parameter what the expressions of exclude_from_weight_decay are looked for in, where it isn't the name.
        if not self._is_built:
            if names is None:
                # A copy of one that was built goes by the names of that.
                names = self.__dict__.get("_names") or [f"param_{index}" for index in range(len(arrays))]
            names = list(map(str, names))
            if len(names) != len(arrays):
                raise ValueError(f"there are {len(names)} names for {len(arrays)} parameters")
            if len(set(names)) != len(names):
                raise ValueError("the names of the parameters aren't unique")
            searched = names if searched is None else searched
            self._build(names, arrays, [name for name, text in zip(names, searched) if self._is_excluded(name, text)])
            self._names = names
        elif names is not None and list(map(str, names)) != self._names:
            raise ValueError(f"the optimizer was built for parameters of other names: {', '.join(self._names)}")

    def _is_excluded(self, name, searched):
        excluded = self.__dict__.get("_excluded", ())
        return any(name == text if is_name else re.search(text, searched) for is_name, text in excluded)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leaves parameters out of weight decay: those in whose name one of ``var_names``, regular expressions, is found, and those of
        the very names of ``var_list``. Before the first step.

        Raises ValueError for what is no regular expression, and then excludes none.
        """
        if self._is_built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        words = [var_names] if isinstance(var_names, str) else list(var_names or ())
        for word in words:
            try:
                re.compile(word)
            except (re.error, TypeError, RecursionError, OverflowError) as error:
                raise ValueError(f"{word!r} is no regular expression, in var_names of exclude_from_weight_decay: {error}") from None
        names = [_name_of(variable) for variable in var_list or ()]
        added = [(True, name) for name in names] + [(False, word) for word in words]
        self._excluded = list(self.__dict__.get("_excluded", ())) + added

    def finalize(self, params):
        """Moves the parameters to where they shall be evaluated, once, when training is over: to their average, where ``use_ema`` is on."""
        params = list(params)
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        if self.__dict__.get("_names"):  # a copy of one that was built
            self._build_once(arrays, None)
        self._finalize(arrays)
        _arrays.write_back(arrays, params)

    @property
    def learning_rate(self):
        """The learning rate of the next step, as the float32 it is; can be set, where it doesn't come from a schedule."""
        return _config.float32(self._learning_rate())

    @learning_rate.setter
    def learning_rate(self, rate):
        if isinstance(self._rate(), dict):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor argument, "
                "hence its learning rate is not settable: make another optimizer and give it the state of this one."
            )
        number = np.asarray(rate)
        if number.size != 1 or number.dtype.kind not in "iuf":
            raise TypeError(f"a learning rate is a number, not {rate!r}")
        self._set_learning_rate(float(number.reshape(())))

    lr = learning_rate

    def _rate(self):
        return Component.get_config(self).get("learning_rate")

    def get_config(self):
        """Every setting, under Keras's keys; the learning rate as it is now."""
        config = super().get_config()
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"] = schedules.as_keras(rate)
        elif rate is not None:
            config["learning_rate"] = _config.float32(rate)
        return config

    def _unstepped(self, **settings):
        """Another of the same exclusions, learning rate and settings, but for those given, which has made no step."""
        config = {**self.get_config(), **settings}
        other = type(self)._of({"class_name": self._spec["class_name"], "config": config} if settings else self._identifier)
        other._excluded = list(self.__dict__.get("_excluded", ()))
        if not isinstance(self._rate(), dict) and other.learning_rate != self.learning_rate:
            other.learning_rate = self.learning_rate
        return other

    def _saved(self):
        own = self.__dict__
        return {"state": self.get_state(), "excluded": own.get("_excluded", []), "names": own.get("_names")}

    def _go_on(self, saved):
        self._excluded, self._names = saved["excluded"], saved.get("names")
        self.set_state(saved["state"])


def _name_of(variable):
    return variable if isinstance(variable, str) else getattr(variable, "path", None) or variable.name


_registry = Registry("optimizer", Optimizer, _native.Optimizer, "keras.optimizers", None)


def get(identifier):
    """The optimizer that an identifier stands for: a name, a dict as Keras serializes it, an optimizer; one of torch.optim is wrapped, and
    one of Keras's too; None is None.

    Raises ValueError for an unknown name or a setting that can't be, TypeError for what is no identifier.
    """
    if isinstance(identifier, ForeignOptimizer):
        return identifier
    if hasattr(identifier, "param_groups") and hasattr(identifier, "defaults"):
        return ForeignOptimizer(identifier)
    if not isinstance(identifier, type) and _config.is_keras(identifier) and hasattr(identifier, "apply_gradients"):
        return ForeignOptimizer(identifier)
    return _registry.get(identifier)


def serialize(optimizer):
    """The optimizer as a dict, which :func:`get` reads; not its state."""
    return optimizer._serialize()


def deserialize(config):
    """The optimizer that :func:`serialize` wrote."""
    return get(config)


def __getattr__(name):
    return _registry.named(name)


def __dir__():
    return sorted(set(__all__) | set(_registry.names()))


_registry.make_standard()
