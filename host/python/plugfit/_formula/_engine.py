"""What the engines share: operations that Python's operators compute, and the layout of a loss's rows."""

from __future__ import annotations

import math
import operator

from ._precision import MOST
from .graph import function

#: The operations of which every engine's tensors have operators.
OPERATORS = {
    "neg": operator.neg,
    "abs": operator.abs,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "and": operator.and_,
    "or": operator.or_,
    "not": operator.invert,
}


class Engine:
    """An engine: ``operations`` by name, and functions on tensors.

    ``xp`` has ``reshape``, ``moveaxis``, ``broadcast_to``, ``stack``, ``mean``, ``sum``, ``all``, ``any`` and ``maximum``
    with NumPy's arguments. A dtype is the engine's own; ``compute_dtype`` is the one in which a formula is computed for a
    tensor, ``result_dtype`` that of its results, and ``sum_dtype`` that of sums. ``is_wide`` returns whether a tensor has
    integers of more than 16 bits. ``shape`` returns the lengths of a tensor, and
    ``number`` makes a tensor of a product of lengths, as ``constant`` does of a number.
    ``scatter`` adds numbers to the places of a vector: it takes the numbers, their places, and the length; it ignores the
    place after the last.
    """

    def __init__(
        self,
        xp,
        operations,
        tensor,
        cast,
        constant,
        compute_dtype,
        result_dtype,
        sum_dtype,
        is_wide,
        index_dtype,
        scatter,
        shape=lambda tensor: tensor.shape,
        number=None,
    ):
        self.xp, self.operations = xp, {**OPERATORS, **operations}
        self.tensor, self.cast, self.constant = tensor, cast, constant
        self.compute_dtype, self.result_dtype, self.sum_dtype = compute_dtype, result_dtype, sum_dtype
        self.is_wide, self.index_dtype, self.scatter, self.shape = is_wide, index_dtype, scatter, shape
        self.number = number or constant


def values(formula, engine, value):
    """Returns a loss as a function of ``y_true`` and ``y_pred``.

    ``unused`` are masks of values that the caller doesn't use, such as those of weight 0: they get finite numbers instead
    of their inputs, so that neither values nor derivatives are NaN. ``value`` computes the loss from tensors whose last
    axis is that of the elements of a row. It returns a tensor of the same rank, in which a row has one entry or one for
    each element.
    """

    def f(y_true, y_pred, *unused):
        y_pred = engine.tensor(y_pred)
        true, pred, _ = rows(formula, engine, y_true, y_pred)
        # A loss of one value for the whole batch has nothing to leave out.
        unused = [aligned(mask, pred.shape[:-1], ("last",))[..., None] for mask in unused if len(pred.shape) > 1]
        return engine.cast(reduced(formula, engine, value, true, pred, unused), engine.result_dtype(y_pred))

    f = of_inputs(formula, f)
    f.__name__ = "formula"
    if "result" in formula.outputs:
        f.result = of_mean(formula, engine)
    return f


def of_inputs(formula, f):
    """Returns the function with the arguments that the formula has: ``values``, or ``y_true`` and ``y_pred``."""
    return f if "y_true" in formula.inputs else lambda values, *others, **named: f(None, values, *others, **named)


def of_mean(formula, engine):
    """Returns the result as a function of the mean."""
    run = function(formula.graph, [formula.outputs["result"]], engine)
    # Only the mean is an input of the result.
    before = [None] * (formula.graph.inputs - 1)

    def result(mean):
        mean = engine.tensor(mean)
        return run(*before, engine.cast(mean, engine.compute_dtype(mean)))[0]

    return result


def reduced(formula, engine, value, true, pred, unused):
    """Returns the values of rows; see :func:`values`."""
    true, pred = without(formula, engine, true, pred, unused)
    found = value(*(one for one in (true, pred) if one is not None))
    return engine.xp.mean(found, axis=-1) if formula.level("value") == "element" else found[..., 0]


def without(formula, engine, true, pred, unused):
    """Returns inputs with finite numbers where one of the masks holds."""
    select = engine.operations["select"]
    # A label of every convention: 0 or 1, -1 or 1.
    label = 1.0 if formula.inputs.get("y_true") == "element" else 0.0
    for mask in unused:
        true, pred = None if true is None else select(mask, label, true), select(mask, 0.5, pred)
    return true, pred


