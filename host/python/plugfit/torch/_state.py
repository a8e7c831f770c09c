"""The engines of param groups, and the state of parameters as tensors."""

from __future__ import annotations

import torch

from .. import schedules as _schedules
from .._component import formula_of
from . import _settings
from ._arrays import is_low_precision
from ._plugin import SHARED, GroupInPlugin
from ._update import Rule, is_distributed


class Engine:
    """What computes the steps of a group with its current settings: the plug-in, or a formula.

    Raises ValueError if a setting is invalid.
    """

    def __init__(self, given, group, defaults, before=None):
        """``before`` is the engine of the group's earlier settings."""
        self._settings = {key: group[key] for key in _settings.keys(defaults)}
        self._schedule = group["schedule"]
        self._of_schedule = None if self._schedule is None else _rates(self._schedule)
        #: The rate that a schedule gives, which nobody else may change.
        self.shown_rate = group["lr"] if before is None or before._schedule != self._schedule else before.shown_rate
        self._keys = set(group)
        rate = float(group["lr"]) if self._schedule is None else self._schedule
        config = {**given.get_config(), **_settings.config_of(group, defaults), "learning_rate": rate}
        made = type(given)._from_identifier({"class_name": given._spec["class_name"], "config": config})
        made._excluded = list(given.__dict__.get("_excluded", ()))
        self.name, self.in_plugin = made.name, GroupInPlugin(made)
        #: How the formula computes a step, after :meth:`read_formula`.
        self.rule, self._made = None, made
        # Whether there is a formula doesn't depend on the settings. To read it takes time, so the plug-in's steps don't.
        self.has_formula = self._formula() is not None if before is None else before.has_formula

    def _formula(self):
        formula = formula_of(self._made, None)
        # A formula with rows needs whole parameters; lists of tensors and shards have none.
        return None if formula is None or formula.has_rows else formula

    def read_formula(self):
        """Creates ``rule``."""
        if self.rule is None:
            self.rule = Rule(self._formula())

    def fits(self, group):
        """Returns whether the group still has the settings."""
        return self._schedule == group["schedule"] and all(group[key] == value for key, value in self._settings.items())

    def check(self, group, defaults):
        """Raises ValueError if a key or the rate of the group is invalid, or if the rate was changed, although it comes
        from a schedule."""
        if group.keys() != self._keys or group.get("differentiable"):
            _settings.check_keys(group, defaults)
            self._keys = set(group)
        rate = group["lr"]
        if self._schedule is not None:
            if self._is_changed(rate) and not self.is_at_rest(group):
                raise ValueError(f"lr of {self.name} comes from its schedule: give a number as learning_rate to change it, or to use a scheduler")
        elif not isinstance(rate, torch.Tensor) or rate.device.type == "cpu":
            # The plug-in has the rate in float32.
            if not 0 <= float(rate) <= torch.finfo(torch.float32).max:
                raise ValueError(f"{float(rate)} can't be a learning rate")

    def is_at_rest(self, group):
        """Returns whether the group makes a step at the rate 0 instead of that of its schedule. Tools of PyTorch make such
        a step to create the state."""
        return self._schedule is not None and self._is_changed(group["lr"]) and float(group["lr"]) == 0

    def _is_changed(self, rate):
        return rate is not self.shown_rate and float(rate) != float(self.shown_rate)

    def show_rate(self, group, step):
        """Writes the rate of the next step to a group with a schedule. On another device than the CPU it is a tensor, for
        which nobody has to wait."""
        if self._schedule is not None and not self.is_at_rest(group):
            rate = self._of_schedule(step)
            group["lr"] = self.shown_rate = float(rate) if rate.device.type == "cpu" else rate

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
            if param.device.type != "cpu" or param.dtype != torch.float32 and not is_low_precision(param.dtype):
                raise ValueError(
                    f"{self.name} has no formula for each element, so its plug-in updates parameters of float32 and lower precisions on the CPU; "
                    f"one is {param.dtype} on {param.device}: use an optimizer with a formula, such as AdamW"
                )

    def rate(self, group, step):
        """Returns the learning rate of a step as a tensor."""
        if self._schedule is None:
            rate = group["lr"]
            return rate if isinstance(rate, torch.Tensor) else torch.full((), rate, dtype=step.dtype, device=step.device)
        if not torch.compiler.is_compiling() and self.is_at_rest(group):
            return torch.zeros_like(step)
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
    settings = [key for key in defaults if key not in ("foreach", "schedule", "differentiable", "class_name")]
    loaded = []
    for saved, group in zip(state_dict["param_groups"], groups):
        # Older versions have no settings in their groups.
        if "plugfit" not in state_dict and any(key not in saved for key in settings):
            raise ValueError("this is another optimizer's state, not one of this optimizer of plugfit.torch")
        of_class = saved.get("class_name", group["class_name"])
        if of_class != group["class_name"]:
            raise ValueError(f"this is another optimizer's state: that of {of_class}, and this optimizer is {group['class_name']}")
        own = {key: value for key, value in group.items() if key not in ("params", "param_names")}
        loaded.append({**own, **saved})
    return {**state_dict, "param_groups": loaded + list(state_dict["param_groups"][len(loaded) :])}


def check_shapes(named, saved, engine):
    """Raises ValueError if a saved state doesn't fit its parameter. ``named`` are the group's parameters with their
    names."""
    for param, name in named:
        for slot, value in saved.get(param, {}).items():
            if not isinstance(value, torch.Tensor) or slot == "step" or slot.startswith(SHARED):
                continue
            is_flat = value.dim() == 1 and value.numel() == param.numel()
            fits = value.shape == param.shape or is_flat or is_distributed(value) != is_distributed(param)
            if engine.rule is None:
                # The plug-in checks the sizes of its own slots, which may be others.
                fits = fits or value.dim() < 2
            elif slot in engine.rule.numbers:
                fits = value.numel() == 1
            if not fits:
                raise ValueError(f"the state {slot!r} of {name} has the shape {list(value.shape)}, and the parameter {list(param.shape)}")


def restore(params, saved, states, engine):
    """Moves saved states to the parameters of a group. PyTorch would round them to the parameters' dtype."""
    steps = []
    for param in params:
        state = {}
        for name, value in saved.get(param, {}).items():
            if isinstance(value, torch.Tensor) and name != "step":
                value = _restored(name, value, param, engine)
            state[name] = value
        if not is_low_precision(param.dtype):
            # The state may be that of a model of a lower precision.
            state.pop("master", None)
        if "step" in state:
            working = state.get("master", param)
            state["step"] = _shared_step(working, [{"step": count} for count in steps or [torch.as_tensor(state["step"]).clone()]])
            steps.append(state["step"])
            states[param] = state


def _restored(slot, value, param, engine):
    """Returns a copy of a saved slot, in the dtype in which the parameter is updated."""
    is_own = engine.rule is not None and (slot in engine.rule.slots or slot in ("ema", "accumulated"))
    dtype = torch.float32 if is_low_precision(param.dtype) else param.dtype
    value = value.to(param.device, dtype if is_own or slot == "master" else None, copy=True)
    if is_distributed(value) or is_distributed(param):
        return value
    if is_own and slot in engine.rule.numbers:
        return value.reshape(())
    return value.reshape(param.shape) if value.numel() == param.numel() and not slot.startswith(SHARED) else value
