"""What the engines share: operations that Python's operators compute, and the layout of a loss's rows."""

from __future__ import annotations

import operator

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

    ``xp`` has ``reshape``, ``moveaxis``, ``broadcast_to`` and ``mean`` with NumPy's arguments. A dtype is the engine's
    own; ``compute_dtype`` is the one in which a formula is computed for a tensor, and ``result_dtype`` that of its
    results.
    """

    def __init__(self, xp, operations, tensor, cast, constant, compute_dtype, result_dtype):
        self.xp, self.operations = xp, {**OPERATORS, **operations}
        self.tensor, self.cast, self.constant = tensor, cast, constant
        self.compute_dtype, self.result_dtype = compute_dtype, result_dtype


def values(formula, engine, value):
    """Returns a loss as a function of ``y_true`` and ``y_pred``.

    ``unused`` are masks of values that the caller doesn't use, such as those of weight 0: they get finite numbers instead
    of their inputs, so that neither values nor derivatives are NaN. ``value`` computes the loss from tensors whose last
    axis is that of the elements of a row. It returns a tensor of the same rank, in which a row has one entry or one for
    each element.
    """
    is_element = formula.level("value") == "element"

    select = engine.operations["select"]
    # A label of every convention: 0 or 1, -1 or 1.
    number = 1.0 if formula.inputs["y_true"] == "element" else 0.0

    def f(y_true, y_pred, *unused):
        y_true, y_pred = engine.tensor(y_true), engine.tensor(y_pred)
        dtype = engine.compute_dtype(y_pred)
        true, pred = rows(formula, engine, engine.cast(y_true, dtype), engine.cast(y_pred, dtype))
        # A loss of one value for the whole batch has nothing to leave out.
        for mask in unused if len(pred.shape) > 1 else ():
            mask = _fitting(mask, pred.shape)
            true, pred = select(mask, number, true), select(mask, 0.5, pred)
        found = value(true, pred)
        reduced = engine.xp.mean(found, axis=-1) if is_element else found[..., 0]
        return engine.cast(reduced, engine.result_dtype(y_pred))

    f.__name__ = "formula"
    if "result" in formula.outputs:
        run = function(formula.graph, [formula.outputs["result"]], engine)
        # Only the mean is an input of the result.
        f.result = lambda mean: run(None, None, engine.cast(engine.tensor(mean), engine.compute_dtype(engine.tensor(mean))))[0]
    return f


def rows(formula, engine, y_true, y_pred):
    """Returns the tensors with the elements of a row along the last axis, which has the length 1 for class ids."""
    xp, axis = engine.xp, formula.axis
    if formula.each in ("row", "class_id") and len(y_pred.shape) == 1:
        # Each number of a vector is a row.
        y_true, y_pred = xp.reshape(y_true, (-1, 1)), y_pred[..., None]
    if formula.each == "element":
        y_true, y_pred = _matched(xp, y_true, y_pred)
        return y_true[..., None], y_pred[..., None]
    if formula.each == "line" and len(y_pred.shape) == 1:
        raise ValueError("a batch of one axis is one line over all samples, which has no formula: pass engine='native'")
    if formula.inputs["y_true"] == "element":
        y_true, y_pred = _matched(xp, y_true, y_pred)
        if axis is None:
            return xp.reshape(y_true, (-1,)), xp.reshape(y_pred, (-1,))
        axis = _checked_axis(axis, y_pred)
        return _last(xp, y_true, axis), _last(xp, y_pred, axis)
    if axis is None:
        raise ValueError("class ids need an axis of classes")
    axis = _checked_axis(axis, y_pred)
    y_pred = _last(xp, y_pred, axis)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = _last(xp, y_true, axis)
    elif len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = y_true[..., None]
    if not _equal(y_true.shape[:-1], y_pred.shape[:-1]) or y_true.shape[-1] != 1:
        raise ValueError(
            f"y_true of shape {tuple(y_true.shape)} doesn't hold one class id for each row of y_pred, "
            f"whose rows have the shape {tuple(y_pred.shape[:-1])}"
        )
    return y_true, y_pred


def _fitting(mask, shape):
    """Adds the axis of elements to a mask of values, so that it broadcasts to ``shape``, that of the elements.

    As in Keras, the mask or the values may lack a last axis of length 1 that the other has, and a mask of fewer axes
    belongs to the last ones.
    """
    given, values = tuple(mask.shape), tuple(shape[:-1])
    if len(given) == len(values) + 1 and given[-1] == 1:
        fitting = mask
    elif len(given) + 1 == len(values) and values[-1] == 1:
        fitting = mask[..., None, None]
    else:
        fitting = mask[..., None]
    lengths = tuple(fitting.shape)
    fits = all(one in (1, None) or other in (one, None) for one, other in zip(lengths[::-1], tuple(shape)[::-1]))
    if len(lengths) > len(shape) or not fits:
        raise ValueError(f"weights of shape {given} don't fit the loss of shape {values}")
    return fitting


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
