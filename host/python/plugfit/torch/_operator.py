"""The losses of plug-ins as operators of PyTorch, which ``torch.compile`` and ``torch.export`` keep in their graphs."""

from __future__ import annotations

import json
import uuid
from typing import Optional, Tuple

import numpy as np

import torch

from .. import losses as _losses
from .._config import plain
from ._arrays import array

#: The losses by the names under which operators know them.
_known = {}


def name_of(loss):
    """Returns a name of the loss for the operators: its serialized form, so that another process finds it, or a unique
    name for a Python function, which only this process has."""
    if loss._function is not None:
        name = f"function {uuid.uuid4().hex}"
    else:
        name = json.dumps({**plain(loss._serialize()), "dtype": loss._given_dtype}, sort_keys=True)
    _known[name] = loss
    return name


def _loss(name):
    if name not in _known:
        if name.startswith("function "):
            raise RuntimeError("this graph has a loss that is a Python function of another process")
        identifier = json.loads(name)
        _known[name] = _losses.get(identifier, identifier.pop("dtype"))
    return _known[name]


def dtype_of(loss):
    """Returns the dtype of the loss's values."""
    return torch.float64 if loss._given_dtype == "float64" else torch.float32


class Once(torch.autograd.Function):
    """The gradient of a loss without a formula, which can't be differentiated with respect to ``y_pred``."""

    @staticmethod
    def forward(gradient, y_pred, cotangent, name):
        return gradient.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.name = inputs[3]

    @staticmethod
    def backward(ctx, cotangent):
        raise NotImplementedError(f"{ctx.name} has no second derivative: it has no formula")


@torch.library.custom_op("plugfit::loss", mutates_args=())
def value(
    y_pred: torch.Tensor, y_true: torch.Tensor, sample_weight: Optional[torch.Tensor], mask: Optional[torch.Tensor], loss: str
) -> torch.Tensor:
    """Returns the value of a loss with a reduction."""
    found = _loss(loss)(array(y_true), array(y_pred), array(sample_weight), array(mask))
    return torch.tensor(float(found), dtype=dtype_of(_loss(loss)), device=y_pred.device)


@value.register_fake
def _(y_pred, y_true, sample_weight, mask, loss):
    return y_pred.new_empty((), dtype=dtype_of(_loss(loss)))


@torch.library.custom_op("plugfit::loss_and_gradient", mutates_args=())
def value_and_gradient(
    y_pred: torch.Tensor, y_true: torch.Tensor, sample_weight: Optional[torch.Tensor], mask: Optional[torch.Tensor], loss: str
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns the value of a loss with a reduction, and its derivatives with respect to ``y_pred``."""
    dtype = dtype_of(_loss(loss))
    found, gradient = _loss(loss).value_and_gradient(array(y_true), array(y_pred), array(sample_weight), array(mask))
    gradient = torch.from_numpy(np.ascontiguousarray(gradient)).to(y_pred.device, dtype)
    return torch.tensor(float(found), dtype=dtype, device=y_pred.device), gradient


@value_and_gradient.register_fake
def _(y_pred, y_true, sample_weight, mask, loss):
    dtype = dtype_of(_loss(loss))
    return y_pred.new_empty((), dtype=dtype), y_pred.new_empty(y_pred.shape, dtype=dtype)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[0], output[1])
    ctx.name = _loss(inputs[4]).name
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, cotangent, _):
    y_pred, derivatives = ctx.saved_tensors
    gradient = (derivatives * cotangent).to(y_pred.dtype)
    if torch.is_grad_enabled():
        gradient = Once.apply(gradient, y_pred, cotangent, ctx.name)
    return gradient, None, None, None, None


value_and_gradient.register_autograd(_backward, setup_context=_setup_context)
