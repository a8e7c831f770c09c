"""Where Keras's constructors are stricter than the settings' types are, and what its configurations leave out."""

from __future__ import annotations

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


def as_keras(cls, config):
    """A configuration without what Keras doesn't know and that says nothing."""
    beyond = _BEYOND.get((cls._kind, cls.__name__), {}) if cls._spec and cls._spec["package"] == "standard" else {}
    return {key: value for key, value in config.items() if key not in beyond or value != beyond[key]}
