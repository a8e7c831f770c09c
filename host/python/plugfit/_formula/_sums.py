"""Metrics as functions of tensors of an engine: the sums of a batch, and the result of sums."""

from __future__ import annotations

import math

from . import _engine
from .graph import function


def metric(formula, engine):
    """Returns a metric as a function; see :class:`Formula <plugfit._formula.Formula>`. The sums of a mean are those of
    weight times value and of weight: a sample has the mean of its values. ``first_only``, weights with fewer axes belong to
    the first axes, as Keras has it for a loss."""
    make = _mean if formula.sums is None else _sums
    f, f.shape, f.result, f.undefined = make(formula, engine)
    f.__name__ = "formula"
    return f


def _mean(formula, engine):
    run, level = function(formula.graph, [formula.outputs["value"]], engine), formula.level("value")
    of_mean = _engine.of_mean(formula, engine) if "result" in formula.outputs else lambda mean: mean

    def value(*given):
        return engine.xp.broadcast_to(run(*given)[0], _shape(engine, given[-1], level))

    def sums(y_true, y_pred, sample_weight=None, first_only=False):
        y_pred = engine.tensor(y_pred)
        weights = [] if sample_weight is None else [_weight(engine, sample_weight, y_pred)]
        true, pred, aligned = _engine.rows(formula, engine, y_true, y_pred, weights, _sides(first_only))
        found = _engine.reduced(formula, engine, value, true, pred, [weight == 0 for weight in aligned])
        found = engine.cast(found, engine.sum_dtype(pred))
        shape = engine.shape(found)
        if not aligned:
            samples = _count(engine, shape[:1], found)
            return engine.xp.stack([engine.xp.sum(found) / _count(engine, shape[1:], found, least=1), samples])
        weight = engine.xp.broadcast_to(aligned[0][..., 0], shape)
        # A single weight is that of the batch.
        many = _count(engine, shape if len(weights[0].shape) == 0 else shape[1:], found, least=1)
        return engine.xp.stack([engine.xp.sum(_weighted(engine, found, weight)), engine.xp.sum(weight)]) / many

    def result(sums):
        sums = engine.tensor(sums)
        return engine.operations["select"](sums[1] == 0, math.nan, of_mean(sums[0] / sums[1]))

    return _engine.of_inputs(formula, sums), lambda columns=None: (2,), result, lambda sums: engine.tensor(sums)[1] == 0


def _sums(formula, engine):
    how = formula.sums
    names = [f"{what}.{name}" for name in how.terms for what in ("term", "bin")[: 1 if how.bins == 1 else 2]]
    run = function(formula.graph, [formula.outputs[name] for name in names], engine)
    # The unit of a term of each column is an element.
    units = {name: "element" if how.by_column else formula.level(f"term.{name}") for name in how.terms}
    by_element = "element" in units.values()

    def sums(y_true, y_pred, sample_weight=None, first_only=False):
        y_pred = engine.tensor(y_pred)
        weights = [] if sample_weight is None else [_weight(engine, sample_weight, y_pred)]
        true, pred, aligned = _engine.rows(formula, engine, y_true, y_pred, weights, _sides(first_only), by_element)
        # A row whose elements depend on each other has all of them, unless all have the weight 0.
        unused = [weight == 0 for weight in aligned]
        unused = [engine.xp.all(mask, axis=-1)[..., None] if formula.has_rows else mask for mask in unused]
        given = _engine.without(formula, engine, true, pred, unused)
        found = dict(zip(names, run(*(one for one in given if one is not None))))

        # Terms often have the same bins.
        places = {}

        def total(name):
            shape, place = _shape(engine, pred, units[name]), None
            if how.bins > 1:
                key = formula.outputs[f"bin.{name}"], units[name]
                if key not in places:
                    places[key] = _places(engine, how, found[f"bin.{name}"], shape, pred)
                place = places[key]
            return _total(engine, how, found[f"term.{name}"], place, shape, pred, aligned)

        return engine.xp.stack([total(name) for name in how.terms])

    def shape(columns=None):
        return (len(how.terms), *([columns] if how.by_column else []), *([how.bins] if how.bins > 1 else []))

    result, undefined = _results(how, engine)
    return _engine.of_inputs(formula, sums), shape, result, undefined


def _total(engine, how, term, place, shape, pred, weights):
    """Returns the sum of a term, whose units have this shape."""
    xp = engine.xp
    term = engine.cast(term, engine.sum_dtype(pred))
    for weight in weights:
        if shape[-1] == 1 and weight.shape[-1] not in (1, None):
            raise ValueError(f"sample_weight has the shape {tuple(weight.shape)}, but rows have one weight")
        term = _weighted(engine, term, weight)
    term = xp.broadcast_to(term, shape)
    columns = shape[-1] if how.by_column else 1
    if place is None:
        return xp.sum(xp.reshape(term, (math.prod(shape[:-1]), columns)), axis=0) if how.by_column else xp.sum(term)
    found = engine.scatter(xp.reshape(term, (-1,)), place, columns * how.bins)
    return xp.reshape(found, (columns, how.bins)) if how.by_column else found


def _places(engine, how, bins, shape, pred):
    """Returns the place of each unit in the vector of bins, which is after the last if there is no such bin."""
    select, columns = engine.operations["select"], shape[-1] if how.by_column else 1
    exists = (bins >= 0) & (bins < how.bins) & (bins == engine.operations["floor"](bins))
    place = engine.cast(select(exists, bins, 0.0), engine.index_dtype)
    if how.by_column:
        place = place + engine.cast(engine.operations["index"](pred), engine.index_dtype) * how.bins
    return engine.xp.reshape(engine.xp.broadcast_to(select(exists, place, columns * how.bins), shape), (-1,))


def _results(how, engine):
    """Returns the functions ``result`` and ``undefined`` of sums; the second may be None."""
    outputs, level = how.result.outputs, how.result.level("result")
    run = {name: function(how.result.graph, [outputs[name]], engine) for name in outputs}

    def of(name, sums):
        return run[name](*(sums[index] for index in range(len(how.terms))))[0]

    def undefined(sums):
        return engine.xp.any(of("undefined", engine.tensor(sums)) != 0)

    def result(sums):
        sums = engine.tensor(sums)
        found = of("result", sums)
        if level == "row":
            found = found[..., 0]
        elif level == "element":
            found = found[..., : how.result_length]
        return found if "undefined" not in run else engine.operations["select"](undefined(sums), math.nan, found)

    return result, undefined if "undefined" in run else None


def _sides(first_only):
    return ("first",) if first_only else ("first", "last")


def _weight(engine, weight, y_pred):
    weight = engine.tensor(weight)
    return engine.cast(weight, engine.sum_dtype(y_pred))


def _weighted(engine, numbers, weight):
    """Returns numbers times weights. A weight of 0 gives 0: infinity and NaN times 0 are NaN."""
    return engine.operations["select"](weight == 0, 0.0, numbers * weight)


def _shape(engine, pred, level):
    """Returns the shape of the numbers of this level."""
    shape = tuple(engine.shape(pred))
    return shape if level == "element" else (*shape[:-1], 1)


def _count(engine, lengths, like, least=0):
    """Returns the product of lengths, or ``least``."""
    count = engine.number(math.prod(lengths), like)
    return engine.xp.maximum(count, engine.constant(least, like)) if least else count
