"""The engines of param groups, and the state of parameters as tensors."""

from __future__ import annotations

import torch

from .. import schedules as _schedules
from .._component import formula_of
from . import _settings
from ._plugin import GroupInPlugin
from ._update import Rule, is_distributed


class Engine:
    """What computes the steps of a group with its current settings: the plug-in, or a formula.

    Raises ValueError if a setting is invalid.
    """

    def __init__(self, given, group, defaults):
        self._settings = {key: group[key] for key in _settings.keys(defaults)}
        self._schedule = group["schedule"]
        self._of_schedule = None if self._schedule is None else _rates(self._schedule)
        #: The rate of the last step of a schedule, which nobody else may change.
        self.shown_rate = group["lr"]
        rate = float(group["lr"]) if self._schedule is None else self._schedule
        config = {**given.get_config(), **_settings.config_of(group, defaults), "learning_rate": rate}
        made = type(given)._from_identifier({"class_name": given._spec["class_name"], "config": config})
        made._excluded = list(given.__dict__.get("_excluded", ()))
        self.name, self.in_plugin = made.name, GroupInPlugin(made)
        formula = formula_of(made, None)
        # A formula with rows needs whole parameters; lists of tensors and shards have none.
        self.has_formula = formula is not None and not formula.has_rows
        self.rule = Rule(formula) if self.has_formula else None
        self.slot_names = list(self.rule.slots) if self.has_formula else []

    def fits(self, group):
        """Returns whether the group still has the settings."""
        return self._schedule == group["schedule"] and all(group[key] == value for key, value in self._settings.items())

    def check_rate(self, group):
        """Raises ValueError if the rate was changed, although it comes from a schedule."""
        if self._schedule is not None and group["lr"] is not self.shown_rate and float(group["lr"]) != float(self.shown_rate):
            raise ValueError(f"lr of {self.name} comes from its schedule: give a number as learning_rate to change it, or to use a scheduler")

    def check_plugin(self, group, groups):
        """Raises ValueError if the plug-in can't compute the group."""
        if group["global_clipnorm"] is not None and groups > 1:
            raise ValueError(
                f"{self.name} has no formula for each element, so global_clipnorm can't be that of {groups} groups: leave it out, and call torch.nn.utils.clip_grad_norm_"
            )
        for param in group["params"]:
            if is_distributed(param):
                raise ValueError(
                    f"{self.name} has no formula for each element and needs whole matrices, but a parameter is a DTensor, of which a rank has a part: "
                    "use an optimizer with a formula, such as AdamW, for sharded parameters"
                )
            if param.device.type != "cpu" or param.dtype not in (torch.float32, torch.float16, torch.bfloat16):
                raise ValueError(
                    f"{self.name} has no formula for each element, so its plug-in updates parameters of float32, float16 and bfloat16 on the CPU; "
                    f"one is {param.dtype} on {param.device}: use an optimizer with a formula, such as AdamW"
                )

    def rate(self, group, step):
        """Returns the learning rate of a step as a tensor."""
        if self._schedule is None:
            rate = group["lr"]
            return rate if isinstance(rate, torch.Tensor) else torch.full((), rate, dtype=step.dtype, device=step.device)
        return self._of_schedule(step)

    def prepare(self, state, value, others):
        """Adds to a parameter's state what it lacks. ``others`` are the states of the group's parameters, with which it
        shares the step count."""
        if "step" not in state:
            state["step"] = _shared_step(value, others)
        for name, initial in self.rule.slots.items():
            if name not in state:
                like = value.new_empty(()) if name in self.rule.numbers else value
                state[name] = torch.full_like(like, initial, memory_format=torch.preserve_format)
        if self._settings["use_ema"] and "ema" not in state:
            state["ema"] = value.detach().clone()
        if self._settings["gradient_accumulation_steps"] and "accumulated" not in state:
            state["accumulated"] = torch.zeros_like(value)


def _rates(identifier):
    """Returns a schedule as a function of a step, a tensor."""
    schedule = _schedules.get(identifier)
    formula = formula_of(schedule, None)
    return (lambda step: torch.tensor(schedule(int(step)))) if formula is None else formula.torch()


def _shared_step(value, states):
    """Returns the step count for a parameter: that of another with its device and dtype, or a new one."""
    counts = [state["step"] for state in states if "step" in state]
    for count in counts:
        if count.device == value.device and count.dtype == _dtype_of_step(value):
            return count
    start = counts[0] if counts else 0.0
    return torch.as_tensor(start, dtype=_dtype_of_step(value), device=value.device).clone()


def _dtype_of_step(value):
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def loadable(state_dict, groups, defaults):
    """Returns a state dict whose groups have all settings.

    Raises ValueError if it is that of another optimizer.
    """
    settings = [key for key in defaults if key not in ("foreach", "schedule", "differentiable")]
    loaded = []
    for saved, group in zip(state_dict["param_groups"], groups):
        # Older versions have no settings in their groups.
        if "plugfit" not in state_dict and any(key not in saved for key in settings):
            raise ValueError("this is another optimizer's state, not one of this optimizer of plugfit.torch")
        own = {key: value for key, value in group.items() if key not in ("params", "param_names")}
        loaded.append({**own, **saved})
    return {**state_dict, "param_groups": loaded + list(state_dict["param_groups"][len(loaded) :])}


def restore(params, saved, states):
    """Moves saved states to the parameters of a group. PyTorch would round them to the parameters' dtype."""
    steps = []
    for param in params:
        state = {}
        for name, value in saved.get(param, {}).items():
            if isinstance(value, torch.Tensor):
                value = value.to(param.device, copy=True) if name != "step" else value
            state[name] = value
        if "step" in state:
            working = state.get("master", param)
            state["step"] = _shared_step(working, [{"step": count} for count in steps or [torch.as_tensor(state["step"]).clone()]])
            steps.append(state["step"])
            states[param] = state
