"""Optimizers for PyTorch."""

from __future__ import annotations

import torch

from .. import optimizers as _optimizers
from . import _settings, _state, _update
from ._plugin import old_state

_LOW_PRECISION = (torch.float16, torch.bfloat16)


class Optimizer(torch.optim.Optimizer):
    """An optimizer of ``torch.optim``.

    A param group has every setting of the optimizer, with ``lr`` for ``learning_rate`` and ``betas`` for ``beta_1`` and
    ``beta_2``, so that PyTorch's schedulers work. Gradients are clipped by ``global_clipnorm`` together with those of all
    groups that have the same value. ``exclude_from_weight_decay``, Muon and MultiOptimizer use the names of
    ``named_parameters``. If the learning rate is a schedule of plugfit, ``lr`` must not be changed.

    The plug-in updates float32 parameters on the CPU. If the optimizer has a formula, PyTorch computes all others, and those
    in ``torch.compile``: float64, on another device, and DTensors. float16 and bfloat16 parameters have a copy in float32,
    which is updated and rounded.

    ``state`` has for each parameter ``step``, the number of steps, and the slots as tensors. To read it takes a copy of the
    plug-in's state.
    """

    def __init__(self, params, identifier, exclude_from_weight_decay=()):
        made = _optimizers.get(identifier)
        if not isinstance(made, _optimizers.Optimizer):
            raise ValueError("this is an optimizer of another framework: use it as it is")
        self._given = made._unstepped()
        if exclude_from_weight_decay:
            self._given.exclude_from_weight_decay(var_names=exclude_from_weight_decay)
        self._engines, self._moved = [], set()
        super().__init__(params, _settings.group_of({"learning_rate": made.learning_rate, **self._given.get_config()}))

    @property
    def state(self):
        """The state of each parameter: a dict of tensors."""
        self._take_state()
        return self.__dict__["state"]

    @state.setter
    def state(self, state):
        self._moved = set()
        self.__dict__["state"] = state

    def _take_state(self):
        """Moves the state from the plug-in to tensors."""
        for index in sorted(self._moved):
            self._engines[index].in_plugin.take_state(self.__dict__["state"])
        self._moved.clear()

    def add_param_group(self, param_group):
        """Adds a group of parameters, whose other keys are settings.

        Raises ValueError if a setting is invalid or isn't one of the optimizer.
        """
        group = _settings.given(param_group, self.defaults)
        self._engine_of({**self.defaults, **group})
        super().add_param_group(group)
        self._engines.append(self._engine_of(group))

    def _engine_of(self, group):
        return _state.Engine(self._given, group, self.defaults)

    def __getstate__(self):
        return {**super().__getstate__(), "_given": self._given}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._moved = set()
        self._engines = [self._engine_of(group) for group in self.param_groups]

    @torch.no_grad()
    def step(self, closure=None):
        """Updates the parameters by one step. Returns the result of ``closure``.

        Raises ValueError if the optimizer has no formula and a parameter isn't on the CPU, is float64 or is distributed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parts = []
        for index, group in enumerate(self.param_groups):
            if self._is_for_plugin(index, group):
                self._step_in_plugin(index)
            else:
                parts.extend(self._parts(index, group))
        if parts:
            _update.apply(parts)
            _round(parts)
        return loss

    def _is_for_plugin(self, index, group):
        """Returns whether the plug-in computes the group."""
        is_clipped_with_others = group["global_clipnorm"] is not None and len(self.param_groups) > 1
        if torch.compiler.is_compiling() or is_clipped_with_others or not all(map(_is_of_plugin, group["params"])):
            return not self._engines[index].has_formula
        return True

    @torch._dynamo.disable
    def _step_in_plugin(self, index):
        group = self.param_groups[index]
        engine = self._current(index)
        engine.check_plugin(group, len(self.param_groups))
        if all(param.grad is None for param in group["params"]):
            return
        states = self.__dict__["state"]
        places = [place for place, param in enumerate(group["params"]) if param.grad is not None or states.get(param)]
        params, names = [group["params"][place] for place in places], self._names(index)
        if index in self._moved and not engine.in_plugin.has_built(params):
            self._take_state()
        working = [_working(param, states[param]) for param in params]
        gradients = [_checked(param.grad) for param in params]
        own = None if index in self._moved else [states[param] for param in params]
        rate = None if group["schedule"] else group["lr"]
        engine.in_plugin.step(params, [names[place] for place in places], gradients, working, own, rate)
        self._moved.add(index)
        for param, value in zip(params, working):
            # A state that isn't empty tells tools of PyTorch that the optimizer has made a step.
            states[param].setdefault("step", torch.tensor(0.0))
            if value is not param:
                param.copy_(value)
        if group["schedule"]:
            group["lr"] = engine.shown_rate = engine.in_plugin.made.learning_rate

    def _current(self, index):
        """Returns the engine of a group for its current settings."""
        engine, group = self._engines[index], self.param_groups[index]
        if not engine.fits(group):
            self._take_state()
            engine = self._engines[index] = self._engine_of(group)
        engine.check_rate(group)
        return engine

    def _names(self, index):
        """Returns the names of a group's parameters, or numbers."""
        group = self.param_groups[index]
        if "param_names" in group:
            return group["param_names"]
        before = sum(len(other["params"]) for other in self.param_groups[:index])
        return [f"param_{before + number}" for number in range(len(group["params"]))]

    def _init_group(self, group, index, params, gradients, values, steps, averages, sums, decays, *slots):
        """Fills lists with the tensors of a group's parameters that have a gradient, whose state it creates. ``slots`` are
        lists too. PyTorch's compiler calls a function of this name instead of compiling it."""
        self._take_state()
        engine, states = self._current(index), self.__dict__["state"]
        for param, name in zip(group["params"], self._names(index)):
            if param.grad is None:
                continue
            state = states[param]
            values.append(_working(param, state))
            engine.prepare(state, values[-1], [states[other] for other in group["params"] if other in states])
            params.append(param)
            gradients.append(_checked(param.grad))
            steps.append(state["step"])
            decays.append(not self._given._is_excluded(name, name))
            for kept, key in ((averages, "ema"), (sums, "accumulated"), *zip(slots, engine.rule.slots)):
                if key in state:
                    kept.append(state[key])

    def _parts(self, index, group):
        """Returns the parameters of a group that have a gradient, for each device and dtype."""
        names = self._engines[index].slot_names
        lists = [[] for _ in range(7 + len(names))]
        self._init_group(group, index, *lists)
        engine = self._engines[index]
        params, gradients, values, steps, averages, sums, decays, *slots = lists
        values = [_update.local(value) for value in values]
        gradients = [_update.local(gradient).to(value.dtype) for gradient, value in zip(gradients, values)]
        kinds = [(value.device, value.dtype) for value in values]
        parts = []
        for kind in dict.fromkeys(kinds):
            places = [place for place, other in enumerate(kinds) if other == kind]

            def chosen(tensors):
                return [_update.local(tensors[place]) for place in places] if tensors else []

            step = steps[places[0]]
            own = {name: chosen(slot) for name, slot in zip(names, slots)}
            part = [[params[place] for place in places], chosen(values), chosen(gradients), own, chosen(averages), chosen(sums)]
            rate = engine.rate(group, step).to(device=kind[0], dtype=kind[1])
            parts.append(_update.Part(engine.rule, group, *part, [decays[place] for place in places], step, rate))
        return parts

    @torch.no_grad()
    def finalize(self):
        """Moves the parameters to the values at which they are evaluated, such as their averages if ``use_ema`` is on.

        Call it once, after training.
        """
        for index, group in enumerate(self.param_groups):
            if not self._is_for_plugin(index, group):
                for param in group["params"]:
                    if "ema" in self.state.get(param, {}):
                        param.copy_(self.state[param]["ema"])
                continue
            states = self.__dict__["state"]
            places = [place for place, param in enumerate(group["params"]) if states.get(param)]
            if not places:
                continue
            params, names = [group["params"][place] for place in places], self._names(index)
            working = [_working(param, states[param]) for param in params]
            own = None if index in self._moved else [states[param] for param in params]
            self._current(index).in_plugin.finalize(params, [names[place] for place in places], working, own)
            self._moved.add(index)
            for param, value in zip(params, working):
                if value is not param:
                    param.copy_(value)

    def load_state_dict(self, state_dict):
        """Restores what state_dict returned, also that of older versions, in which the state was bytes.

        Raises ValueError if it is the state of another optimizer.
        """
        given = {}

        def remember(_, state_dict):
            given.update(state_dict)
            return _state.loadable(state_dict, self.param_groups, self.defaults)

        handle = self.register_load_state_dict_pre_hook(remember)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        params = [param for group in self.param_groups for param in group["params"]]
        if "plugfit" in given:
            names = [name for index in range(len(self.param_groups)) for name in self._names(index)]
            states = old_state(given, params, names)
        else:
            numbers = [number for group in given["param_groups"] for number in group["params"]]
            states = {param: given["state"].get(number, {}) for number, param in zip(numbers, params)}
        for group, engine in zip(self.param_groups, self._engines):
            _state.restore(group["params"], states, self.__dict__["state"])
            engine.shown_rate = group["lr"]


def _is_of_plugin(param):
    """Returns whether the plug-in can update the parameter, or a copy of it."""
    is_plain = type(param) in (torch.Tensor, torch.nn.Parameter) and param.device.type == "cpu"
    return is_plain and (param.dtype == torch.float32 or param.dtype in _LOW_PRECISION)


def _working(param, state):
    """Returns the tensor that is updated: the parameter, or its copy in float32, which follows the parameter where that
    was changed."""
    if param.dtype not in _LOW_PRECISION:
        return param
    if "master" not in state:
        state["master"] = param.detach().to(torch.float32, copy=True)
    else:
        master = state["master"]
        master.copy_(torch.where(master.to(param.dtype) == param, master, param.to(torch.float32)))
    return state["master"]


def _checked(gradient):
    if gradient is None:
        return None
    if gradient.layout != torch.strided or gradient.is_complex():
        raise ValueError(f"a gradient is {gradient.layout} of {gradient.dtype}: only dense gradients of real numbers are supported")
    return gradient


def _round(parts):
    """Writes the copies in float32 to their parameters."""
    for part in parts:
        for param, value in zip(part.params, part.values):
            if param.dtype in _LOW_PRECISION:
                _update.local(param).copy_(value)
