"""Losses for PyTorch: computed by PyTorch from the formula, or by the plug-in."""

from __future__ import annotations

import numpy as np

import torch

from .. import losses as _losses
from .._arrays import weighted
from .._component import formula_of
from . import _operator
from ._arrays import array, is_low_precision, ordered, tensor
from ._reduction import reduced


class _Native(torch.autograd.Function):
    """A loss that the plug-in computes. ``by_formula`` computes the same with PyTorch's operations, for second
    derivatives; None: there is no formula."""

    @staticmethod
    def forward(ctx, y_pred, loss, by_formula, y_true, sample_weight, mask, *further):
        inputs = _named(loss, further)
        arrays = (array(y_true), array(y_pred), array(sample_weight), array(mask))
        if ctx.needs_input_grad[0] and loss.reduction != "none":
            value, derivatives = loss.value_and_gradient(*arrays, **inputs)
            ctx.derivatives = torch.from_numpy(derivatives)
        else:
            value, ctx.derivatives = loss(*arrays, **inputs), None
        # PyTorch refuses tensors that were changed before the backward pass.
        ctx.save_for_backward(y_pred, y_true, sample_weight, mask, *further)
        ctx.loss, ctx.by_formula = loss, by_formula
        dtype = np.float64 if _operator.dtype_of(loss) == torch.float64 else np.float32
        return torch.from_numpy(np.array(value, dtype)).to(y_pred.device)

    @staticmethod
    def backward(ctx, cotangent):
        y_pred, *others = ctx.saved_tensors
        if torch.is_grad_enabled() and ctx.by_formula is not None:
            # The gradient will be differentiated.
            (gradient,) = torch.autograd.grad(ctx.by_formula(y_pred, *others), y_pred, cotangent, create_graph=True)
        else:
            gradient = _gradient(ctx, cotangent.detach(), y_pred, *others).to(y_pred.device, y_pred.dtype)
            if torch.is_grad_enabled():
                gradient = _operator.Once.apply(gradient, y_pred, cotangent, ctx.loss.name)
        return gradient, *[None] * (len(others) + 2)


def _named(loss, further):
    """Returns the further inputs of a loss as arrays by name."""
    return {name: array(given) for name, given in zip(loss._further, further)}


def _gradient(ctx, cotangent, y_pred, y_true, sample_weight, mask, *further):
    if ctx.derivatives is not None:
        return ctx.derivatives * cotangent.cpu()
    # Without reduction, the cotangent is a weight of each value.
    weight = array(cotangent)
    weight = weight.astype(np.float64 if weight.dtype == np.float64 else np.float32)
    if sample_weight is not None:
        weight = weighted(weight, array(sample_weight))
    return torch.from_numpy(ctx.loss.gradient(array(y_true), array(y_pred), weight, array(mask), **_named(ctx.loss, further)))


class _Module(torch.nn.Module):
    """What the modules of both orders of arguments share."""

    def __init__(self, identifier, engine=None):
        super().__init__()
        self.loss = _losses.get(identifier)
        self.engine = engine
        self._prepare()

    def _prepare(self):
        """Adds what copies and pickles don't have."""
        # A formula has the usual inputs only.
        if self.loss._further and self.engine == "formula":
            raise ValueError(f"{self.loss.name} has inputs that a formula doesn't take: {', '.join(self.loss._further)}")
        self._formula = None if self.loss._further else formula_of(self.loss, self.engine)
        self._natives = _natives(self.loss)
        if self._formula is not None:
            # torch.compile can't import the module of the function that is made here.
            self._formula.torch()
        else:
            # torch.compile can't create components.
            self._operators = {dtype: _operator.name_of(loss) for dtype, loss in self._natives.items()}

    def __getstate__(self):
        derived = ("_formula", "_natives", "_operators")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._prepare()

    def _value(self, y_pred, y_true, sample_weight, mask, inputs):
        if not isinstance(y_pred, torch.Tensor):
            raise TypeError(f"y_pred is a tensor, not {type(y_pred).__name__}")
        names = ("y_pred", "y_true", "sample_weight", "mask")
        given = [tensor(value, name) for value, name in zip((y_pred, y_true, sample_weight, mask), names)]
        if inputs or self.loss._further:
            further = [tensor(one, name) for name, one in zip(self.loss._further, ordered(self.loss, inputs))]
            return self._by_plugin(*given, *further)
        if self._formula is not None and (self.engine == "formula" or self._needs_formula(*given[:3])):
            return self._by_formula(*given)
        if torch.compiler.is_compiling() and self.loss.reduction != "none":
            return self._by_operator(*given)
        return self._by_plugin(*given)

    def _needs_formula(self, y_pred, y_true, sample_weight):
        """Returns whether the plug-in can't compute these tensors."""
        if torch.compiler.is_compiling():
            return True
        tensors = [given for given in (y_pred, y_true, sample_weight) if given is not None]
        if any(type(given) not in (torch.Tensor, torch.nn.Parameter) or given.device.type != "cpu" for given in tensors):
            return True
        if is_low_precision(y_pred.dtype) or self._dtype(y_pred) not in self._natives or _is_transformed():
            return True
        return torch.is_grad_enabled() and any(given.requires_grad for given in tensors if given is not y_pred)

    def _dtype(self, y_pred):
        """Returns the dtype of the result."""
        given = self.loss._given_dtype
        is_double = y_pred.dtype == torch.float64 if given is None else given == "float64"
        return torch.float64 if is_double else torch.float32

    def _of_dtype(self, kinds, y_pred):
        """Returns the plug-in's loss, or its name, in the dtype of the result. Some plug-ins compute only in float32."""
        return kinds[self._dtype(y_pred) if self._dtype(y_pred) in kinds else torch.float32]

    @torch._dynamo.disable
    def _by_plugin(self, y_pred, y_true, sample_weight, mask, *further):
        loss = self._of_dtype(self._natives, y_pred)
        if _is_in_functorch() or _has_tangent(y_pred):
            raise NotImplementedError(
                f"{loss.name} has no formula, which torch.func and forward-mode differentiation need: use backward or torch.autograd.grad"
            )
        _refuse_gradients(y_true, sample_weight, *further)
        if not torch.is_grad_enabled():
            # PyTorch would ask for the gradient.
            y_pred = y_pred.detach()
        by_formula = None if self._formula is None else self._by_formula
        return _Native.apply(y_pred, loss, by_formula, y_true, sample_weight, mask, *further)

    def _by_operator(self, y_pred, y_true, sample_weight, mask):
        y_true, sample_weight, mask = _on(y_pred.device, y_true, sample_weight, mask)
        _refuse_gradients(y_true, sample_weight)
        name = self._of_dtype(self._operators, y_pred)
        if torch.is_grad_enabled() and y_pred.requires_grad:
            return _operator.value_and_gradient(y_pred, y_true, sample_weight, mask, name)[0]
        return _operator.value(y_pred, y_true, sample_weight, mask, name)

    def _by_formula(self, y_pred, y_true, sample_weight, mask):
        y_true, weight, mask = _on(y_pred.device, y_true, sample_weight, mask)
        unused = [] if weight is None else [weight == 0]
        unused += [] if mask is None else [torch.logical_not(mask)]
        return reduced(self._formula.torch()(y_true, y_pred.to(self._dtype(y_pred)), *unused), weight, mask, self.loss.reduction)

    def extra_repr(self):
        """Returns the name, which ``print`` shows."""
        return self.loss.name


