"""The settings of an optimizer as PyTorch's users know them: keys of a param group.

A group has ``lr`` for the learning rate, ``betas`` for ``beta_1`` and ``beta_2``, and all other settings under their own
names. ``schedule`` is a learning-rate schedule of plugfit as a dict, or None.
"""

from __future__ import annotations

import difflib

import torch

from .. import _config, schedules

#: PyTorch's names of settings that a group may have under another name, or can't have.
_OF_PYTORCH = {
    "alpha", "amsgrad", "beta2_decay", "betas", "capturable", "centered", "d", "dampening", "decoupled_weight_decay", "differentiable",
    "eps", "etas", "fused", "initial_accumulator_value", "lambd", "lr_decay", "maximize", "momentum", "momentum_decay", "nesterov",
    "ns_steps", "rho", "step_sizes", "weight_decay",
}  # fmt: skip

#: What a group has besides settings. ``class_name`` is the optimizer's, which a saved state has too.
_OTHER = {"params", "param_names", "name", "foreach", "schedule", "lr", "differentiable", "class_name"}

#: What PyTorch's schedulers add to a group.
_OF_SCHEDULERS = {"initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum"}

#: The settings that have two names: PyTorch's, and the one that a configuration has.
_ALIASES = {"lr": "learning_rate", "eps": "epsilon", "betas": "beta_1", "schedule": "learning_rate"}


def arguments(settings):
    """Returns the settings that a user gives for all groups, as a configuration and as keys of a group.

    Raises ValueError if a setting is given under two names, or isn't supported.
    """
    settings, group = dict(settings), {}
    _check_aliases(settings)
    _check_differentiable(settings)
    for name in ("foreach", "differentiable"):
        if name in settings:
            group[name] = settings.pop(name)
    for theirs in ("lr", "eps"):
        if theirs in settings:
            settings[_ALIASES[theirs]] = settings.pop(theirs)
    if isinstance(settings.get("learning_rate"), torch.Tensor):  # which may change later
        group["lr"] = settings["learning_rate"]
        settings["learning_rate"] = float(group["lr"])
    if "betas" in settings:
        settings["beta_1"], settings["beta_2"] = settings.pop("betas")
    return settings, group


def _check_aliases(settings):
    for theirs, own in (*_ALIASES.items(), ("betas", "beta_2")):
        if settings.get(theirs) is not None and own in settings:
            raise ValueError(f"{theirs} and {own} are the same setting: give one of them")


def _check_differentiable(settings):
    if settings.get("differentiable"):
        raise ValueError("differentiable=True isn't supported: the steps of this optimizer have no derivatives")


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
    _check_aliases(group)
    if "learning_rate" in group:
        group.update(rate_of(group.pop("learning_rate")))
    elif "lr" in group and not group.get("schedule"):
        group = {**group, **rate_of(group["lr"])}
    if "eps" in group and "epsilon" in defaults:
        group["epsilon"] = group.pop("eps")
    if "betas" in defaults and ("beta_1" in group or "beta_2" in group):
        betas = group.get("betas", defaults["betas"])
        group["betas"] = (group.pop("beta_1", betas[0]), group.pop("beta_2", betas[1]))
    check_keys(group, defaults, 0.85)
    return group


def check_keys(group, defaults, similarity=1.0):
    """Raises ValueError if a group has a key that isn't one of the optimizer, but is the name of a setting or similar to
    one."""
    _check_differentiable(group)
    own = keys(defaults)
    named = [*own, "learning_rate", *(["beta_1", "beta_2"] if "betas" in defaults else [])]
    for key in group:
        if key in defaults or key in _OTHER or key in _OF_SCHEDULERS:
            continue
        if key in _OF_PYTORCH or difflib.get_close_matches(key, named, 1, similarity):
            raise ValueError(f"a param group has the setting {key!r}, which this optimizer doesn't have; it has {', '.join(['lr', *own])}")


def keys(defaults):
    """Returns the names of the settings, without the learning rate."""
    return [key for key in defaults if key not in _OTHER]


def config_of(group, defaults):
    """Returns the configuration of a group's optimizer, without the learning rate."""
    config = {key: group[key] for key in keys(defaults)}
    if "betas" in config:
        config["beta_1"], config["beta_2"] = map(float, config.pop("betas"))
    return config
