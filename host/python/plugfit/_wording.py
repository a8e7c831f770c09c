"""Keras's error messages for invalid settings, for programs that match on them."""

from __future__ import annotations

import re

_RANGE = "`{key}` must be in the range [0, 1]. Received: {key}={value}"
_POSITIVE = "`{key}` needs to be positive or zero. Received: {key}={value}."
_ARGUMENT = "Invalid value for argument `{key}`. Received: {key}={value}"

_SENTENCES = {
    "average": "Invalid `average` argument value. Expected one of: {{None, 'micro', 'macro', 'weighted'}}. Received: average={value}",
    "beta": "Invalid `beta` argument value. It should be > 0. Received: beta={value}",
    "beta_1": "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. Received: beta_1={value}.",
    "class_aggregation": _ARGUMENT,
    "clipnorm": "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set.",
    "curve": 'Invalid AUC curve value: "{value}".',
    "initial_accumulator_value": _POSITIVE,
    "l1_regularization_strength": _POSITIVE,
    "l2_regularization_strength": _POSITIVE,
    "l2_shrinkage_regularization_strength": _POSITIVE,
    "learning_rate_power": "`learning_rate_power` needs to be negative or zero. Received: learning_rate_power={value}.",
    "momentum": "`momentum` must be a float between [0, 1]. Received: momentum={value}",
    "num_regressors": _ARGUMENT,
    "num_thresholds": "Argument `num_thresholds` must be an integer > {least}. Received: num_thresholds={value}",
    "precision": _RANGE,
    "recall": _RANGE,
    "reduction": _ARGUMENT,
    "sensitivity": _RANGE,
    "specificity": _RANGE,
    "summation_method": 'Invalid AUC summation method value: "{value}".',
    "threshold": "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. Received: threshold={value}",
    "thresholds": "Threshold values must be in [0, 1]. Received: {value}",
}

#: The classes to which the message of a setting applies, for settings with another meaning in other classes. None: all.
_OF_CLASSES = {"beta": {"FBetaScore"}, "beta_1": {"Lion"}, "threshold": {"FBetaScore", "F1Score"}, "clipnorm": None}


def is_missing(error):
    """Returns whether the error is a missing setting that has no default."""
    return str(error).partition("\n")[0].endswith(": must be given")


def refusal(error, identifier):
    """Returns the ValueError of a configuration with Keras's message, or None if Keras has no message for it."""
    place = re.search(r"^\s+in\s+(\w+)(\.\d+)?$", str(error), re.MULTILINE)
    config = identifier.get("config") if isinstance(identifier, dict) else None
    if place is None or not isinstance(config, dict):
        return None
    key, name = place[1], str(identifier.get("class_name")).rpartition(">")[2]
    if key not in config or key not in _SENTENCES or name not in (_OF_CLASSES.get(key) or {name}):
        return None
    if key == "clipnorm" and not str(error).startswith("at most one"):
        return None
    value = config[key]
    if key == "thresholds" and isinstance(value, (list, tuple)):
        value = [threshold for threshold in value if threshold is None or not 0 <= threshold <= 1]
    return ValueError(_SENTENCES[key].format(key=key, value=value, least=1 if name == "AUC" else 0))
