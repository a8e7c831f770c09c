"""Metrics of a whole data set in a line."""

from __future__ import annotations

from . import _native
from . import metrics as _metrics


def score(y_true, y_pred, metrics, sample_weight=None):
    """The metrics of predictions: a dict from each metric's name to its result.

    ``y_true`` and ``y_pred`` are arrays or columns of pandas, polars or pyarrow; ``metrics`` is an identifier or a list of them. A metric
    that is given as an instance isn't changed. Two metrics of one name get a number, as in Keras's logs.

    >>> score([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6], ["BinaryAccuracy", "AUC"])  # doctest: +SKIP
    {'binary_accuracy': 0.5, 'auc': 0.75}
    """
    if not isinstance(metrics, (list, tuple)):
        metrics = [metrics]
    results = {}
    for identifier in metrics:
        given = _metrics.get(identifier)
        if given is None:
            raise ValueError("a metric was expected, not None")
        metric = type(given)._of(given._identifier, given._function)
        if metric._takes_values:
            metric.update_state(y_pred, sample_weight)
        else:
            # A column is what R2Score takes too, though Keras's doesn't.
            _native.Metric.update_state(metric, y_true, y_pred, sample_weight)
        name, number = metric.name, 1
        while name in results:
            name, number = f"{metric.name}_{number}", number + 1
        results[name] = metric.result()
    return results
