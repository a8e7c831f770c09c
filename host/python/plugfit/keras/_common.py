"""Functions that the losses, metrics and optimizers for Keras share."""

from __future__ import annotations

import inspect

import numpy as np

import keras

from .._arrays import plain


def backend():
    """Returns the name of Keras's backend."""
    return keras.backend.backend()


def native_backend(component):
    """Returns the name of Keras's backend. Raises NotImplementedError if it can't run a plug-in's code."""
    name = backend()
    if name not in ("jax", "torch", "tensorflow"):
        raise NotImplementedError(
            f"{component.name} is computed by its plug-in's code, which needs Keras's jax, torch or tensorflow backend: "
            f"only components with a formula work with {name}"
        )
    return name


def to_numpy(tensor):
    """Converts a tensor to NumPy. A NumPy array keeps its dtype, and None returns None."""
    return tensor if tensor is None or isinstance(tensor, np.ndarray) else keras.ops.convert_to_numpy(tensor)


def numbers(value, name):
    """Converts a value that isn't a tensor to an array of numbers. Keras's backends would ignore masks and convert
    objects to NaN."""
    of_a_table = hasattr(value, "null_count") or hasattr(value, "iloc")
    if isinstance(value, np.ndarray) or of_a_table:
        return _fitting(plain(value, name), name)
    if isinstance(value, (list, tuple)) and not (backend() == "jax" and is_traced(*keras.tree.flatten(value))):
        return _fitting(plain(value, name), name)
    return value


def check_gradients(grads, variables):
    """Raises ValueError if there isn't a gradient of its shape, or None, for each variable."""
    if len(grads) != len(variables):
        raise ValueError(f"there are {len(grads)} gradients for {len(variables)} variables")
    for index, (grad, variable) in enumerate(zip(grads, variables)):
        if grad is None:
            continue
        shape = grad.shape if hasattr(grad, "shape") else np.shape(grad)
        # A gradient of TensorFlow may have unknown lengths.
        if getattr(shape, "rank", 0) is None:
            continue
        shape, expected = tuple(shape), tuple(variable.shape)
        if len(shape) != len(expected) or any(one not in (None, other) for one, other in zip(shape, expected)):
            raise ValueError(f"grads[{index}] has the shape {shape}, its variable has {expected}")


def backend_dtype(dtype):
    """Returns the name of the backend's dtype for a dtype. JAX has 64-bit dtypes only with jax_enable_x64."""
    if backend() != "jax":
        return dtype
    import jax

    return jax.dtypes.canonicalize_dtype(dtype).name


def wide_dtype():
    """Returns the name of the backend's widest dtype of real numbers."""
    if backend() == "torch":
        # Apple's GPUs have no float64.
        return "float32" if keras.src.backend.torch.core.get_device() == "mps" else "float64"
    return backend_dtype("float64")


def takes_masks(metric):
    """Returns whether a metric uses the mask of predictions. In Keras only means do."""
    theirs = getattr(keras.metrics, type(metric).__name__, None) if metric._is_standard() else None
    return not metric._takes_values and (theirs is None or issubclass(theirs, keras.metrics.MeanMetricWrapper))


def _signature(*names):
    """Returns the signature of ``update_state`` for arrays of these names, and weights."""
    of = lambda name, **default: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, **default)
    return inspect.Signature([*map(of, names), of("sample_weight", default=None)])


_OF_VALUES, _OF_LABELS = _signature("values"), _signature("y_true", "y_pred")


def batch(metric, has_masks, args, kwargs):
    """Returns the tensors of the arguments of ``update_state`` by their names, with the mask of predictions if
    ``has_masks``.

    Raises TypeError for other arguments.
    """
    given = (_OF_VALUES if metric._takes_values else _OF_LABELS).bind(*args, **kwargs).arguments
    for name, argument in given.items():
        if argument is None and name != "sample_weight":
            raise TypeError(f"{name} is None, which isn't an array of numbers")
    mask = keras.src.backend.get_keras_mask(given.get("y_pred")) if has_masks else None
    if mask is not None:
        given["mask"] = mask
    tensor = lambda argument, name: keras.ops.convert_to_tensor(numbers(argument, name))
    found = {name: tensor(argument, name) for name, argument in given.items() if argument is not None}
    if {"y_true", "y_pred"} <= found.keys():
        found["y_true"], found["y_pred"] = metric._arranged(found["y_true"], found["y_pred"])
    return found


def _fitting(array, name):
    """Returns the array. Raises ValueError if the backend's narrower dtype can't represent its numbers."""
    narrow = backend_dtype(array.dtype.name)
    if narrow == array.dtype.name:
        return array
    with np.errstate(over="ignore"):
        wrong = (array.astype(narrow) != array) if array.dtype.kind in "iu" else np.isinf(array.astype(narrow)) & np.isfinite(array)
    if wrong.any():
        where = np.unravel_index(int(np.argmax(wrong)), array.shape)
        row = f" in row {where[0]}" if where else ""
        raise ValueError(
            f"{name} contains {array[where]}{row}, which doesn't fit JAX's {narrow}: give smaller numbers, or turn on jax_enable_x64"
        )
    return array


def is_traced(*tensors):
    """Returns whether JAX is tracing one of the tensors."""
    import jax

    return any(isinstance(tensor, jax.core.Tracer) for tensor in tensors)


def is_in_graph():
    """Returns whether TensorFlow is building a function."""
    import tensorflow as tf

    return not tf.executing_eagerly()


def is_on_cpu(*tensors):
    """Returns whether each tensor is a NumPy array, or one of JAX's on the CPU."""
    import jax

    arrays = [tensor for tensor in tensors if isinstance(tensor, jax.Array)]
    return all(device.platform == "cpu" for array in arrays for device in array.devices())


def identifier_of(component):
    """Returns the identifier that is saved with a Keras model."""
    config = component.get_config()
    if component._given_dtype is not None:
        config["dtype"] = component._given_dtype
    if component._function is None:
        return {"class_name": component._spec["class_name"], "config": config}
    if getattr(component._function, "_is_of_a_class", False):
        raise ValueError(f"{component.name} is an instance of a user-defined class, which can't be serialized")
    # Keras serializes a function by the name under which it is registered.
    return {**config, "fn": keras.saving.serialize_keras_object(config["fn"])}


def resolve(module, wrapper, identifier):
    """Returns the component for an identifier of :func:`identifier_of`, or for any identifier of ``module.get``.

    Raises ValueError if it has inputs that Keras doesn't pass.
    """
    if isinstance(identifier, dict) and "fn" in identifier:
        function = identifier["fn"]
        return wrapper(**{**identifier, "fn": function if callable(function) else keras.saving.deserialize_keras_object(function)})
    made = module.get(identifier)
    if getattr(made, "_further", None):
        raise ValueError(
            f"{made.name} needs the input {made._further[0]!r}, and Keras passes only targets, predictions and weights: "
            "use it with plugfit.Model, plugfit.torch or NumPy"
        )
    return made
