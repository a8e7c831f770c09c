"""The shape and the names of a metric's results, which compiled functions need before the first batch."""

from __future__ import annotations

import numpy as np


def results_of(metric, batch):
    """Returns the results after a batch with the shapes and dtypes of this one, or None if no such batch is valid.
    ``batch`` contains pairs of shape and dtype by name; an unknown length, that of the batch, is None."""
    # As many rows as classes, so that each class is seen.
    rows = max((shape[-1] if len(shape) else 1) or 1 for shape, _ in batch.values())
    ones = {name: np.ones([rows if length is None else length for length in shape], dtype) for name, (shape, dtype) in batch.items()}
    for labels in _labels(ones):
        trial = metric._fresh_copy()
        try:
            trial.update_state(**{**ones, **labels})
        except ValueError:  # they aren't labels of this metric
            continue
        return trial.result()
    return None


def _labels(batch):
    """Yields labels to try: the ids of all classes, if there may be ids, and ones."""
    if "y_true" in batch and np.shape(batch["y_true"]) != np.shape(batch["y_pred"]):
        y_true, classes = batch["y_true"], max(np.shape(batch["y_pred"])[-1:], default=1)
        ids = np.arange(y_true.size).reshape(y_true.shape)
        for count in (max(classes, 2), classes):
            yield {"y_true": (ids % max(count, 1)).astype(y_true.dtype)}
    yield {}


def numbers(metric, names, shape):
    """Returns the results as a list of float32: a number for each name, or without names one array of this shape.

    Raises ValueError if they have other names or another shape.
    """
    found = metric._result()
    if found is None:
        undefined = np.asarray(metric._undefined(), np.float32)
        return [np.broadcast_to(undefined, shape)] * max(len(names), 1)
    hint = "give compile() run_eagerly=True"
    given = sorted(found) if isinstance(found, dict) else []
    if given != sorted(names) or isinstance(found, dict) != bool(names):
        shown = lambda names: ", ".join(names) or "no name"
        raise ValueError(f"the metric has results for {shown(given)}, and the compiled function for {shown(names)}: {hint}")
    if not names and np.shape(found) != shape:
        raise ValueError(f"the result has the shape {np.shape(found)}, and that of the compiled function {shape}: {hint}")
    return [np.float32(found[name]) for name in names] or [np.asarray(found, np.float32)]
