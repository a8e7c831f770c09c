"""Formulas as functions of JAX arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from . import _engine, _sums
from .graph import function
from .guard import guarded


def _at(x, i):
    valid = (i >= 0) & (i < x.shape[-1]) & (i == jnp.floor(i))
    index = jnp.broadcast_to(jnp.where(valid, i, 0).astype(jnp.int32), (*x.shape[:-1], 1))
    return jnp.where(valid, jnp.take_along_axis(x, index, axis=-1, mode="clip"), jnp.nan)


def _before(x):
    return jnp.cumsum(jnp.concatenate([jnp.zeros_like(x[..., :1]), x], axis=-1), axis=-1)[..., :-1]


_OPERATIONS = {
    "sqrt": jnp.sqrt,
    "exp": jnp.exp,
    "exp_m1": jnp.expm1,
    "ln": jnp.log,
    "ln_1p": jnp.log1p,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "floor": jnp.floor,
    "cos": jnp.cos,
    "power_of": lambda x, c: jnp.power(jnp.asarray(c, x.dtype), x),
    "powf": jnp.power,
    "powi": lambda x, c: jax.lax.integer_pow(x, int(c)),
    "max": jnp.maximum,
    "min": jnp.minimum,
    "flush": lambda x: x,
    "detach": jax.lax.stop_gradient,
    "select": jnp.where,
    "batch_all": jnp.all,
    "row_sum": lambda x: jnp.sum(x, axis=-1, keepdims=True),
    "row_max": lambda x: jnp.max(x, axis=-1, keepdims=True),
    "row_before": _before,
    "row_after": lambda x: jnp.flip(_before(jnp.flip(x, -1)), -1),
    "batch_sum": jnp.sum,
    "row_len": lambda x: jnp.asarray(x.shape[-1], x.dtype),
    "index": lambda x: jax.lax.broadcasted_iota(x.dtype, x.shape, x.ndim - 1),
    "at": _at,
}


def _compute_dtype(array):
    return array.dtype if array.dtype == jnp.float64 else jnp.dtype(jnp.float32)


def _result_dtype(array):
    return array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else jnp.dtype(jnp.float32)


ENGINE = _engine.Engine(
    jnp,
    _OPERATIONS,
    tensor=jnp.asarray,
    cast=lambda array, dtype: array.astype(dtype),
    constant=lambda number, like: jnp.asarray(number, like.dtype),
    compute_dtype=_compute_dtype,
    result_dtype=_result_dtype,
    # float32 unless jax_enable_x64 is set.
    sum_dtype=lambda array: jax.dtypes.canonicalize_dtype(jnp.float64),
    is_wide=lambda array: array.dtype.kind in "iu" and array.dtype.itemsize > 2,
    index_dtype=jnp.dtype(jnp.int32),
    scatter=lambda numbers, places, length: jnp.zeros(length, numbers.dtype).at[places].add(numbers, mode="drop"),
)


def loss(formula):
    return _engine.values(formula, ENGINE, _differentiable(formula))


def _differentiable(formula):
    """Returns the function of rows whose first derivative is the plug-in's."""
    value = _function(formula, "value")
    if not formula.has_own_derivative:
        return value
    value = jax.custom_jvp(value)
    slopes = [_function(formula, name) if name in formula.outputs else None for name in ("derivative_y_true", "derivative")]

    def rule(primals, tangents):
        total = None
        for name, slope, tangent in zip(("y_true", "y_pred"), slopes, tangents):
            if isinstance(tangent, SymbolicZero):
                continue
            if slope is None:
                raise NotImplementedError(f"the formula has no derivative with respect to {name}")
            change = slope(*primals) * tangent
            total = change if total is None else total + change
        found = value(*primals)
        if total is None:
            return found, jnp.zeros_like(found)
        return found, total if formula.level("value") == "element" else jnp.sum(total, axis=-1, keepdims=True)

    value.defjvp(rule, symbolic_zeros=True)
    return value


def _function(formula, name):
    """Returns an output as a function of rows. JAX computes it as it is, and differentiates its guarded form."""
    output = formula.outputs[name]
    by_row = name == "value" and formula.level("value") != "element"

    def shaped(run):
        def f(*given):
            shape = given[-1].shape
            return jnp.broadcast_to(run(*given)[0], shape[:-1] + (1,) if by_row else shape)

        return f

    graph, outputs = guarded(formula.graph, [output])
    plain, differentiated = shaped(function(formula.graph, [output], ENGINE)), shaped(function(graph, outputs, ENGINE))
    if graph is formula.graph:
        return plain
    plain = jax.custom_jvp(plain)
    plain.defjvp(lambda primals, tangents: jax.jvp(differentiated, primals, tangents))
    return plain


def sums(formula):
    return _sums.metric(formula, ENGINE)


def optimizer(formula):
    return _engine.update(formula, ENGINE, function(formula.graph, list(formula.outputs.values()), ENGINE))


def schedule(formula):
    run = function(formula.graph, [formula.outputs["learning_rate"]], ENGINE)
    return lambda step: run(jnp.asarray(step, jnp.result_type(float)))[0]
