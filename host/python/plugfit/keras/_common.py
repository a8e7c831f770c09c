"""What losses, metrics and optimizers in Keras have in common."""

from __future__ import annotations

import numpy as np

import keras

from .._arrays import plain


def backend():
    """Keras's backend, which must be one that there is something for."""
    name = keras.backend.backend()
    if name not in ("jax", "torch"):
        raise NotImplementedError(f"plugfit.keras is for Keras's jax and torch backends, not {name}")
    return name


def to_numpy(tensor):
    """Its numbers, in a dtype of their own, not Keras's float32; None is None."""
    return tensor if tensor is None or isinstance(tensor, np.ndarray) else keras.ops.convert_to_numpy(tensor)


def numbers(value, name):
    """What isn't a tensor yet as an array of numbers: Keras's backends pass over masks, and take objects for NaN."""
    if isinstance(value, np.ndarray) or hasattr(value, "null_count"):
        return plain(value, name)
    if isinstance(value, (list, tuple)) and not (backend() == "jax" and is_traced(*keras.tree.flatten(value))):
        return plain(value, name)
    return value


def is_traced(*tensors):
    """Whether JAX is tracing one of them."""
    import jax

    return any(isinstance(tensor, jax.core.Tracer) for tensor in tensors)


def identifier_of(component):
    """What is saved with a Keras model."""
    config = component.get_config()
    if component._function is None:
        return {"class_name": component._spec["class_name"], "config": config}
    if getattr(component._function, "_is_of_a_class", False):
        raise ValueError(f"{component.name} is of a class of one's own, which can't be serialized")
    if component._given_dtype is not None:
        config["dtype"] = component._given_dtype
    # By the name that Keras knows the function by.
    return {**config, "fn": keras.saving.serialize_keras_object(config["fn"])}


def found(module, wrapper, identifier):
    """What :func:`identifier_of` was written of, or ``module.get`` finds."""
    if isinstance(identifier, dict) and "fn" in identifier:
        function = identifier["fn"]
        return wrapper(**{**identifier, "fn": function if callable(function) else keras.saving.deserialize_keras_object(function)})
    return module.get(identifier)
