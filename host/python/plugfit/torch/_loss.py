"""Losses for PyTorch: computed by PyTorch from the formula, or by the plug-in."""

from __future__ import annotations

import numpy as np

import torch

from .. import losses as _losses
from .._arrays import plain, weighted
from .._component import formula_of
from . import _operator
from ._arrays import array, tensor
from ._reduction import reduced

_LOW_PRECISION = (torch.float16, torch.bfloat16)


class _Native(torch.autograd.Function):
    """A loss that the plug-in computes. ``by_formula`` computes the same with PyTorch's operations, for second
    derivatives; None: there is no formula."""

    @staticmethod
    def forward(ctx, y_pred, loss, by_formula, y_true, sample_weight, mask):
        if any(ctx.needs_input_grad[3:5]):
            raise NotImplementedError("a loss has a gradient only for y_pred: pass y_true.detach() and sample_weight.detach()")
        arrays = (array(y_true), array(y_pred), array(sample_weight), array(mask))
        if ctx.needs_input_grad[0] and loss.reduction != "none":
            value, derivatives = loss.value_and_gradient(*arrays)
            ctx.derivatives = torch.from_numpy(derivatives)
        else:
            value, ctx.derivatives = loss(*arrays), None
        ctx.save_for_backward(y_pred)
        ctx.loss, ctx.arrays = loss, arrays
        ctx.by_formula = by_formula and (lambda y_pred: by_formula(y_true, y_pred, sample_weight, mask))
        dtype = np.float64 if loss._given_dtype == "float64" else np.float32
        return torch.from_numpy(np.array(value, dtype)).to(y_pred.device)

    @staticmethod
    def backward(ctx, cotangent):
        (y_pred,) = ctx.saved_tensors
        if torch.is_grad_enabled() and ctx.by_formula is not None:
            # The gradient will be differentiated.
            (gradient,) = torch.autograd.grad(ctx.by_formula(y_pred), y_pred, cotangent, create_graph=True)
        else:
            gradient = _gradient(ctx, cotangent.detach()).to(y_pred.device, y_pred.dtype)
            if torch.is_grad_enabled():
                gradient = _Once.apply(gradient, y_pred, cotangent, ctx.loss.name)
        return gradient, None, None, None, None, None


def _gradient(ctx, cotangent):
    loss, (y_true, y_pred, sample_weight, mask) = ctx.loss, ctx.arrays
    if ctx.derivatives is not None:
        return ctx.derivatives * cotangent.cpu()
    # Without reduction, the cotangent is a weight of each value.
    weight = array(cotangent)
    weight = weight.astype(np.float64 if weight.dtype == np.float64 else np.float32)
    if sample_weight is not None:
        weight = weighted(weight, plain(sample_weight, "sample_weight"))
    return torch.from_numpy(loss.gradient(y_true, y_pred, weight, mask))


class _Once(torch.autograd.Function):
    """A gradient that can't be differentiated."""

    @staticmethod
    def forward(ctx, gradient, y_pred, cotangent, name):
        ctx.name = name
        return gradient.clone()

    @staticmethod
    def backward(ctx, cotangent):
        raise NotImplementedError(f"{ctx.name} has no second derivative: it has no formula")


class Loss(torch.nn.Module):
    """A loss as a module, with arguments in Keras's order: ``module(y_true, y_pred)``.

    The function that :func:`loss` returns has them in PyTorch's order.

    ``engine="formula"`` makes PyTorch compute the loss from its formula, and ``engine="native"`` makes the plug-in
    compute it. By default the plug-in computes tensors of float32 and float64 on the CPU, and PyTorch all others if there
    is a formula: those in ``torch.compile`` and ``torch.func``, on another device, of a lower precision, or with labels or
    weights that require a gradient.
    """

    def __init__(self, identifier, engine=None):
        super().__init__()
        self.loss = _losses.get(identifier)
        self.engine = engine
        self._formula = formula_of(self.loss, engine)
        self._in_float64 = None
        if self._formula is not None:
            # torch.compile can't import the module of the function that is made here.
            self._formula.torch()
        else:
            # torch.compile can't create components.
            losses = (self.loss, self._native(torch.empty(0, dtype=torch.float64)))
            self._operators = {_operator.dtype_of(loss): _operator.name_of(loss) for loss in losses}

    def forward(self, y_true, y_pred, sample_weight=None, mask=None):
        """Returns the loss as a tensor that is differentiable with respect to ``y_pred``.

        The tensor is float32, or float64 if ``y_pred`` or the loss's dtype is.
        """
        if self._formula is not None and (self.engine == "formula" or _needs_formula(y_true, y_pred, sample_weight)):
            return self._by_formula(y_true, y_pred, sample_weight, mask)
        if torch.compiler.is_compiling() and self.loss.reduction != "none":
            return self._by_operator(y_true, y_pred, sample_weight, mask)
        return self._by_plugin(y_true, y_pred, sample_weight, mask)

    @torch._dynamo.disable
    def _by_plugin(self, y_true, y_pred, sample_weight, mask):
        by_formula = None if self._formula is None else self._by_formula
        return _Native.apply(y_pred, self._native(y_pred), by_formula, y_true, sample_weight, mask)

    def _by_operator(self, y_true, y_pred, sample_weight, mask):
        given = self._tensors(y_true, sample_weight, mask, y_pred.device)
        if torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in given):
            raise NotImplementedError("a loss has a gradient only for y_pred: pass y_true.detach() and sample_weight.detach()")
        name = self._operators.get(y_pred.dtype, self._operators.get(torch.float32)) or self._operators[torch.float64]
        if torch.is_grad_enabled() and y_pred.requires_grad:
            return _operator.value_and_gradient(y_pred, *given, name)[0]
        return _operator.value(y_pred, *given, name)

    def _native(self, y_pred):
        """Returns the loss in the dtype of the result."""
        if self.loss._given_dtype is not None or y_pred.dtype != torch.float64:
            return self.loss
        if self._in_float64 is None:
            try:
                self._in_float64 = _losses.get(self.loss, "float64")
            except ValueError:  # The plug-in computes only in float32.
                self._in_float64 = self.loss
        return self._in_float64

    @staticmethod
    def _tensors(y_true, sample_weight, mask, device):
        names = {"y_true": y_true, "sample_weight": sample_weight, "mask": mask}
        return [tensor(given, name, device) for name, given in names.items()]

    def _by_formula(self, y_true, y_pred, sample_weight, mask):
        is_double = torch.float64 in (y_pred.dtype, getattr(torch, self.loss.dtype))
        y_pred = y_pred.to(torch.float64 if is_double else torch.float32)
        y_true, weight, mask = self._tensors(y_true, sample_weight, mask, y_pred.device)
        unused = [] if weight is None else [weight == 0]
        unused += [] if mask is None else [torch.logical_not(mask)]
        return reduced(self._formula.torch()(y_true, y_pred, *unused), weight, mask, self.loss.reduction)


def _needs_formula(y_true, y_pred, sample_weight):
    """Returns whether the plug-in can't compute these tensors."""
    if torch.compiler.is_compiling():
        return True
    tensors = [tensor for tensor in (y_true, y_pred, sample_weight) if isinstance(tensor, torch.Tensor)]
    if any(type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.device.type != "cpu" for tensor in tensors):
        return True
    if y_pred.dtype in _LOW_PRECISION or _is_transformed():
        return True
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors if tensor is not y_pred)


def _is_transformed():
    """Returns whether torch.func or forward-mode differentiation is active."""
    return torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0
