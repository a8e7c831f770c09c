"""The settings of an optimizer as PyTorch's users know them: keys of a param group.

A group has ``lr`` for the learning rate, ``betas`` for ``beta_1`` and ``beta_2``, and all other settings under their own
names. ``schedule`` is a learning-rate schedule of plugfit as a dict, or None.
"""

from __future__ import annotations

import difflib

from .. import _config, schedules

#: PyTorch's names of settings that a group may have under another name, or can't have.
_OF_PYTORCH = {
    "alpha", "amsgrad", "beta2_decay", "betas", "capturable", "centered", "d", "dampening", "decoupled_weight_decay", "differentiable",
    "eps", "etas", "fused", "initial_accumulator_value", "lambd", "lr_decay", "maximize", "momentum", "momentum_decay", "nesterov",
    "ns_steps", "rho", "step_sizes", "weight_decay",
}  # fmt: skip

#: What a group has besides settings.
_OTHER = {"params", "param_names", "name", "foreach", "schedule", "lr", "initial_lr", "differentiable"}


def group_of(config):
    """Returns the keys of a param group for an optimizer's configuration."""
    settings = {key: value for key, value in config.items() if key not in ("name", "learning_rate", "beta_1", "beta_2")}
    if settings.pop("decay", None):
        raise ValueError("decay isn't a setting of a param group: give the schedule InverseTimeDecay as learning_rate")
    if "beta_1" in config and "beta_2" in config:
        settings["betas"] = (config["beta_1"], config["beta_2"])
    elif "beta_1" in config:
        settings["beta_1"] = config["beta_1"]
    return {**rate_of(config.get("learning_rate", 0.001)), **settings, "foreach": None}


def rate_of(rate):
    """Returns the keys ``lr`` and ``schedule`` of a group for a learning rate, which is a number, a tensor or a schedule."""
    if isinstance(rate, (int, float)) or hasattr(rate, "dtype"):
        return {"lr": rate, "schedule": None}
    schedule = schedules.get(rate)
    return {"lr": schedule(0), "schedule": _config.plain(schedule._serialize())}


def given(group, defaults):
    """Returns a param group that a user gives, with PyTorch's names for its settings.

    Raises ValueError for a setting that the optimizer doesn't have. Other keys of the user's own are kept.
    """
    group = dict(group)
    if "learning_rate" in group:
        group.update(rate_of(group.pop("learning_rate")))
    elif "lr" in group:
        group = {**group, **rate_of(group["lr"])}
    if "eps" in group and "epsilon" in defaults:
        group["epsilon"] = group.pop("eps")
    if "betas" in defaults and ("beta_1" in group or "beta_2" in group):
        betas = group.get("betas", defaults["betas"])
        group["betas"] = (group.pop("beta_1", betas[0]), group.pop("beta_2", betas[1]))
    own = [key for key in defaults if key not in _OTHER]
    for key in group:
        if key in defaults or key in _OTHER:
            continue
        if key in _OF_PYTORCH or difflib.get_close_matches(key, own, 1, 0.85):
            raise ValueError(f"a param group has the setting {key!r}, which this optimizer doesn't have; it has {', '.join(['lr', *own])}")
    return group


def keys(defaults):
    """Returns the names of the settings, without the learning rate."""
    return [key for key in defaults if key not in _OTHER]


def config_of(group, defaults):
    """Returns the configuration of a group's optimizer, without the learning rate."""
    config = {key: group[key] for key in keys(defaults)}
    if "betas" in config:
        config["beta_1"], config["beta_2"] = map(float, config.pop("betas"))
    return config
