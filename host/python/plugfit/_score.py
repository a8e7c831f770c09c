"""Metrics of a whole data set in one call."""

from __future__ import annotations

import numpy as np

from . import _arrays
from . import metrics as _metrics

#: Metrics for which a vector is one row.
_OF_LINES = {"ConcordanceCorrelation", "CosineSimilarity", "PearsonCorrelation"}


def score(y_true, y_pred, metrics, sample_weight=None):
    """Computes metrics of predictions. Returns a dict from each metric's name to its result.

    ``y_true`` and ``y_pred`` are arrays or columns of pandas, polars or pyarrow; ``metrics`` is an identifier or a list
    of identifiers. A metric that is passed as an instance isn't changed. If two metrics have the same name, a number is
    appended, as in Keras's logs. ``"accuracy"`` counts predictions that equal their label, as Keras's Accuracy does;
    use ``BinaryAccuracy`` for probabilities.

    Raises ValueError if a column has missing values, and the errors that a metric raises.

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
        metric = given._fresh_copy()
        if metric._takes_values:
            metric.update_state(y_pred, sample_weight)
        else:
            columns = y_true, y_pred
            if np.ndim(y_true) == np.ndim(y_pred) == 1 and metric._is_standard() and type(metric).__name__ not in _OF_LINES:
                # Each number is a row with its own weight.
                columns = y_true[:, None], y_pred[:, None]
            metric.update_state(*columns, sample_weight)
        name, number = metric.name, 1
        while name in results:
            name, number = f"{metric.name}_{number}", number + 1
        results[name] = metric.result()
    return results


def _complete(column, name):
    """Returns a column as an array. A NaN is a number in a NumPy array, and a missing value in any other column."""
    array = _arrays.plain(column, name)
    if not isinstance(column, np.ndarray) and array.dtype.kind == "f" and np.isnan(array).any():
        raise _arrays.missing_values_error(np.isnan(array), name)
    return array
