"""Components for PyTorch: differentiable losses, ``torch.optim`` optimizers, and metrics with torchmetrics' interface.

A loss has a first derivative with respect to ``y_pred`` only. PyTorch treats this derivative as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import torch

from . import losses as _losses
from . import metrics as _metrics
from . import optimizers as _optimizers
from ._arrays import plain as _plain
from ._config import with_settings

__all__ = ["Loss", "Metric", "Optimizer", "loss", "metric", "optimizer"]


def _array(tensor):
    if tensor is None or not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.cpu().numpy()


class _Reduced(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y_pred, loss, y_true, sample_weight, mask):
        if any(ctx.needs_input_grad[2:4]):
            raise NotImplementedError("a loss has a gradient only for y_pred: pass y_true.detach() and sample_weight.detach()")
        arrays = (_array(y_true), _array(y_pred), _array(sample_weight), _array(mask))
        if ctx.needs_input_grad[0] and loss.reduction != "none":
            value, derivatives = loss.value_and_gradient(*arrays)
            ctx.derivatives = torch.from_numpy(derivatives)
        else:
            value, ctx.derivatives = loss(*arrays), None
        ctx.arguments = (loss, arrays, y_pred.dtype, y_pred.device)
        dtype = np.float64 if loss._given_dtype == "float64" else np.float32
        return torch.from_numpy(np.array(value, dtype)).to(y_pred.device)

    @staticmethod
    def backward(ctx, cotangent):
        loss, (y_true, y_pred, sample_weight, mask), dtype, device = ctx.arguments
        if ctx.derivatives is not None:
            derivatives = ctx.derivatives.to(device) * cotangent
        else:
            # Without reduction, the cotangent is a weight of each value.
            weight = _array(cotangent)
            weight = weight.astype(np.float64 if weight.dtype == np.float64 else np.float32)
            if sample_weight is not None:
                given = _plain(sample_weight, "sample_weight").astype(weight.dtype)
                weight = weight * given.reshape(given.shape + (1,) * (weight.ndim - given.ndim))
            derivatives = torch.from_numpy(loss.gradient(y_true, y_pred, weight, mask)).to(device)
        return derivatives.to(dtype), None, None, None, None


class Loss(torch.nn.Module):
    """A loss as a module, with arguments in Keras's order: ``module(y_true, y_pred)``.

    The function that :func:`loss` returns has them in PyTorch's order.
    """

    def __init__(self, identifier):
        super().__init__()
        self.loss = _losses.get(identifier)

    def forward(self, y_true, y_pred, sample_weight=None, mask=None):
        """Returns the loss as a tensor that is differentiable with respect to ``y_pred``.

        The tensor is float32, or float64 if the loss has ``dtype="float64"``.
        """
        return _Reduced.apply(y_pred, self.loss, y_true, sample_weight, mask)


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
        self._optimizer._step([None if param.grad is None else _array(param.grad) for param in params], params, self._parameter_names)
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


class Metric:
    """A metric with torchmetrics' interface: ``update(preds, target)``, ``compute()``, ``reset()``, ``merge(others)``,
    ``sync()``."""

    def __init__(self, identifier):
        self.metric = _metrics.get(identifier)._fresh_copy()
        #: The state of this rank alone, while the metric has the merged state of all ranks.
        self._own = None

    def update(self, preds, target=None, sample_weight=None):
        """Updates the state with a batch, in torchmetrics' order of arguments. A metric of ``values`` takes them as
        ``preds``."""
        self.unsync()
        if self.metric._takes_values:
            self.metric.update_state(_array(preds), _array(sample_weight))
        else:
            self.metric.update_state(_array(target), _array(preds), _array(sample_weight))

    def compute(self):
        """Returns the result: a float32 tensor, or a dict of them."""
        result = self.metric.result()
        if isinstance(result, dict):
            return {name: torch.tensor(float(value)) for name, value in result.items()}
        return torch.tensor(np.asarray(result), dtype=torch.float32)

    def forward(self, preds, target=None, sample_weight=None):
        """Updates the state with a batch, and returns the result of this batch alone."""
        batch = Metric(self.metric)
        batch.update(preds, target, sample_weight)
        self.merge([batch])
        return batch.compute()

    __call__ = forward

    def reset(self):
        """Resets the state."""
        self._own = None
        self.metric.reset_state()

    def merge(self, others):
        """Merges the states of other metrics into this one."""
        self.unsync()
        self.metric.merge_state([other.metric for other in others])

    def sync(self, group=None):
        """Merges the states of all ranks of ``torch.distributed``, until the next update."""
        import torch.distributed as distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return
        self.unsync()
        own = self.metric.get_state()
        states = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(states, own, group=group)
        self.metric.reset_state()
        for state in states:
            other = Metric(self.metric)
            other.metric.set_state(state)
            self.metric.merge_state([other.metric])
        self._own = own

    def unsync(self):
        """Restores the state of this rank after :meth:`sync`."""
        if self._own is not None:
            self.metric.set_state(self._own)
            self._own = None

    def state_dict(self):
        """Returns the state of this rank."""
        return {"state": self._own or self.metric.get_state()}

    def load_state_dict(self, state):
        """Restores what state_dict returned."""
        self._own = None
        self.metric.set_state(state["state"])


def loss(identifier: Any, **settings: Any) -> Callable[..., torch.Tensor]:
    """Returns the loss for an identifier as a function with arguments in PyTorch's order: ``criterion(y_pred, y_true,
    sample_weight=None, mask=None)``. A name may have settings: ``loss("Huber", delta=2.0)``."""
    made = Loss(with_settings(identifier, settings))

    def criterion(y_pred, y_true, sample_weight=None, mask=None):
        return made(y_true, y_pred, sample_weight, mask)

    criterion.loss = made.loss
    return criterion


def metric(identifier: Any, **settings: Any) -> Metric:
    """Returns the metric for an identifier. A name may have settings: ``metric("AUC", curve="PR")``."""
    return Metric(with_settings(identifier, settings))


def optimizer(params: Iterable[Any], identifier: Any, exclude_from_weight_decay: Iterable[str] = (), **settings: Any) -> Optimizer:
    """Returns the optimizer for an identifier, for parameters or named parameters. A name may have settings:
    ``optimizer(params, "AdamW", learning_rate=3e-4)``. ``lr`` is an alias of ``learning_rate``."""
    if "lr" in settings:
        settings["learning_rate"] = settings.pop("lr")
    return Optimizer(params, with_settings(identifier, settings), exclude_from_weight_decay)
