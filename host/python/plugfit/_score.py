"""Metrics of a whole data set in one call."""

from __future__ import annotations

import numpy as np

from . import _arrays, _score_table
from . import metrics as _metrics

#: Metrics for which a vector is one row.
_OF_LINES = {"ConcordanceCorrelation", "CosineSimilarity", "PearsonCorrelation"}


def score(y_true, y_pred, metrics, sample_weight=None, *, data=None, **options):
    """Computes metrics of predictions, of arrays or of the columns of ``data``.

    **Arrays.** Returns a dict from each metric's name to its result.

    ``y_true`` and ``y_pred`` are arrays or columns of pandas, polars or pyarrow; ``metrics`` is an identifier or a list
    of identifiers. A metric that is passed as an instance isn't changed. If two metrics have the same name, a number is
    appended, as in Keras's logs. ``"accuracy"`` counts predictions that equal their label, as Keras's Accuracy does;
    use ``BinaryAccuracy`` for probabilities.

    Raises ValueError if a column has missing values, and the errors that a metric raises.

    >>> score([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6], ["BinaryAccuracy", "AUC"])  # doctest: +SKIP
    {'binary_accuracy': 0.5, 'auc': 0.75}

    **Columns.** With ``data``, ``y_true``, ``y_pred`` and ``sample_weight`` are names of its columns, or SQL
    expressions. ``data`` is a table of polars, pandas or Arrow, or a path, a pattern or a list of these: Parquet, CSV,
    JSON Lines or Arrow IPC. The files are read as a stream, by the program ``plugfit-score``, which must be installed;
    ``plugfit score --help`` describes its options. They are keyword arguments here: ``by`` and ``require`` (a string or
    a list), ``inputs`` (a dict), ``classes``, ``where``, ``nulls``, ``min_rows``, ``ci``, ``ci_by``, ``compare``,
    ``baseline``, ``replicates``, ``seed``, ``memory_limit`` and ``threads``. In ``metrics``, ``"accuracy"`` is that of
    ``compile``.

    Returns a dict: ``groups`` is a list with a dict for each group, of ``by``, ``rows``, ``metrics`` and, with ``ci``,
    ``intervals``; ``differences`` has the same with ``compare``. An undefined metric is None. Raises ValueError for wrong
    options and RuntimeError if the data can't be scored or ``require`` isn't met; both say which file, row or group.

    >>> score("label", "score", "auc", data="preds.parquet", by="model")["groups"]  # doctest: +SKIP
    [{'by': {'model': 'a'}, 'rows': 5000, 'metrics': {'auc': 0.91}}]
    """
    if data is not None:
        return _score_table.score_table(data, metrics, _options(y_true, y_pred, sample_weight, options))
    if options:
        raise TypeError(f"{', '.join(options)}: only with data=..., of whose columns y_true and y_pred are names")
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


#: The options of the program that are keyword arguments.
_OPTIONS = (
    *("baseline", "by", "ci", "ci_by", "classes", "compare", "inputs", "memory_limit", "min_rows", "nulls"),
    *("replicates", "require", "seed", "threads", "where"),
)


def _options(y_true, y_pred, sample_weight, options):
    """Returns the options of the program by name."""
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise TypeError(f"score has no option {unknown[0]!r}; it has {', '.join(_OPTIONS)}")
    columns = {"y_true": y_true, "y_pred": y_pred, "sample_weight": sample_weight}
    for name, column in columns.items():
        if column is not None and not isinstance(column, str):
            raise TypeError(f"{name} is the name of a column of data, not a {type(column).__name__}")
    return {**columns, **{"input" if name == "inputs" else name: value for name, value in options.items()}}


def _complete(column, name):
    """Returns a column as an array. A NaN is a number in a NumPy array, and a missing value in any other column."""
    array = _arrays.plain(column, name)
    if not isinstance(column, np.ndarray) and array.dtype.kind == "f" and np.isnan(array).any():
        raise _arrays.missing_values_error(np.isnan(array), name)
    return array
