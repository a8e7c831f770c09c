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

#: Metrics that compare the probabilities of the classes, unless they have a threshold.
_OF_MAXIMUM = ("F1Score", "FBetaScore")

#: Metrics whose rows have a number for each class, even if there are two classes.
_OF_ROWS = ("Categorical", "TopK", "OneHot", "KLDivergence", "CosineSimilarity")


class Scorer:
    """A metric as a scorer: ``scorer(estimator, x, y)`` returns the result as a float, with the opposite sign if smaller
    results are better.

    Classes are numbered in the order of the estimator's ``classes_``. For two classes the metric gets the probabilities of
    ``pos_label``, by default the second class. For more classes, for metrics of rows, and for metrics with ``top_k`` or
    ``class_id``, it gets a row of probabilities for each sample, and labels that are one-hot, or ids for metrics whose name
    begins with ``Sparse``. ``Accuracy`` and the IoUs of ids get predicted classes. ``F1Score`` and ``FBetaScore`` without a
    ``threshold`` get rows, and their score for two classes is that of ``pos_label`` unless they have an ``average``. Several
    labels for each sample are 0 or 1. An estimator that isn't a classifier gives its ``predict``.
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

        Raises ValueError if a label isn't a class of the estimator, if ``pos_label`` has no effect, or if the result isn't
        one number, and TypeError if the estimator has no probabilities and the metric needs them.
        """
        method = self._method(estimator)
        predictions, positive = getattr(estimator, method)(x), None
        if isinstance(predictions, list):  # of a classifier with several labels for each sample
            classes = getattr(estimator, "classes_", [None] * len(predictions))
            predictions = np.stack([_of_ones(label, *each) for label, each in enumerate(zip(classes, predictions))], 1)
        elif is_classifier(estimator) and (np.ndim(y) == 1 or np.ndim(y) == 2 and np.shape(y)[1] == 1):
            y, predictions, positive = self._of_classes(estimator.classes_, np.asarray(y).reshape(-1), np.asarray(predictions), method)
        if self.pos_label is not None and positive is None:
            raise ValueError(f"pos_label has no effect on {self.metric.name} here, which isn't that of one of two classes: leave it out")
        (found,) = score(y, predictions, self.metric, sample_weight).values()
        if not isinstance(found, dict) and np.ndim(found) == 1 and positive is not None:
            # The scores of each class, or that of the positive class.
            found = found[positive if len(found) > 1 else 0]
        if isinstance(found, dict) or np.ndim(found):
            raise ValueError(f"{self.metric.name} has several results, and a score is one number: give settings with one, such as average='macro'")
        return float(found) if self.greater_is_better else -float(found)

    def _method(self, estimator):
        if self.response_method is not None:
            methods = [self.response_method] if isinstance(self.response_method, str) else list(self.response_method)
            found = [method for method in methods if hasattr(estimator, method)]
            if not found:
                raise TypeError(f"{type(estimator).__name__} has none of {', '.join(methods)}")
            return found[0]
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
        """Returns labels and predictions as the metric takes them, and the number of the positive class or None."""
        ids = _ids(classes, y)
        if self._name in _OF_PREDICTED_IDS:
            return ids, _ids(classes, predictions), None
        positive = 1 if self.pos_label is None else int(_ids(classes, np.array([self.pos_label]))[0])
        takes_ids = self._name.startswith("Sparse")
        is_of_maximum = self._name in _OF_MAXIMUM and self.metric.threshold is None
        of_rows = takes_ids or is_of_maximum or self._name.startswith(_OF_ROWS) or len(classes) > 2
        of_rows = of_rows or any(getattr(self.metric, setting, None) is not None for setting in ("top_k", "class_id"))
        if method == "predict":
            predictions = np.eye(len(classes))[_ids(classes, predictions)]
        elif predictions.ndim == 1:  # decision_function of two classes
            if of_rows or self.pos_label is not None and positive == 0:
                raise ValueError(f"{self.metric.name} needs a number for each class, and {method} gives one: use predict_proba")
            return ids, predictions, positive
        if not of_rows:
            return (ids == positive).astype(np.int64), predictions[:, positive], positive
        # The score of each class has one of the positive class.
        has_positive = is_of_maximum and self.metric.average is None and len(classes) == 2
        return (ids if takes_ids else np.eye(len(classes))[ids]), predictions, positive if has_positive else None

    def __repr__(self):
        metric, options = self.metric, {"response_method": self.response_method, "pos_label": self.pos_label}
        given = {key: value for key, value in options.items() if value is not None}
        direction = metric.direction if metric._function is None else None
        if direction is None or self.greater_is_better != (direction == "maximize"):
            given["greater_is_better"] = self.greater_is_better
        if metric._spec is None:
            name, settings = metric.name, {}
        else:
            name, config, parameters = metric._spec["class_name"], metric.get_config(), type(metric).__signature__.parameters
            config["dtype"] = metric._given_dtype
            unnamed = {"class_name": name, "config": {key: value for key, value in config.items() if key not in ("name", "dtype")}}
            own_name = _metrics.get(unnamed).name
            defaults = {**{key: parameter.default for key, parameter in parameters.items()}, "name": own_name, "dtype": None}
            settings = {key: config[key] for key in parameters if key in config and config[key] != defaults[key]}
        return f"scorer({', '.join([repr(name), *(f'{key}={value!r}' for key, value in {**settings, **given}.items())])})"


def _of_ones(label, classes, probabilities):
    """Returns the probabilities that a label is 1."""
    if classes is None and np.shape(probabilities)[1] == 2:
        return probabilities[:, 1]
    classes = [] if classes is None else np.asarray(classes).tolist()
    if not classes or not set(classes) <= {0, 1}:
        raise ValueError(f"label {label} has the classes {', '.join(map(repr, classes)) or 'of an unknown estimator'}, and several labels are 0 and 1")
    return probabilities[:, classes.index(1)] if 1 in classes else np.zeros(len(probabilities))


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
    ``"decision_function"``, or several, of which the first that the estimator has is used; by default :class:`Scorer` chooses it. ``greater_is_better`` is needed only for metrics without
    a direction.

    Raises ValueError if the metric is unknown, has no direction, or takes no labels.
    """
    return Scorer(with_settings(identifier, settings), response_method, pos_label, greater_is_better)
