"""The steps of a param group that the plug-in computes.

Between the steps of the plug-in, it has the state. It is given back as tensors whenever the optimizer's ``state`` is
read.
"""

from __future__ import annotations

import numpy as np

import torch

from . import _slots
from ._arrays import array

#: The prefix of the names of slots that belong to all parameters of a group.
SHARED = "shared."


class GroupInPlugin:
    """A group's optimizer in the plug-in. ``made`` is an optimizer without steps."""

    def __init__(self, made):
        self.made = made
        self._params, self._names, self._working = [], [], []

    def take_over(self, other):
        """Takes the state of the same group's optimizer of other settings before the first step. Returns whether it fits
        these settings."""
        self.made.build(other._working, other._names)
        state = other.made.get_state()
        arrays = _slots.read(state)
        if arrays.pop("learning_rate", None) is not None:
            state = _slots.write(arrays)
        try:
            self.made.set_state(state)
        except ValueError:  # It has other slots.
            self.made = self.made._unstepped()
            return False
        self._params, self._names, self._working = other._params, other._names, other._working
        return True

    def step(self, params, names, gradients, working, states, rate):
        """Updates ``working``, the float32 tensors of the parameters, in place. Parameters without a gradient stay as they
        are.

        ``states`` are the states of the parameters if they are tensors; None: the plug-in has them. ``rate`` is the
        learning rate; None: the optimizer has a schedule.
        """
        if states is not None:
            self._build(params, names, working, states)
        if rate is not None and float(np.float32(rate)) != self.made.learning_rate:
            self.made.learning_rate = float(rate)
        self.made._step([None if gradient is None else array(gradient) for gradient in gradients], working, names)

    def has_built(self, params):
        """Returns whether the plug-in was built for these parameters."""
        return len(params) == len(self._params) and all(one is other for one, other in zip(params, self._params))

    def finalize(self, params, names, working, states):
        """Moves the parameters to the values at which they are evaluated."""
        if states is not None:
            self._build(params, names, working, states)
        self.made.finalize(working)

    def _build(self, params, names, working, states):
        """Creates the slots, with the values of the states that exist."""
        self.made = self.made._unstepped()
        self._params, self._names, self._working = params, names, working
        self.made.build(working, names)
        if not any("step" in state for state in states):
            return
        arrays = _slots.read(self.made.get_state())
        arrays.pop("learning_rate", None)
        of_path = dict(zip(names, states))
        steps = next(state["step"] for state in states if "step" in state)
        first = next(state for state in states if "step" in state)
        for name, initial in arrays.items():
            if name == "steps":
                arrays[name] = np.array([round(float(steps))], initial.dtype)
                continue
            path, slot = _slots.split(name, of_path)
            kept = of_path[path].get(slot) if path else first.get(SHARED + slot)
            if kept is not None:
                if kept.numel() != initial.size:
                    raise ValueError(f"the state {slot!r} of {path or 'the group'} has {kept.numel()} numbers, not {initial.size}")
                arrays[name] = array(kept).astype(initial.dtype).reshape(-1)
        self.made.set_state(_slots.write(arrays))

    def take_state(self, states):
        """Moves the plug-in's state to ``states``, dicts from each parameter's slots to tensors."""
        arrays = _slots.read(self.made.get_state())
        self.made = self.made._unstepped()
        steps = torch.tensor(float(arrays["steps"][0]))
        of_path = {name: (param, states[param]) for name, param in zip(self._names, self._params)}
        for state in (state for _, state in of_path.values()):
            state["step"] = steps
        for name, found in arrays.items():
            place = _slots.split(name, of_path)
            if place is None:
                continue
            path, slot = place
            if path:
                param, state = of_path[path]
                state[slot] = torch.from_numpy(found.copy()).reshape(param.shape if found.size == param.numel() else (-1,))
            else:
                shared = torch.from_numpy(found.copy())
                for _, state in of_path.values():
                    state[SHARED + slot] = shared


def old_state(state_dict, params, names):
    """Returns the states by parameter of a state dict that holds the plug-in's state as bytes, as older versions wrote
    it."""
    arrays = _slots.read(state_dict["plugfit"].numpy().tobytes())
    # Parameters without names are numbered.
    of_path = {**{f"param_{index}": param for index, param in enumerate(params)}, **dict(zip(names, params))}
    steps = torch.tensor(float(arrays["steps"][0]))
    states = {param: {"step": steps} for param in params} if steps else {}
    for name, found in arrays.items():
        place = _slots.split(name, of_path)
        if place is None:
            if name.startswith("slot "):
                raise ValueError(f"the state has {name[5:]!r}, which is of no parameter of this optimizer")
            continue
        path, slot = place
        tensor = torch.from_numpy(found.copy())
        for param in [of_path[path]] if path else params:
            fitting = path and found.size == param.numel()
            states.setdefault(param, {"step": steps})[slot if path else SHARED + slot] = tensor.reshape(param.shape) if fitting else tensor
    return states
