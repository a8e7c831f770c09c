"""Optimizers for PyTorch."""

from __future__ import annotations

import torch

from .. import optimizers as _optimizers
from ._arrays import array


class Optimizer(torch.optim.Optimizer):
    """A ``torch.optim`` optimizer for float32 parameters on the CPU, which it updates in place.

    exclude_from_weight_decay, Muon and MultiOptimizer use the names of ``named_parameters``. The learning rate is that
    of the param group, so that PyTorch's schedulers work.
    """

    def __init__(self, params, identifier, exclude_from_weight_decay=()):
        made = _optimizers.get(identifier)
        if not isinstance(made, _optimizers.Optimizer):
            raise ValueError("this is an optimizer of another framework: use it as it is")
        self._optimizer = made._unstepped()
        if exclude_from_weight_decay:
            self._optimizer.exclude_from_weight_decay(var_names=exclude_from_weight_decay)
        params = list(params)
        groups = [dict(group) for group in params] if params and isinstance(params[0], dict) else [{"params": params}]
        self._parameter_names = None
        for group in groups:
            given = group["params"]
            given = [given] if isinstance(given, torch.Tensor) else list(given)
            if given and isinstance(given[0], tuple):
                self._parameter_names = [name for name, _ in given]
                given = [param for _, param in given]
            group["params"] = given
        super().__init__(groups, {"lr": self._optimizer.learning_rate})
        self._has_schedule = isinstance(self._optimizer._rate(), dict)

    def add_param_group(self, param_group):
        """Adds the only group. PyTorch's constructor calls it; later calls raise ValueError."""
        if self.param_groups:
            raise ValueError("there is one group of parameters: give all of them at once, or one optimizer for each group")
        super().add_param_group(param_group)

    def __getstate__(self):
        own = ("_optimizer", "_parameter_names", "_has_schedule")
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}

    @torch.no_grad()
    def step(self, closure=None):
        """Updates the parameters by one step. Returns the result of ``closure``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group = self.param_groups[0]
        if self._has_schedule:
            group["lr"] = self._optimizer.learning_rate
        elif float(group["lr"]) != self._optimizer.learning_rate:
            self._optimizer.learning_rate = float(group["lr"])
            group["lr"] = self._optimizer.learning_rate
        params = group["params"]
        self._optimizer._step([None if param.grad is None else array(param.grad) for param in params], params, self._parameter_names)
        return loss

    @torch.no_grad()
    def finalize(self):
        """Moves the parameters to the values at which they are evaluated, such as their averages if ``use_ema`` is on.

        Call it once, after training.
        """
        self._optimizer.finalize(self.param_groups[0]["params"])

    def state_dict(self):
        """Returns PyTorch's state dict, with the plug-in's state as a tensor of bytes."""
        state = super().state_dict()
        state["plugfit"] = torch.frombuffer(bytearray(self._optimizer.get_state()), dtype=torch.uint8)
        return state

    def load_state_dict(self, state_dict):
        """Restores what state_dict returned."""
        state = dict(state_dict)
        if "plugfit" not in state:
            raise ValueError("this is another optimizer's state, not one of plugfit.torch.Optimizer's")
        own = state.pop("plugfit")
        super().load_state_dict(state)
        self._optimizer.set_state(own.numpy().tobytes())
