"""Metrics of a whole data set in a line."""

from __future__ import annotations

import numpy as np

from . import _arrays
from . import metrics as _metrics

#: Of a vector these have one value, not one for each number.
_OF_LINES = {"ConcordanceCorrelation", "CosineSimilarity", "PearsonCorrelation"}


def score(y_true, y_pred, metrics, sample_weight=None):
    """The metrics of predictions: a dict from each metric's name to its result.

    ``y_true`` and ``y_pred`` are arrays or columns of pandas, polars or pyarrow; ``metrics`` is an identifier or a list of them. A metric
    that is given as an instance isn't changed. Two metrics of one name get a number, as in Keras's logs. ``"accuracy"`` counts predictions
    that equal their label, as Keras's Accuracy does: of probabilities ``BinaryAccuracy`` is meant.

    Raises ValueError where a column has missing values, beside what a metric raises.

    >>> score([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6], ["BinaryAccuracy", "AUC"])  # doctest: +SKIP
    {'binary_accuracy': 0.5, 'auc': 0.75}
    """
    if not isinstance(metrics, (list, tuple)):
        metrics = [metrics]
    y_true, y_pred, sample_weight = (
        None if column is None else _complete(column, name)
        for column, name in ((y_true, "y_true"), (y_pred, "y_pred"), (sample_weight, "sample_weight"))
    )
    results = {}
    for identifier in metrics:
        given = _metrics.get(identifier)
        if given is None:
            raise ValueError("a metric was expected, not None")
        metric = given._again()
        if metric._takes_values:
            metric.update_state(y_pred, sample_weight)
        else:
            columns = y_true, y_pred
            if np.ndim(y_true) == np.ndim(y_pred) == 1 and metric._is_standard() and type(metric).__name__ not in _OF_LINES:
                # Rows of one number, each with its weight.
                columns = y_true[:, None], y_pred[:, None]
            metric.update_state(*columns, sample_weight)
        name, number = metric.name, 1
        while name in results:
            name, number = f"{metric.name}_{number}", number + 1
        results[name] = metric.result()
    return results


def _complete(column, name):
    """A column as an array; in NumPy's own a NaN is a number like others, elsewhere it is a value that is missing."""
    array = _arrays.plain(column, name)
    if not isinstance(column, np.ndarray) and array.dtype.kind == "f" and np.isnan(array).any():
        raise _arrays.lacking(np.isnan(array), name)
    return array
