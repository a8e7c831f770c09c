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
    of_a_table = hasattr(value, "null_count") or hasattr(value, "iloc")
    if isinstance(value, np.ndarray) or of_a_table:
        return _fitting(plain(value, name), name)
    if isinstance(value, (list, tuple)) and not (backend() == "jax" and is_traced(*keras.tree.flatten(value))):
        return _fitting(plain(value, name), name)
    return value


def held(dtype):
    """The name of what the backend has for a dtype: JAX has 64 bits only where it is told so (jax_enable_x64)."""
    if backend() != "jax":
        return dtype
    import jax

    return jax.dtypes.canonicalize_dtype(dtype).name


def _fitting(array, name):
    """The array, which the backend must not narrow to other numbers."""
    narrow = held(array.dtype.name)
    if narrow == array.dtype.name:
        return array
    with np.errstate(over="ignore"):
        wrong = (array.astype(narrow) != array) if array.dtype.kind in "iu" else np.isinf(array.astype(narrow)) & np.isfinite(array)
    if wrong.any():
        where = np.unravel_index(int(np.argmax(wrong)), array.shape)
        row = f" in row {where[0]}" if where else ""
        raise ValueError(
            f"{name} holds {array[where]}{row}, which JAX's {narrow} doesn't hold: give smaller numbers, or turn on jax_enable_x64"
        )
    return array


def is_traced(*tensors):
    """Whether JAX is tracing one of them."""
    import jax

    return any(isinstance(tensor, jax.core.Tracer) for tensor in tensors)


def identifier_of(component):
    """What is saved with a Keras model."""
    config = component.get_config()
    if component._given_dtype is not None:
        config["dtype"] = component._given_dtype
    if component._function is None:
        return {"class_name": component._spec["class_name"], "config": config}
    if getattr(component._function, "_is_of_a_class", False):
        raise ValueError(f"{component.name} is of a class of one's own, which can't be serialized")
    # By the name that Keras knows the function by.
    return {**config, "fn": keras.saving.serialize_keras_object(config["fn"])}


def found(module, wrapper, identifier):
    """What :func:`identifier_of` was written of, or ``module.get`` finds."""
    if isinstance(identifier, dict) and "fn" in identifier:
        function = identifier["fn"]
        return wrapper(**{**identifier, "fn": function if callable(function) else keras.saving.deserialize_keras_object(function)})
    return module.get(identifier)
