"""Metrics as scorers of scikit-learn: ``cross_val_score(model, x, y, scoring=plugfit.sklearn.scorer("AUC"))``."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn.base import is_classifier

from . import metrics as _metrics
from ._config import with_settings
from ._score import score

__all__ = ["Scorer", "scorer"]

#: Metrics that compare class ids with class ids.
_OF_PREDICTED_IDS = ("Accuracy", "IoU", "MeanIoU")

#: Metrics whose rows have a number for each class, even if there are two classes.
_OF_ROWS = ("Categorical", "TopK", "OneHot", "KLDivergence", "CosineSimilarity")


class Scorer:
    """A metric as a scorer: ``scorer(estimator, x, y)`` returns the result as a float, with the opposite sign if smaller
    results are better.

    Classes are numbered in the order of the estimator's ``classes_``. For two classes the metric gets the probabilities of
    ``pos_label``, by default the second class. For more classes, and for metrics of rows, it gets a row of probabilities for
    each sample, and labels that are one-hot, or ids for metrics whose name begins with ``Sparse``. ``Accuracy`` and the
    IoUs of ids get predicted classes. An estimator that isn't a classifier gives its ``predict``.
    """

    def __init__(self, identifier, response_method=None, pos_label=None, greater_is_better=None):
        self.metric = _metrics.get(identifier)
        if self.metric is None or self.metric._takes_values:
            raise ValueError("a scorer needs a metric of labels and predictions")
        # Nobody knows the direction of a user's function.
        direction = self.metric.direction if self.metric._function is None else None
        if greater_is_better is None and direction is None:
            raise ValueError(f"{self.metric.name} doesn't say which results are better: give greater_is_better")
        self.response_method, self.pos_label = response_method, pos_label
        self.greater_is_better = direction == "maximize" if greater_is_better is None else greater_is_better

    def __call__(self, estimator, x, y, sample_weight=None):
        """Returns the score of a fitted estimator.

        Raises ValueError if a label isn't a class of the estimator, or if the result isn't one number, and TypeError if the
        estimator has no probabilities and the metric needs them.
        """
        method = self.response_method or self._method(estimator)
        predictions = getattr(estimator, method)(x)
        if isinstance(predictions, list):  # of a classifier with several labels for each sample
            predictions = np.stack([of_label[:, -1] for of_label in predictions], 1)
        elif is_classifier(estimator) and np.ndim(y) == 1:
            y, predictions = self._of_classes(estimator.classes_, np.asarray(y), np.asarray(predictions), method)
        (found,) = score(y, predictions, self.metric, sample_weight).values()
        if isinstance(found, dict) or np.ndim(found):
            raise ValueError(f"{self.metric.name} has several results, and a score is one number: give settings with one, such as average='macro'")
        return float(found) if self.greater_is_better else -float(found)

    def _method(self, estimator):
        if not is_classifier(estimator) or self._name in _OF_PREDICTED_IDS:
            return "predict"
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"{self.metric.name} needs probabilities, which {type(estimator).__name__} doesn't have: "
                "wrap it in CalibratedClassifierCV, or give response_method='predict'"
            )
        return "predict_proba"

    @property
    def _name(self):
        return type(self.metric).__name__

    def _of_classes(self, classes, y, predictions, method):
        """Returns labels and predictions as the metric takes them."""
        ids = _ids(classes, y)
        if self._name in _OF_PREDICTED_IDS:
            return ids, _ids(classes, predictions)
        positive = 1 if self.pos_label is None else int(_ids(classes, np.array([self.pos_label]))[0])
        takes_ids = self._name.startswith("Sparse")
        of_rows = takes_ids or self._name.startswith(_OF_ROWS) or len(classes) > 2
        if method == "predict":
            predictions = np.eye(len(classes))[_ids(classes, predictions)]
        elif predictions.ndim == 1:  # decision_function of two classes
            if of_rows or self.pos_label is not None and positive == 0:
                raise ValueError(f"{self.metric.name} needs a number for each class, and {method} gives one: use predict_proba")
            return ids, predictions
        if not of_rows:
            return (ids == positive).astype(np.int64), predictions[:, positive]
        return (ids if takes_ids else np.eye(len(classes))[ids]), predictions

    def __repr__(self):
        return f"scorer({self.metric.name!r})"


def _ids(classes, labels):
    """Returns the numbers of labels among the sorted classes."""
    ids = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    unknown = classes[ids] != labels
    if unknown.any():
        raise ValueError(f"the label {labels[unknown].tolist()[0]!r} isn't a class of the estimator, which has {', '.join(map(repr, classes.tolist()))}")
    return ids


def scorer(identifier: Any, *, response_method=None, pos_label=None, greater_is_better=None, **settings: Any) -> Scorer:
    """Returns a metric as a scorer for ``scoring`` in scikit-learn. A name may have settings: ``scorer("AUC", curve="PR")``.

    ``response_method`` is the method of the estimator that gives predictions: ``"predict_proba"``, ``"predict"`` or
    ``"decision_function"``; by default :class:`Scorer` chooses it. ``greater_is_better`` is needed only for metrics without
    a direction.

    Raises ValueError if the metric is unknown, has no direction, or takes no labels.
    """
    return Scorer(with_settings(identifier, settings), response_method, pos_label, greater_is_better)
