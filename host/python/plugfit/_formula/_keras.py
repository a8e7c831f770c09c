"""Formulas as functions of tensors of Keras's backend.

JAX and PyTorch have functions of their own; ``keras.ops`` is for TensorFlow, for backends without derivatives, and for
symbolic tensors.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from . import _engine, _sums
from .graph import function
from .guard import guarded


def _at(x, i):
    if isinstance(i, float):
        i = ENGINE.constant(i, x)
    length = ops.shape(x)[-1]
    valid = (i >= 0) & (i < ops.cast(length, i.dtype)) & (i == ops.floor(i))
    index = ops.cast(ops.where(valid, i, 0.0), "int32")
    index = ops.broadcast_to(index, (*ops.shape(x)[:-1], 1))
    return ops.where(valid, ops.take_along_axis(x, index, axis=-1), float("nan"))


def _before(x):
    return ops.cumsum(ops.concatenate([ops.zeros_like(x[..., :1]), x], axis=-1), axis=-1)[..., :-1]


_OPERATIONS = {
    "sqrt": ops.sqrt,
    "exp": ops.exp,
    "exp_m1": ops.expm1,
    "ln": ops.log,
    "ln_1p": ops.log1p,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "softplus": ops.softplus,
    "floor": ops.floor,
    "cos": ops.cos,
    "power_of": lambda x, c: ops.power(ops.convert_to_tensor(c, dtype=_dtype(x)), x),
    "powf": ops.power,
    "powi": ops.power,
    "max": ops.maximum,
    "min": ops.minimum,
    "flush": lambda x: x,
    "detach": ops.stop_gradient,
    "select": ops.where,
    "batch_all": ops.all,
    "row_sum": lambda x: ops.sum(x, axis=-1, keepdims=True),
    # Without an initial value, Keras refuses a batch without rows.
    "row_max": lambda x: ops.max(x, axis=-1, keepdims=True, initial=-math.inf),
    "row_before": _before,
    "row_after": lambda x: ops.flip(_before(ops.flip(x, -1)), -1),
    "batch_sum": ops.sum,
    "row_len": lambda x: ops.cast(ops.shape(x)[-1], x.dtype),
    "index": lambda x: ops.broadcast_to(ops.cast(ops.arange(ops.shape(x)[-1]), x.dtype), ops.shape(x)),
    "at": _at,
}


def _dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


ENGINE = _engine.Engine(
    ops,
    _OPERATIONS,
    tensor=lambda value: value if isinstance(value, keras.KerasTensor) else ops.convert_to_tensor(value),
    cast=ops.cast,
    constant=lambda number, like: ops.convert_to_tensor(number, dtype=_dtype(like)),
    compute_dtype=lambda tensor: "float64" if _dtype(tensor) == "float64" else "float32",
    result_dtype=lambda tensor: _dtype(tensor) if keras.backend.is_float_dtype(_dtype(tensor)) else "float32",
    sum_dtype=lambda tensor: "float64",
    is_wide=lambda tensor: _dtype(tensor) in ("int32", "int64", "uint32", "uint64"),
    index_dtype="int32",
    scatter=lambda numbers, places, length: ops.segment_sum(numbers, places, length + 1)[:length],
    shape=ops.shape,
    # In TensorFlow, lengths may be tensors.
    number=lambda count, like: ops.cast(count, _dtype(like)),
)


def _of_backend(formula, kind=None):
    """Returns the backend's own function, or None."""
    name = keras.backend.backend()
    return formula._engine(name, kind) if name in ("jax", "torch") else None


def loss(formula):
    differentiated = "derivative" not in formula.outputs
    symbolic = _engine.values(formula, ENGINE, _function(formula, "value", differentiated))
    own = _of_backend(formula) or (_tensorflow(formula) if keras.backend.backend() == "tensorflow" else symbolic)

    def f(*given):
        is_symbolic = any(isinstance(one, keras.KerasTensor) for one in given)
        return (symbolic if is_symbolic else own)(*given)

    f.__name__ = "formula"
    f.__dict__.update(own.__dict__)
    return f


def _tensorflow(formula):
    """Returns the loss for TensorFlow. Its first derivative is the plug-in's."""
    import tensorflow as tf

    if not formula.has_own_derivative:
        return _engine.values(formula, ENGINE, _function(formula, "value", differentiated=True))
    value = _function(formula, "value")
    slopes = [_function(formula, name, differentiated=True) if name in formula.outputs else None for name in ("derivative_y_true", "derivative")]

    @tf.custom_gradient
    def f(y_true, y_pred):
        def gradient(cotangent):
            if slopes[1] is None:
                raise NotImplementedError("the formula has no derivative with respect to y_pred")
            return tuple(None if slope is None else cotangent * slope(y_true, y_pred) for slope in slopes)

        return value(y_true, y_pred), gradient

    return _engine.values(formula, ENGINE, f)


def _function(formula, name, differentiated=False):
    """Returns an output as a function of rows."""
    graph, outputs = formula.graph, [formula.outputs[name]]
    run = function(*(guarded(graph, outputs) if differentiated else (graph, outputs)), ENGINE)
    by_row = name == "value" and formula.level("value") != "element"

    def f(*given):
        found, shape = run(*given)[0], ops.shape(given[-1])
        return ops.broadcast_to(found, (*shape[:-1], 1) if by_row else shape) if found.shape != given[-1].shape else found

    return f


def sums(formula):
    return _of_backend(formula, "sums") or _sums.metric(formula, ENGINE)


def optimizer(formula):
    own = _of_backend(formula)
    if own is not None:
        return own
    update = _engine.update(formula, ENGINE, function(formula.graph, list(formula.outputs.values()), ENGINE))
    return _compiled(update) if keras.backend.backend() == "tensorflow" else update


def _compiled(update):
    """Returns an update that XLA compiles on the CPU, where TensorFlow would pass over the memory for each operation.
    On a GPU, Keras lets XLA compile the whole step."""
    import tensorflow as tf

    if any(device.device_type != "CPU" for device in tf.config.list_physical_devices()):
        return update
    compiled = tf.function(update, jit_compile=True)
    return lambda *arguments: compiled(*tf.nest.map_structure(tf.convert_to_tensor, arguments))


def schedule(formula):
    own = _of_backend(formula)
    run = function(formula.graph, [formula.outputs["learning_rate"]], ENGINE)
    return own or (lambda step: run(ops.cast(step, "float32"))[0])
