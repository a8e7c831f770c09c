"""Steps of optimizers in compiled JAX functions. Each takes the variables that the step before it returned."""

from __future__ import annotations

import json

import jax
import numpy as np

from ..optimizers import check_present
from . import _xla


def updated(optimizer, values, grads, present, rate, quiet):
    """Returns the values of all variables after a step of the plug-in. ``grads`` are those of the ``present`` ones."""
    names = list(optimizer._names())
    shapes = [jax.ShapeDtypeStruct(value.shape, np.float32) for value in values]
    single = [array.astype(np.float32) for array in (*values, *grads)]
    rates = [] if rate is None else [rate]

    def step(*arrays):
        values, grads, rate = arrays[: len(names)], arrays[len(names) : len(single)], arrays[len(single) :]
        return optimizer._step(values, grads, present, rate[0] if rate else None, quiet)

    if not _xla.is_available():
        return _xla.call(None, step, shapes, [*single, *rates], optimizer.name, None, ordered=True)
    if not quiet:
        check_present(present, names)
    optimizer._describe()
    attributes = {"number": str(optimizer._number), "present": json.dumps(present)}
    return _xla.call("plugfit_optimizer", step, shapes, [*single, *rates], optimizer.name, attributes, ordered=True)
