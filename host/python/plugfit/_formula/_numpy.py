"""Formulas as functions of NumPy arrays, and the evaluation of constants."""

from __future__ import annotations

import numpy as np

from . import _engine, _sums
from .graph import function

_LEAST_NORMAL = float(np.finfo(np.float32).tiny)


def _at(x, i):
    length = x.shape[-1]
    valid = (i >= 0) & (i < length) & (i == np.floor(i))
    index = np.where(valid, i, 0).astype(np.int64)
    index = np.broadcast_to(index, x.shape[:-1] + (1,))
    if not length:
        return np.full(index.shape, np.nan, x.dtype)
    return np.where(valid, np.take_along_axis(x, index, -1), np.array(np.nan, x.dtype))


def _before(x):
    return np.cumsum(np.concatenate([np.zeros_like(x[..., :1]), x], axis=-1), axis=-1)[..., :-1]


def _softplus(x):
    return np.logaddexp(x, np.zeros((), np.result_type(x)))


_OPERATIONS = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "exp_m1": np.expm1,
    "ln": np.log,
    "ln_1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": _softplus,
    "floor": np.floor,
    "cos": np.cos,
    "power_of": lambda x, c: np.power(np.asarray(c, np.result_type(x)), x),
    "powf": lambda x, c: np.power(x, c),
    "powi": lambda x, c: np.power(x, c),
    "max": np.maximum,
    "min": np.minimum,
    "flush": lambda x: np.where(np.abs(x) < _LEAST_NORMAL, np.zeros((), np.result_type(x)), x),
    "detach": lambda x: x,
    "select": np.where,
    "batch_all": np.all,
    "row_sum": lambda x: np.sum(x, axis=-1, keepdims=True),
    "row_max": lambda x: np.max(x, axis=-1, keepdims=True),
    "row_before": _before,
    "row_after": lambda x: np.flip(_before(np.flip(x, -1)), -1),
    "batch_sum": np.sum,
    "row_len": lambda x: np.array(x.shape[-1], x.dtype),
    "index": lambda x: np.broadcast_to(np.arange(x.shape[-1], dtype=x.dtype), x.shape),
    "at": _at,
}


def _compute_dtype(array):
    return np.dtype(np.float64 if array.dtype == np.float64 else np.float32)


def _result_dtype(array):
    return array.dtype if array.dtype.name in ("float16", "bfloat16", "float64") else np.dtype(np.float32)


ENGINE = _engine.Engine(
    np,
    _OPERATIONS,
    tensor=np.asarray,
    cast=lambda array, dtype: np.asarray(array, dtype),
    constant=lambda number, like: np.array(number, like.dtype),
    compute_dtype=_compute_dtype,
    result_dtype=_result_dtype,
    sum_dtype=lambda array: np.dtype(np.float64),
    is_wide=lambda array: array.dtype.kind in "iu" and array.dtype.itemsize > 2,
    index_dtype=np.dtype(np.int64),
    scatter=lambda numbers, places, length: np.bincount(places, numbers, length + 1)[:length],
)


def fold(graph, operation, arguments, constant):
    """Adds a node to a graph and returns its number. That of constants is a constant, and a selection by a constant
    mask is one of its arguments."""
    nodes = [graph.nodes[index] for index in arguments]
    if operation == "select" and nodes[0].operation == "const":
        return arguments[1] if nodes[0].constant else arguments[2]
    if not nodes or any(node.operation != "const" for node in nodes):
        return graph.add(operation, arguments, constant)
    given = [np.bool_(node.constant) if node.is_mask else np.float64(node.constant) for node in nodes]
    with np.errstate(all="ignore"):
        found = ENGINE.operations[operation](*given, *(() if constant is None else (constant,)))
    return graph.add("const", (), found.item())


def _quiet(run):
    """NumPy warns of operations that give NaN or infinity, which are results as any other."""

    def f(*arguments):
        with np.errstate(all="ignore"):
            return run(*arguments)

    f.__dict__.update((name, _quiet(one) if callable(one) else one) for name, one in run.__dict__.items())
    f.__name__ = "formula"
    return f


def loss(formula):
    run = function(formula.graph, [formula.outputs["value"]], ENGINE)
    is_element = formula.level("value") == "element"

    def value(*given):
        shape = given[-1].shape
        return np.broadcast_to(run(*given)[0], shape if is_element else shape[:-1] + (1,))

    f = _quiet(_engine.values(formula, ENGINE, value))
    if "derivative" in formula.outputs:
        f.gradient = _quiet(_gradient(formula))
    return f


def _gradient(formula):
    run = function(formula.graph, [formula.outputs["derivative"]], ENGINE)
    is_element = formula.level("value") == "element"

    def f(y_true, y_pred):
        y_pred = np.asarray(y_pred)
        true, pred, _ = _engine.rows(formula, ENGINE, y_true, y_pred)
        found = np.broadcast_to(run(true, pred)[0], pred.shape)
        found = found / pred.shape[-1] if is_element else found
        if formula.axis is not None and pred.ndim == y_pred.ndim:
            found = np.moveaxis(found, -1, formula.axis)
        return found.reshape(y_pred.shape).astype(_result_dtype(y_pred))

    return f


def sums(formula):
    return _quiet(_sums.metric(formula, ENGINE))


def optimizer(formula):
    return _quiet(_engine.update(formula, ENGINE, function(formula.graph, list(formula.outputs.values()), ENGINE)))


def schedule(formula):
    run = function(formula.graph, [formula.outputs["learning_rate"]], ENGINE)
    return _quiet(lambda step: run(np.asarray(step, np.float64))[0])
