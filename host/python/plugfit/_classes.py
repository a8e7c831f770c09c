"""Keras's behaviour of single classes of the standard set, beyond settings: arguments, checks and configurations."""

from __future__ import annotations

import warnings

import numpy as np

from . import _arrays

#: Settings for which Keras requires a float, by class; True if None is also allowed.
_FLOATS = {
    "FBetaScore": {"beta": False, "threshold": True},
    "F1Score": {"threshold": True},
    "SGD": {"momentum": False},
}

#: Settings that Keras 3.15.1 doesn't have or omits from configurations, with their defaults, by class.
_BEYOND_KERAS = {
    ("loss", "CosineSimilarity"): {"axis": -1},
    ("loss", "Huber"): {"delta": 1.0},
    ("loss", "SparseCategoricalCrossentropy"): {"axis": -1},
    ("metric", "AUC"): {"thresholds": None},
    ("metric", "BinaryCrossentropy"): {"axis": -1},
    ("metric", "CosineSimilarity"): {"axis": -1},
    ("metric", "SparseTopKCategoricalAccuracy"): {"from_sorted_ids": False},
}


def without_defaults(kind, name, config):
    """Removes settings that Keras doesn't write, if they have their default."""
    beyond = _BEYOND_KERAS.get((kind, name), {})
    return {key: value for key, value in config.items() if key not in beyond or value != beyond[key]}


def check(identifier):
    """Refuses settings of types that Keras's constructors refuse."""
    config = identifier.get("config") if isinstance(identifier, dict) else None
    if not isinstance(config, dict):
        return
    name = str(identifier.get("class_name")).rpartition(">")[2]
    if name == "AdamW" and config.get("weight_decay", 0) is None:
        raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")
    for key, takes_none in _FLOATS.get(name, {}).items():
        value = config.get(key, 0.5)
        if not (isinstance(value, float) or takes_none and value is None):
            raise ValueError(
                f"Invalid `{key}` argument value. It should be a Python float. Received: {key}={value} of type '{type(value)}'"
            )


class _SparseCategoricalCrossentropy:
    def _check(self, y_true, y_pred):
        true, pred = np.shape(y_true), np.shape(y_pred)
        if true == pred[:-1] or self.axis in (-1, len(pred) - 1):
            return
        if len(true) != len(pred) or true[self.axis] != 1:
            raise ValueError(
                "Arguments `target` and `output` must have the same shape up until the last dimension: "
                f"target.shape={true}, output.shape={pred}"
            )


class _SameShape:
    def _check(self, y_true, y_pred):
        true, pred = _squeezed(np.shape(y_true), np.shape(y_pred))
        if true != pred:
            raise ValueError(f"Arguments `target` and `output` must have the same shape. Received: {true} and {pred}")


def _squeezed(true, pred):
    """Removes, as Keras does, a last axis of length 1 that the other shape doesn't have."""
    if len(true) == len(pred) + 1 and true[-1] == 1:
        return true[:-1], pred
    if len(pred) == len(true) + 1 and pred[-1] == 1:
        return true, pred[:-1]
    return true, pred


class _OneHot(_SameShape):
    def _check(self, y_true, y_pred):
        super()._check(y_true, y_pred)
        _warn_of_one_class(self, y_pred)


class _Focal:
    def _check(self, y_true, y_pred):
        _warn_of_one_class(self, y_pred)


def _warn_of_one_class(loss, y_pred):
    shape = np.shape(y_pred)
    if 1 in shape[1:] and shape[loss.axis] == 1:
        warnings.warn(
            f"In loss {loss.name}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. "
            f"Received: y_pred.shape={shape}. Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=4,
        )


class _Arranged:
    def update_state(self, y_true, y_pred, sample_weight=None, mask=None):
        if np.ndim(y_true) == np.ndim(y_pred) == 1:
            y_true, y_pred = _arrays.plain(y_true, "y_true"), _arrays.plain(y_pred, "y_pred")
        y_true, y_pred = self._arranged(y_true, y_pred)
        super().update_state(y_true, y_pred, sample_weight, mask)


def _shape(array):
    """Returns the shape of an array or a list. torch.compile doesn't know NumPy's function."""
    return tuple(array.shape) if hasattr(array, "shape") else np.shape(array)


class _Rows(_Arranged):
    def _arranged(self, y_true, y_pred):
        # A vector matches a column, as in all metrics.
        true, pred = _shape(y_true), _shape(y_pred)
        if max(len(true), len(pred)) != 2:
            raise ValueError(
                f"{type(self).__name__} expects 2D inputs with shape (batch_size, output_dim). "
                f"Received input shapes: y_pred.shape={pred} and y_true.shape={true}."
            )
        return y_true, y_pred


class _OfClasses(_Arranged):
    def _arranged(self, y_true, y_pred):
        # A vector is one row.
        return (y_true[None], y_pred[None]) if len(_shape(y_true)) == len(_shape(y_pred)) == 1 else (y_true, y_pred)


class _ByClass:
    def _undefined(self):
        thresholds = self.thresholds
        return np.zeros(len(thresholds)) if isinstance(thresholds, list) and len(thresholds) > 1 else super()._undefined()

    def update_state(self, y_true, y_pred, sample_weight=None, mask=None):
        try:
            super().update_state(y_true, y_pred, sample_weight, mask)
        except ValueError:
            if np.ndim(y_pred) > 1 or self.class_id is None:
                raise
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), "
                f"found shape: {np.shape(y_pred)}"
            ) from None


class _Auc:
    @property
    def thresholds(self):
        """All thresholds; the first is slightly below 0 and the last slightly above 1."""
        config = super().get_config()
        between = config.get("thresholds")
        if between is None:
            between = np.linspace(0, 1, config["num_thresholds"])[1:-1].tolist()
        return [-1e-7, *between, 1 + 1e-7]

    def get_config(self):
        config = super().get_config()
        if "thresholds" in config:
            config["num_thresholds"] = len(config["thresholds"]) + 2
        return config

    @classmethod
    def _arguments(cls, args, kwargs):
        config = super()._arguments(args, kwargs)
        if config.get("thresholds") is not None:
            # The thresholds determine their number.
            config.pop("num_thresholds", None)
        return config


#: The additional bases of losses and metrics, by class.
LOSSES = {
    "BinaryCrossentropy": _SameShape,
    "BinaryFocalCrossentropy": _SameShape,
    "CategoricalCrossentropy": _OneHot,
    "CategoricalFocalCrossentropy": _Focal,
    "SparseCategoricalCrossentropy": _SparseCategoricalCrossentropy,
}
METRICS = {
    "AUC": _Auc,
    "CategoricalAccuracy": _OfClasses,
    "F1Score": _Rows,
    "FBetaScore": _Rows,
    "Precision": _ByClass,
    "R2Score": _Rows,
    "Recall": _ByClass,
    "TopKCategoricalAccuracy": _OfClasses,
}
