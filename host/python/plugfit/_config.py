"""Configurations: conversion of Python values to JSON, in the form that Keras writes."""

from __future__ import annotations

import json
import math
import sys

import numpy as np


def to_json(value):
    """Returns ``value`` as JSON text."""
    value = plain(value)
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError(f"a setting isn't finite: {', '.join(_not_finite(value))}") from None


def _not_finite(value, name="it"):
    """Returns ``name=value`` for each number of a configuration that isn't finite."""
    if isinstance(value, dict):
        return [found for key, entry in value.items() for found in _not_finite(entry, key)]
    if isinstance(value, list):
        return [found for entry in value for found in _not_finite(entry, name)]
    return [f"{name}={value}"] if isinstance(value, float) and not math.isfinite(value) else []


def plain(value):
    """Converts ``value`` to types that JSON supports."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    serialize = getattr(value, "_serialize", None)
    if serialize is not None:  # an object of this package
        return plain(serialize())
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError("masked values can't be in a configuration")
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value).name
    if hasattr(value, "__array__"):  # such as a Keras variable
        return np.asarray(value).tolist()
    if is_keras(value):
        return plain(sys.modules["keras"].saving.serialize_keras_object(value))
    raise TypeError(f"{value!r} of type {type(value).__name__} can't be in a configuration")


def with_settings(identifier, settings):
    """Adds settings to an identifier."""
    if not settings:
        return identifier
    if isinstance(identifier, str):
        return {"class_name": identifier, "config": settings}
    if isinstance(identifier, dict) and "class_name" in identifier:
        return {**identifier, "config": {**(identifier.get("config") or {}), **settings}}
    raise TypeError(f"{', '.join(settings)} can be added to a name or a serialized component, not to {identifier!r}")


def is_keras(value):
    """Returns whether the value is an object of Keras, or of a class derived from one of Keras."""
    return any(cls.__module__.split(".")[0] == "keras" for cls in type(value).__mro__)


def of_keras(component):
    """Returns the identifier of a Keras loss or metric, including settings that Keras omits from some
    configurations."""
    identifier = plain(component)
    for key, value in getattr(component, "_fn_kwargs", {}).items():
        identifier["config"].setdefault(key, plain(value))
    return identifier


def float32(number):
    """Rounds a number to float32, as Keras stores it."""
    return float(np.float32(number))
