"""Optimizers for PyTorch."""

from __future__ import annotations

import torch

from .. import optimizers as _optimizers
from .._config import with_settings
from . import _settings, _state, _update
from ._arrays import is_low_precision
from ._plugin import old_state


class Optimizer(torch.optim.Optimizer):
    """An optimizer of ``torch.optim``.

    A param group has every setting of the optimizer, with ``lr`` for ``learning_rate`` and ``betas`` for ``beta_1`` and
    ``beta_2``, so that PyTorch's schedulers work. Gradients are clipped by ``global_clipnorm`` together with those of all
    groups that have the same value. ``exclude_from_weight_decay``, Muon and MultiOptimizer use the names of
    ``named_parameters``. If the learning rate is a schedule of plugfit, ``lr`` is that of the next step, but isn't updated by
    compiled steps. It must not be changed, except to 0 for a step that changes nothing but the state.

    The plug-in updates float32 parameters on the CPU. If the optimizer has a formula, PyTorch computes all others, and those
    in ``torch.compile``: float64, on another device, and DTensors. Parameters of a lower precision have a copy in float32,
    which is updated and rounded.

    ``state`` has for each parameter ``step``, the number of steps, and the slots as tensors. To read it takes a copy of the
    plug-in's state.
    """

    def __init__(self, params, identifier, exclude_from_weight_decay=(), **settings):
        config, group = _settings.arguments(settings)
        made = _optimizers.get(with_settings(identifier, config))
        if not isinstance(made, _optimizers.Optimizer):
            raise ValueError("this is an optimizer of another framework: use it as it is")
        self._given = made._unstepped()
        if exclude_from_weight_decay:
            self._given.exclude_from_weight_decay(var_names=exclude_from_weight_decay)
        self._engines, self._moved = [], set()
        # The rate of a configuration is rounded to float32.
        config = {**self._given.get_config(), "learning_rate": made._rate()}
        super().__init__(params, {**_settings.group_of(config), "class_name": made._spec["class_name"], **group})

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

        Raises ValueError if a setting is invalid or isn't one of the optimizer, or if settings select parameters by name and
        these have no names.
        """
        group = {**_settings.given(param_group, self.defaults), "class_name": self.defaults["class_name"]}
        if not isinstance(group["params"], (torch.Tensor, set)):
            group["params"] = list(group["params"])
        engine = self._engine_of({**self.defaults, **group})
        self._check_names({**self.defaults, **group})
        super().add_param_group(group)
        self._engines.append(self._engine_of(group, engine))

    def _engine_of(self, group, before=None):
        return _state.Engine(self._given, group, self.defaults, before)

    def _check_names(self, group):
        params = group["params"]
        if "param_names" in group or isinstance(params, list) and (not params or isinstance(params[0], tuple)):
            return
        parts = group.get("optimizer_map") or {}
        by_name = {
            "exclude_from_weight_decay": self._given.__dict__.get("_excluded"),
            "exclude_layers": group.get("exclude_layers"),
            "optimizer_map": parts.get("config", parts).get("optimizer_map"),
        }
        for setting in (setting for setting, found in by_name.items() if found):
            raise ValueError(f"{setting} selects parameters by name, and these have no names: pass model.named_parameters()")

    def __getstate__(self):
        return {**super().__getstate__(), "_given": self._given}

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in (self.defaults, *self.param_groups):  # of an older version
            group.setdefault("class_name", self._given._spec["class_name"])
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
        # To write it in a compiled step would compile each step.
        if not torch.compiler.is_compiling():
            self._show_rates(parts)
        return loss

    def _show_rates(self, parts):
        for engine, group in zip(self._engines, self.param_groups):
            steps = [part.step for part in parts if part.group is group]
            if steps:
                engine.show_rate(group, steps[0])

    def _is_for_plugin(self, index, group):
        """Returns whether the plug-in computes the group."""
        is_clipped_with_others = group["global_clipnorm"] is not None and len(self.param_groups) > 1
        if torch.compiler.is_compiling() or is_clipped_with_others or not all(map(_is_of_plugin, group["params"])):
            return not self._engines[index].has_formula
        return True

    @torch._dynamo.disable
    def _step_in_plugin(self, index):
        group = self.param_groups[index]
        engine, states = self._current(index), self.__dict__["state"]
        engine.check_plugin(group, len(self.param_groups))
        if all(param.grad is None for param in group["params"]):
            return
        is_at_rest = engine.is_at_rest(group)
        if is_at_rest:
            self._take_state()
            engine = self._engine_of({**group, "schedule": None}, engine)
        params, names, working, own = self._held(index, engine, [param.grad is not None or states.get(param) for param in group["params"]])
        gradients = [_checked(param.grad) for param in params]
        rate = None if group["schedule"] and not is_at_rest else group["lr"]
        engine.in_plugin.step(params, names, gradients, working, own, rate)
        self._moved.add(index)
        for param, value in zip(params, working):
            # A state that isn't empty tells tools of PyTorch that the optimizer has made a step.
            states[param].setdefault("step", torch.tensor(0.0))
            if value is not param:
                param.copy_(value)
        if is_at_rest:
            engine.in_plugin.take_state(states)
            self._moved.remove(index)
        elif group["schedule"]:
            group["lr"] = engine.shown_rate = engine.in_plugin.made.learning_rate

    def _held(self, index, engine, chosen):
        """Returns those parameters of a group that are chosen, their names, the tensors that are updated, and the states
        unless the plug-in has them."""
        group, states = self.param_groups[index], self.__dict__["state"]
        params, names = ([one for one, is_chosen in zip(each, chosen) if is_chosen] for each in (group["params"], self._names(index)))
        if index in self._moved and not engine.in_plugin.has_built(params):
            self._take_state()
        working = [_working(param, states[param]) for param in params]
        return params, names, working, None if index in self._moved else [states[param] for param in params]

    def _current(self, index):
        """Returns the engine of a group for its current settings."""
        before, group = self._engines[index], self.param_groups[index]
        before.check(group, self.defaults)
        if before.fits(group):
            return before
        engine = self._engine_of(group, before)
        if index in self._moved and not engine.in_plugin.take_over(before.in_plugin):
            self._take_state()
        self._engines[index] = engine
        return engine

    def _names(self, index):
        """Returns the names of a group's parameters, or numbers."""
        group = self.param_groups[index]
        if "param_names" in group:
            return group["param_names"]
        before = sum(len(other["params"]) for other in self.param_groups[:index])
        return [f"param_{before + number}" for number in range(len(group["params"]))]

    def _init_group(self, group, index, params, gradients, values, steps, averages, sums, decays, slots):
        """Fills lists with the tensors of a group's parameters that have a gradient, whose state it creates. ``slots`` are
        all slots of a parameter, then those of the next. PyTorch's compiler calls a function of this name instead of
        compiling it."""
        self._take_state()
        engine, states = self._current(index), self.__dict__["state"]
        engine.read_formula()
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
            for kept, key in ((averages, "ema"), (sums, "accumulated")):
                if key in state:
                    kept.append(state[key])
            slots.extend(state[key] for key in engine.rule.slots)

    def _parts(self, index, group):
        """Returns the parameters of a group that have a gradient, for each device and dtype."""
        lists = [[] for _ in range(8)]
        self._init_group(group, index, *lists)
        engine = self._engines[index]
        params, gradients, values, steps, averages, sums, decays, slots = lists
        names = list(engine.rule.slots)
        values = [_update.local(value) for value in values]
        gradients = [_update.local(gradient).to(value.dtype) for gradient, value in zip(gradients, values)]
        kinds = [(value.device, value.dtype) for value in values]
        parts = []
        for kind in dict.fromkeys(kinds):
            places = [place for place, other in enumerate(kinds) if other == kind]

            def chosen(tensors):
                return [_update.local(tensors[place]) for place in places] if tensors else []

            step = steps[places[0]]
            own = {name: chosen(slots[number :: len(names)]) for number, name in enumerate(names)}
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
            has_state = [bool(self.__dict__["state"].get(param)) for param in group["params"]]
            if not any(has_state):
                continue
            engine = self._current(index)
            params, names, working, own = self._held(index, engine, has_state)
            engine.in_plugin.finalize(params, names, working, own)
            self._moved.add(index)
            for param, value in zip(params, working):
                if value is not param:
                    param.copy_(value)

    def load_state_dict(self, state_dict):
        """Restores what state_dict returned, also that of older versions, in which the state was bytes.

        Raises ValueError if it is the state of another optimizer, or doesn't fit the parameters.
        """
        given = {}

        def remember(_, state_dict):
            given.update(state_dict)
            loadable = _state.loadable(state_dict, self.param_groups, self.defaults)
            self._check_shapes(given)
            return loadable

        handle = self.register_load_state_dict_pre_hook(remember)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        states = self._saved(given)
        for group, engine in zip(self.param_groups, self._engines):
            if engine.has_formula:
                engine.read_formula()
            _state.restore(group["params"], states, self.__dict__["state"], engine)
            engine.shown_rate = group["lr"]

    def _saved(self, state_dict):
        """Returns the states by parameter of a state dict."""
        params = [param for group in self.param_groups for param in group["params"]]
        if "plugfit" in state_dict:
            return old_state(state_dict, params, [name for index in range(len(self.param_groups)) for name in self._names(index)])
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        return {param: state_dict["state"].get(number, {}) for number, param in zip(numbers, params)}

    def _check_shapes(self, state_dict):
        lengths = [[len(group["params"]) for group in groups] for groups in (state_dict["param_groups"], self.param_groups)]
        if lengths[0] != lengths[1]:  # PyTorch says so.
            return
        saved = self._saved(state_dict)
        for index, (group, engine) in enumerate(zip(self.param_groups, self._engines)):
            if engine.has_formula:
                engine.read_formula()
            _state.check_shapes(zip(group["params"], self._names(index)), saved, engine)


def _is_of_plugin(param):
    """Returns whether the plug-in can update the parameter, or a copy of it."""
    is_plain = type(param) in (torch.Tensor, torch.nn.Parameter) and param.device.type == "cpu"
    return is_plain and (param.dtype == torch.float32 or is_low_precision(param.dtype))


def _working(param, state):
    """Returns the tensor that is updated: the parameter, or its copy in float32, which follows the parameter where that
    was changed."""
    if not is_low_precision(param.dtype):
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
        raise ValueError(f"a gradient is {gradient.layout} of {gradient.dtype}: only dense gradients of real numbers are supported (sparse=False of Embedding)")
    return gradient


def _round(parts):
    """Writes the copies in float32 to their parameters."""
    for part in parts:
        for param, value in zip(part.params, part.values):
            if is_low_precision(param.dtype):
                _update.local(param).copy_(value)
