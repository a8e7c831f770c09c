"""Where Keras's constructors are stricter than the settings' types are, and what its configurations leave out."""

from __future__ import annotations

import numpy as np

#: Settings that Keras takes as a float alone, by class: True where None is taken too.
_FLOATS = {
    "FBetaScore": {"beta": False, "threshold": True},
    "F1Score": {"threshold": True},
    "AdamW": {"weight_decay": False},
    "SGD": {"momentum": False},
}

#: Settings beyond Keras's, left out where they have their default, so that Keras reads the configuration.
_BEYOND = {
    ("metric", "BinaryCrossentropy"): {"axis": -1},
    ("metric", "AUC"): {"thresholds": None},
}


def check(identifier):
    """Refuses what Keras's constructors refuse."""
    if not isinstance(identifier, dict) or not isinstance(identifier.get("config"), dict):
        return
    floats = _FLOATS.get(str(identifier.get("class_name")).rpartition(">")[2], {})
    for key, takes_none in floats.items():
        if key in identifier["config"]:
            value = identifier["config"][key]
            if not (isinstance(value, float) or takes_none and value is None):
                integer = key == "weight_decay" and isinstance(value, int) and not isinstance(value, bool)
                if not integer:
                    raise ValueError(
                        f"Invalid `{key}` argument value. `{key}` must be a float, and is {value!r} for {identifier['class_name']}"
                    )


def normal(cls, config):
    """A configuration without what Keras takes for nothing."""
    if cls._kind == "metric" and config.get("thresholds") is not None and "num_thresholds" in config:
        # The thresholds say how many they are.
        config = {key: value for key, value in config.items() if key != "num_thresholds"}
    return config


def fit(loss, y_true, y_pred):
    """Refuses shapes that Keras refuses and this package's losses could broadcast, or take along another axis."""
    true, pred = np.shape(y_true), np.shape(y_pred)
    if type(loss).__name__ == "SparseCategoricalCrossentropy":
        last = loss.axis in (-1, len(pred) - 1)
        squeezed = len(true) == len(pred) and true[loss.axis] == 1
        if last or squeezed or true == pred[:-1]:
            return
        raise ValueError(f"y_true of shape {true} must have the shape of y_pred, {pred}, up to its last axis, also with axis={loss.axis}")
    if len(true) == len(pred) and true != pred:
        raise ValueError(f"y_true of shape {true} and y_pred of shape {pred} must have the same shape")


#: The losses that :func:`fit` looks at.
FITTED = {"BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"}


def as_keras(cls, config):
    """A configuration without what Keras doesn't know and that says nothing."""
    beyond = _BEYOND.get((cls._kind, cls.__name__), {}) if cls._spec and cls._spec["package"] == "standard" else {}
    return {key: value for key, value in config.items() if key not in beyond or value != beyond[key]}