def rows(formula, engine, y_true, y_pred, weights=(), sides=(), by_element=False):
    """Returns the inputs with the elements of a row along the last axis, which has the length 1 for class ids, and a list
    of the weights, which are those of rows or, ``by_element``, of elements, so that they broadcast to ``y_pred``. ``sides``
    are those of :func:`aligned`. Without labels, ``y_true`` is None."""
    xp, axis, each = engine.xp, formula.axis, formula.each
    y_true, y_pred = _numbers(formula, engine, None if y_true is None else engine.tensor(y_true), y_pred)
    if each in ("row", "class_id") and len(y_pred.shape) == 1:
        # Each number of a vector is a row.
        y_true, y_pred = None if y_true is None else xp.reshape(y_true, (-1, 1)), y_pred[..., None]
    if each == "line" and len(y_pred.shape) == 1:
        raise ValueError("a batch of one axis is one line over all samples, which has no formula: pass engine='native'")
    has_ids = formula.inputs.get("y_true") == "row"
    if y_true is not None and (not has_ids or each == "element"):
        y_true, y_pred = _matched(xp, y_true, y_pred)
    if each == "element":
        y_true, y_pred, axis, by_element = None if y_true is None else y_true[..., None], y_pred[..., None], -1, False
    shape = tuple(y_pred.shape)
    if axis is None:
        if has_ids:
            raise ValueError("class ids need an axis of classes")
        of_rows = ()
    else:
        axis = _checked_axis(axis, y_pred)
        of_rows = shape[:axis] + shape[axis + 1 :]

    def along(tensor):
        return xp.reshape(tensor, (-1,)) if axis is None else _last(xp, tensor, axis)

    def weight(given):
        if not by_element:
            return aligned(given, of_rows, sides)[..., None]
        given = aligned(given, shape, sides)
        return along(xp.broadcast_to(given, engine.shape(y_pred)) if axis is None else given)

    weights = [weight(given) for given in weights]
    if y_true is not None:
        y_true = _ids(xp, y_true, along(y_pred), axis) if has_ids and each != "element" else along(y_true)
    return y_true, along(y_pred), weights


def _numbers(formula, engine, y_true, y_pred):
    """Returns the inputs in the dtype of the computation. float32 doesn't have all integers beyond 2^24. float64 is the
    dtype if labels are compared with numbers of this size, if all inputs are such integers, and if a row has more classes.
    In an engine without float64, a larger integer that is compared becomes NaN."""
    dtype, wide = engine.compute_dtype(y_pred), engine.sum_dtype(y_pred)
    inputs = [one for one in (y_true, y_pred) if one is not None]
    are_wide = [engine.is_wide(one) for one in inputs]
    is_compared = any(are_wide) and formula.compares_labels
    has_many_classes = formula.inputs.get("y_true") == "row" and _has_many_classes(formula, y_pred)
    if is_compared or has_many_classes or (all(are_wide) and formula.computes_integers):
        if "float64" in str(wide):
            dtype = wide
        elif has_many_classes:
            raise ValueError(f"y_pred of shape {tuple(y_pred.shape)} has more than 2**24 classes, which need float64")
        elif is_compared:
            inputs = [_exact(engine, one, dtype) if is_wide else one for one, is_wide in zip(inputs, are_wide)]
    inputs = [engine.cast(one, dtype) for one in inputs]
    return (None, *inputs) if y_true is None else inputs


def _has_many_classes(formula, y_pred):
    shape, axis = tuple(y_pred.shape), formula.axis
    return len(shape) > 1 and axis is not None and -len(shape) <= axis < len(shape) and (shape[axis] or 0) > MOST


def _exact(engine, integers, dtype):
    """Returns integers in a dtype, NaN where it rounds them."""
    return engine.operations["select"]((integers > MOST) | (integers < -MOST), math.nan, engine.cast(integers, dtype))


