"""Optimizers: ``get(identifier)``, and a class for each optimizer of a plug-in (``optimizers.AdamW(3e-4)``)."""

from __future__ import annotations

import re
import warnings

import numpy as np

from . import _arrays, _config, _native, _nested, schedules
from ._component import Component
from ._foreign import ForeignOptimizer
from ._frameworks import framework_of
from ._nested import OptimizerMap
from ._registry import Registry

__all__ = ["Optimizer", "OptimizerMap", "ForeignOptimizer", "get", "serialize", "deserialize"]


class Optimizer(Component, _native.Optimizer):
    """An optimizer: ``apply(grads, params, names=None)`` updates float32 arrays in place.

    A step consists of, in Keras's order: divide the gradients by the loss scale, accumulate and clip them; decay
    weights (``p -= p * weight_decay * learning_rate``); apply the optimizer's own update; update the averages. One call
    of the plug-in updates all parameters.
    """

    _silent_keys = ("dtype", "lr", "decay", "jit_compile", "is_legacy_optimizer")

    def apply(self, grads, params, names=None):
        """Updates the parameters by one step.

        ``grads`` contains for each parameter an array of its shape, or None to leave the parameter unchanged.
        ``params`` are float32 arrays (NumPy's, or PyTorch's on the CPU), which are updated in place. ``names`` are the
        unique names of the parameters; exclude_from_weight_decay, Muon and MultiOptimizer select parameters by name.

        Raises ValueError if shapes don't match, names aren't unique or all gradients are None, and TypeError if a
        parameter can't be written.
        """
        grads, params = list(grads), list(params)
        if len(grads) != len(params):
            raise ValueError(f"there are {len(grads)} gradients for {len(params)} parameters")
        if names is not None:
            names = list(map(str, names))
            if len(names) != len(params):
                raise ValueError(f"there are {len(names)} names for {len(params)} parameters")
        check_present([grad is not None for grad in grads], names)
        self._step(grads, params, names)

    def _step(self, grads, params, names):
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        self._build_once(arrays, names)
        self._apply(grads, arrays)
        _arrays.write_back(arrays, params)

    def build(self, params, names=None):
        """Creates the slots for these parameters. :meth:`apply` does it if necessary."""
        self._build_once([_arrays.writeable(param, index) for index, param in enumerate(params)], names)

    def _build_once(self, arrays, names, searched=None):
        # ``searched``: the texts that the expressions of exclude_from_weight_decay search, if they aren't the names.
        if not self._is_built:
            if names is None:
                # A copy of a built optimizer uses the names of the original.
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
        """Excludes parameters from weight decay. Call it before the first step.

        A parameter is excluded if one of the regular expressions ``var_names`` is found in its name, or if its name is
        one of ``var_list``.

        Raises ValueError, without excluding any parameter, if a regular expression is invalid.
        """
        if self._is_built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        words = [var_names] if isinstance(var_names, str) else list(var_names or ())
        for word in words:
            try:
                re.compile(word)
            except (re.error, TypeError, RecursionError, OverflowError) as error:
                raise ValueError(f"{word!r} isn't a regular expression, in var_names of exclude_from_weight_decay: {error}") from None
        names = [_name_of(variable) for variable in var_list or ()]
        added = [(True, name) for name in names] + [(False, word) for word in words]
        self._excluded = list(self.__dict__.get("_excluded", ())) + added

    def finalize(self, params):
        """Moves the parameters to the values at which they are evaluated, such as their average if ``use_ema`` is on.

        Call it once, after training.
        """
        params = list(params)
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        if self.__dict__.get("_names"):  # a copy of a built optimizer
            self._build_once(arrays, None)
        self._finalize(arrays)
        _arrays.write_back(arrays, params)

    @property
    def learning_rate(self):
        """The learning rate of the next step, rounded to float32. It can be set if it doesn't come from a schedule."""
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
        """Returns every setting under Keras's keys, with the current learning rate."""
        config = super().get_config()
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"] = schedules.as_keras(rate)
        elif rate is not None:
            config["learning_rate"] = _config.float32(rate)
        return config

    def _unstepped(self, **settings):
        """Creates an optimizer without steps that has the same exclusions, learning rate and settings, except
        ``settings``."""
        config = {**self.get_config(), **settings}
        other = type(self)._from_identifier({"class_name": self._spec["class_name"], "config": config} if settings else self._identifier)
        other._excluded = list(self.__dict__.get("_excluded", ()))
        if not isinstance(self._rate(), dict) and other.learning_rate != self.learning_rate:
            other.learning_rate = self.learning_rate
        return other

    def _get_pickle_state(self):
        own = self.__dict__
        return {"state": self.get_state(), "excluded": own.get("_excluded", []), "names": own.get("_names")}

    def _set_pickle_state(self, saved):
        self._excluded, self._names = saved["excluded"], saved.get("names")
        self.set_state(saved["state"])


def check_present(present, names):
    """Warns if a parameter has no gradient, for the caller of the caller. Raises ValueError if none has one."""
    without = [index for index, has in enumerate(present) if not has]
    if without:
        if len(without) == len(present):
            raise ValueError("No gradients provided for any variable.")
        shown = [f"params[{index}]" if names is None else names[index] for index in without]
        warnings.warn(f"Gradients do not exist for variables {shown}; they stay as they are.", stacklevel=3)


def _name_of(variable):
    return variable if isinstance(variable, str) else getattr(variable, "path", None) or variable.name


class _Registry(Registry):
    def get(self, identifier):
        """Returns the optimizer for an identifier: a name, a dict as Keras serializes it, or an optimizer. Optimizers
        of torch.optim, Keras and TensorFlow (tf.keras, tf.compat.v1.train) are wrapped. None returns None.

        Raises ValueError for an unknown name or an invalid setting, and TypeError if the object isn't an identifier.
        """
        if isinstance(identifier, ForeignOptimizer):
            return identifier
        if framework_of(identifier) is not None:
            return ForeignOptimizer(identifier)
        return super().get(identifier)


_registry = _Registry("optimizer", Optimizer, _native.Optimizer, "keras.optimizers", bases=_nested.OPTIMIZERS)
get, deserialize = _registry.get, _registry.deserialize


def serialize(optimizer):
    """Returns the optimizer as a dict, which :func:`get` reads. The dict doesn't contain the state."""
    return optimizer._serialize()


__getattr__, __dir__ = _registry.named, _registry.dir