class Loss(_Module):
    """A loss as a module, with arguments in Keras's order: ``module(y_true, y_pred)``.

    :func:`loss` returns a module with arguments in PyTorch's order. Labels that require a gradient, with predictions that
    don't, are refused here: they are arguments in the wrong order.

    ``engine="formula"`` makes PyTorch compute the loss from its formula, and ``engine="native"`` makes the plug-in
    compute it. By default the plug-in computes tensors of float32 and float64 on the CPU, and PyTorch all others if there
    is a formula: those in ``torch.compile`` and ``torch.func``, on another device, of a lower precision, or with labels or
    weights that require a gradient.
    """

    def forward(self, y_true, y_pred, sample_weight=None, mask=None, **inputs):
        """Returns the loss as a tensor that is differentiable with respect to ``y_pred``. Further inputs of a plug-in's loss
        are given by name.

        The tensor is float64 if the loss's dtype is, or if the loss has none and ``y_pred`` is float64, else float32.

        Raises TypeError if ``y_pred`` isn't a tensor or a tensor is complex, and ValueError if ``y_true`` requires a
        gradient and ``y_pred`` doesn't.
        """
        if torch.is_grad_enabled() and _requires_grad(y_true) and not _requires_grad(y_pred):
            raise ValueError(
                "y_true requires a gradient and y_pred doesn't: Loss takes (y_true, y_pred), as Keras does, and the module that "
                "plugfit.torch.loss returns takes (y_pred, y_true), as PyTorch does"
            )
        return self._value(y_pred, y_true, sample_weight, mask, inputs)


class Criterion(_Module):
    """A loss as a module, with arguments in PyTorch's order: ``module(y_pred, y_true)``. :class:`Loss` describes
    ``engine``."""

    def forward(self, y_pred, y_true, sample_weight=None, mask=None, **inputs):
        """Returns the loss as :meth:`Loss.forward` does.

        Raises TypeError if ``y_pred`` isn't a tensor or a tensor is complex.
        """
        return self._value(y_pred, y_true, sample_weight, mask, inputs)


def _natives(loss):
    """Returns the plug-in's loss for each dtype in which it computes."""
    found = {}
    for name in ("float32", "float64"):
        if loss._given_dtype is None or (name == "float64") == (loss._given_dtype == "float64"):
            try:
                # A loss of a lower precision would round its values.
                is_own = (loss._given_dtype or "float32") == name
                found[getattr(torch, name)] = loss if is_own else _losses.get(loss, name)
            except ValueError:
                if name == "float32":
                    raise
                # The plug-in computes only in float32.
    return found


def _refuse_gradients(*tensors):
    if torch.is_grad_enabled() and any(given is not None and given.requires_grad for given in tensors):
        raise NotImplementedError("a loss has a gradient only for y_pred: pass y_true.detach(), and detach weights and further inputs")


def _on(device, *tensors):
    return [None if given is None else given.to(device) for given in tensors]


def _requires_grad(value):
    return isinstance(value, torch.Tensor) and value.requires_grad


def _is_in_functorch():
    """Returns whether a function of torch.func is active."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _is_transformed():
    """Returns whether torch.func or forward-mode differentiation is active."""
    return _is_in_functorch() or _is_in_forward_mode()


def _is_in_forward_mode():
    return torch.autograd.forward_ad._current_level >= 0


def _has_tangent(tensor):
    return _is_in_forward_mode() and torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None