def _ids(xp, y_true, y_pred, axis):
    """Returns class ids along the last axis. That of ``y_pred`` is the last already."""
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = _last(xp, y_true, axis)
    elif len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = y_true[..., None]
    if not _equal(y_true.shape[:-1], y_pred.shape[:-1]) or y_true.shape[-1] != 1:
        raise ValueError(
            f"y_true of shape {tuple(y_true.shape)} doesn't hold one class id for each row of y_pred, "
            f"whose rows have the shape {tuple(y_pred.shape[:-1])}"
        )
    return y_true


def aligned(weight, shape, sides):
    """Returns the weights of values of a shape, with as many axes.

    As in Keras, the weights or the values may lack a last axis of length 1 that the other has. Weights with fewer axes
    belong to the ``first`` axes or to the ``last``, whichever of ``sides`` fits.
    """
    given, shape = tuple(weight.shape), tuple(shape)
    if len(given) == len(shape) + 1 and given[-1] == 1:
        weight = weight[..., 0]
    elif len(given) + 1 == len(shape) and shape[-1] == 1:
        weight = weight[..., None]
    lengths = tuple(weight.shape)
    missing = len(shape) - len(lengths)
    fits = lambda lengths, shape: all(one in (1, None) or other in (one, None) for one, other in zip(lengths, shape))
    if missing >= 0 and "first" in sides and fits(lengths, shape):
        return weight[(..., *[None] * missing)]
    if missing >= 0 and "last" in sides and fits(lengths, shape[missing:]):
        return weight[(*[None] * missing, ...)]
    raise ValueError(f"sample_weight of shape {given} doesn't fit the values of shape {shape}")


def _checked_axis(axis, y_pred):
    rank = len(y_pred.shape)
    if not -rank <= axis < rank:
        raise ValueError(f"y_pred of shape {tuple(y_pred.shape)} has no axis {axis}")
    return axis % rank


def _last(xp, tensor, axis):
    return tensor if axis == len(tensor.shape) - 1 else xp.moveaxis(tensor, axis, -1)


def _matched(xp, y_true, y_pred):
    """Brings both to one shape: as in Keras, a last axis of length 1 may be missing in one of them."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if len(true) + 1 == len(pred) and pred[-1] == 1:
        y_true = y_true[..., None]
    elif len(true) == len(pred) + 1 and true[-1] == 1:
        # A vector becomes a column, so that every entry is a row.
        y_true, y_pred = (y_true, y_pred[..., None]) if len(pred) == 1 else (y_true[..., 0], y_pred)
    if not _equal(y_true.shape, y_pred.shape):
        raise ValueError(
            f"y_true of shape {true} doesn't fit y_pred of shape {pred}: each prediction needs a label of its own; bring both to one shape"
        )
    return y_true, y_pred


def _equal(one, other):
    """Returns whether shapes are equal. A length that isn't known, which Keras may have, equals any."""
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in zip(one, other))


def update(formula, engine, run):
    """Returns an optimizer as a function of a parameter, its gradient, its slots, the learning rate and the number of
    the update. ``run`` computes the outputs from the inputs."""
    names, outputs = list(formula.inputs), list(formula.outputs)
    # The elements of the parameter are one row.
    has_rows = formula.has_rows

    def element(tensor):
        return engine.xp.reshape(tensor, (-1,)) if has_rows else tensor

    def f(parameter, gradient, slots, learning_rate, number):
        parameter = engine.tensor(parameter)
        slots = {name: engine.tensor(slot) for name, slot in slots.items()}
        dtype = engine.compute_dtype(parameter)
        given = {"parameter": parameter, "gradient": gradient, "learning_rate": learning_rate, "number": number}
        given.update((f"slot.{name}", slot) for name, slot in slots.items())
        tensors = {name: engine.cast(engine.tensor(tensor), dtype) for name, tensor in given.items()}
        levels = formula.inputs
        found = run(*(element(tensors[name]) if levels[name] == "element" else tensors[name] for name in names))
        found = dict(zip(outputs, found))

        def restored(name, like):
            result = engine.xp.reshape(found[name], like.shape) if has_rows else found[name]
            return engine.cast(engine.xp.broadcast_to(result, like.shape), like.dtype)

        return restored("parameter", parameter), {name: restored(f"slot.{name}", slot) for name, slot in slots.items()}

    f.__name__ = "formula"
    return f
