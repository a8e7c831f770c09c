"""Optimizers that wrap other optimizers: Keras's OptimizerMap, LossScaleOptimizer and MultiOptimizer."""

from __future__ import annotations

import re

from ._foreign import ForeignOptimizer
from ._registry import Registry


class OptimizerMap(dict):
    """A map from parameters to the optimizers of a MultiOptimizer.

    A key is a parameter's path, or a regular expression that matches a whole path. ``default_optimizer`` trains all
    other parameters. Only the settings of the optimizers are used; MultiOptimizer has the state.
    """

    def __init__(self, default_optimizer, optimizer_map=None):
        super().__init__()
        self.default_optimizer = default_optimizer
        for pattern, optimizer in (optimizer_map or {}).items():
            self[pattern] = optimizer

    def __setitem__(self, pattern, optimizer):
        if not isinstance(pattern, str):
            raise ValueError(f"key must be a string. Received: {pattern}")
        if pattern in self:
            raise ValueError(f"'{pattern}' already exists in the OptimizerMap with value {self[pattern]}.")
        if type(optimizer).__name__ in ("LossScaleOptimizer", "MultiOptimizer"):
            raise ValueError(f"optimizer cannot be {type(optimizer).__name__}.")
        super().__setitem__(pattern, optimizer)

    def __call__(self, variable):
        """Returns the optimizer of a path, or of a variable."""
        path = variable if isinstance(variable, str) else variable.path
        if path in self:
            return self[path]
        matching = [optimizer for pattern, optimizer in self.items() if re.fullmatch(pattern, path)]
        if len(matching) > 1:
            raise ValueError(f"Multiple optimizers assigned to variable {path}.")
        return matching[0] if matching else self.default_optimizer

    def get_config(self):
        """Returns the configuration as Keras writes it."""
        optimizers = {pattern: _serialized(optimizer) for pattern, optimizer in self.items()}
        return {"default_optimizer": _serialized(self.default_optimizer), "optimizer_map": optimizers}

    def _serialize(self):
        return {"module": "keras.optimizers", "class_name": "OptimizerMap", "config": self.get_config(), "registered_name": None}


def _serialized(identifier):
    found = Registry.of_kind("optimizer").get(identifier)
    if isinstance(found, ForeignOptimizer):
        name = type(found._given).__name__
        raise TypeError(f"{found} can't be inside another optimizer; give plugfit.optimizers.{name} or its configuration")
    return found._serialize()


class _LossScale:
    """A base of LossScaleOptimizer, which leaves the settings of every optimizer to its inner optimizer."""

    _refused = {
        "weight_decay": None,
        "clipnorm": None,
        "global_clipnorm": None,
        "clipvalue": None,
        "use_ema": False,
        "ema_momentum": 0.99,
        "ema_overwrite_frequency": None,
        "loss_scale_factor": None,
        "gradient_accumulation_steps": None,
    }

    @classmethod
    def _arguments(cls, args, kwargs):
        kwargs = dict(kwargs)
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set `loss_scale_factor` directly on the "
                "`inner_optimizer`."
            )
        for key, default in cls._refused.items():
            if kwargs.pop(key, default) != default:
                raise ValueError(f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on the `inner_optimizer`.")
        unknown = [key for key in kwargs if key not in cls._spec["keys"]]
        if unknown:
            raise ValueError(f"LossScaleOptimizer does not support arguments: `{'`, `'.join(unknown)}`.")
        return super()._arguments(args, kwargs)

    def get_config(self):
        """Returns the configuration as Keras writes it."""
        config = super().get_config()
        settings = {key: config[key] for key in ("name", "initial_scale", "dynamic_growth_steps")}
        return dict(settings, inner_optimizer=_serialized(config["inner_optimizer"]))


class _Multi:
    """A base of MultiOptimizer, which leaves the settings of every optimizer to its parts."""

    def get_config(self):
        """Returns the configuration as Keras writes it."""
        config = super().get_config()
        given = config["optimizer_map"].get("config", config["optimizer_map"])
        parts = OptimizerMap(given["default_optimizer"], given.get("optimizer_map"))
        return {"name": config["name"], "optimizer_map": parts._serialize(), "loss_scale_factor": config["loss_scale_factor"]}


#: The additional bases of optimizers, by class.
OPTIMIZERS = {"LossScaleOptimizer": _LossScale, "MultiOptimizer": _Multi}
