"""Formulas as functions of PyTorch tensors."""

from __future__ import annotations

import torch

from . import _engine, _sums
from .graph import function
from .guard import guarded


def _at(x, i):
    if isinstance(i, float):
        i = ENGINE.constant(i, x)
    valid = (i >= 0) & (i < x.shape[-1]) & (i == torch.floor(i))
    index = torch.where(valid, i, 0).to(torch.int64)
    index = index.expand(*x.shape[:-1], 1)
    return torch.where(valid, torch.gather(x, -1, index), torch.nan)


def _before(x):
    return torch.cumsum(torch.cat([torch.zeros_like(x[..., :1]), x], dim=-1), dim=-1)[..., :-1]


def _max(x, y):
    if isinstance(y, float):
        return torch.clamp(x, min=y)
    return torch.clamp(y, min=x) if isinstance(x, float) else torch.maximum(x, y)


def _min(x, y):
    if isinstance(y, float):
        return torch.clamp(x, max=y)
    return torch.clamp(y, max=x) if isinstance(x, float) else torch.minimum(x, y)


_OPERATIONS = {
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "exp_m1": torch.expm1,
    "ln": torch.log,
    "ln_1p": torch.log1p,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    # Beyond the threshold x is returned; at the default, 20, this is inexact in float64.
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=40),
    "floor": torch.floor,
    "cos": torch.cos,
    "power_of": lambda x, c: torch.pow(c, x),
    "powf": torch.pow,
    "powi": lambda x, c: torch.pow(x, int(c)),
    "max": _max,
    "min": _min,
    "flush": lambda x: x,
    "detach": lambda x: x.detach() if isinstance(x, torch.Tensor) else x,
    "select": torch.where,
    "batch_all": torch.all,
    "row_sum": lambda x: torch.sum(x, dim=-1, keepdim=True),
    "row_max": lambda x: torch.amax(x, dim=-1, keepdim=True),
    "row_before": _before,
    "row_after": lambda x: torch.flip(_before(torch.flip(x, (-1,))), (-1,)),
    "batch_sum": torch.sum,
    "row_len": lambda x: torch.full((), x.shape[-1], dtype=x.dtype, device=x.device),
    "index": lambda x: torch.arange(x.shape[-1], dtype=x.dtype, device=x.device).expand(x.shape),
    "at": _at,
}


_WIDE = (torch.int32, torch.int64, torch.uint32, torch.uint64)


def _compute_dtype(tensor):
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _result_dtype(tensor):
    return tensor.dtype if tensor.dtype.is_floating_point else torch.float32


def _scatter(numbers, places, length):
    return torch.index_add(numbers.new_zeros(length + 1), 0, places, numbers)[:length]


ENGINE = _engine.Engine(
    torch,
    _OPERATIONS,
    tensor=lambda value: value if isinstance(value, torch.Tensor) else torch.as_tensor(value),
    cast=lambda tensor, dtype: tensor.to(dtype),
    constant=lambda number, like: torch.full((), number, dtype=like.dtype, device=like.device),
    compute_dtype=_compute_dtype,
    result_dtype=_result_dtype,
    # Apple's GPUs have no float64.
    sum_dtype=lambda tensor: torch.float32 if tensor.device.type == "mps" else torch.float64,
    is_wide=lambda tensor: tensor.dtype in _WIDE,
    index_dtype=torch.int64,
    scatter=_scatter,
)


def loss(formula):
    return _engine.values(formula, ENGINE, _differentiable(formula))


def _differentiable(formula):
    """Returns the function of rows whose first derivative is the plug-in's."""
    is_element = formula.level("value") == "element"
    if not formula.has_own_derivative:
        return _function(formula, "value", differentiated=True)
    value = _function(formula, "value")
    names = ("derivative_y_true", "derivative")
    slopes = [(_function(formula, name), _function(formula, name, differentiated=True)) if name in formula.outputs else None for name in names]

    def slope(position, y_true, y_pred):
        if slopes[position] is None:
            raise NotImplementedError(f"the formula has no derivative with respect to {('y_true', 'y_pred')[position]}")
        return slopes[position][torch.is_grad_enabled()](y_true, y_pred)

    class Value(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(y_true, y_pred):
            return value(y_true, y_pred)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, cotangent):
            inputs = ctx.saved_tensors
            if cotangent is None:
                return None, None
            return tuple(cotangent * slope(position, *inputs) if ctx.needs_input_grad[position] else None for position in range(2))

    class ForwardValue(Value):
        # torch.compile refuses a function with jvp.
        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)
            # A missing tangent is None, so that a missing derivative is refused only if it is needed.
            ctx.set_materialize_grads(False)

        @staticmethod
        def jvp(ctx, *tangents):
            inputs = ctx.saved_tensors
            changes = [slope(position, *inputs) * tangent for position, tangent in enumerate(tangents) if tangent is not None]
            total = sum(changes[1:], changes[0])
            return total if is_element else torch.sum(total, dim=-1, keepdim=True)

    return lambda y_true, y_pred: (Value if torch.compiler.is_compiling() else ForwardValue).apply(y_true, y_pred)


def _function(formula, name, differentiated=False):
    """Returns an output as a function of rows."""
    graph, outputs = formula.graph, [formula.outputs[name]]
    run = function(*(guarded(graph, outputs) if differentiated else (graph, outputs)), ENGINE)
    by_row = name == "value" and formula.level("value") != "element"

    def f(*given):
        shape = given[-1].shape
        return torch.broadcast_to(run(*given)[0], (*shape[:-1], 1) if by_row else shape)

    return f


def sums(formula):
    return _sums.metric(formula, ENGINE)


def optimizer(formula):
    return _engine.update(formula, ENGINE, function(formula.graph, list(formula.outputs.values()), ENGINE))


def schedule(formula):
    run = function(formula.graph, [formula.outputs["learning_rate"]], ENGINE)

    def f(step):
        step = torch.as_tensor(step)
        # float16 has no whole numbers beyond 2048.
        return run(step if step.dtype in (torch.float32, torch.float64) else step.to(torch.float32))[0]

    return f
