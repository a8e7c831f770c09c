"""Calls of plug-ins from TensorFlow's functions, which XLA can't compile and SavedModel can't store."""

from __future__ import annotations

import sys

import numpy as np

import tensorflow as tf

from .._arrays import plain, weighted


def call(component, function, tensors, dtype, shape=None):
    """Computes a tensor with ``function``, which takes and returns NumPy arrays. ``shape`` is the static shape of the
    result, if it is known.

    Raises NotImplementedError in a function that XLA compiles, or that is saved.
    """
    found = _checked(component, function, tensors, tf.as_dtype(dtype))
    return found if shape is None else tf.ensure_shape(found, shape)


def call_all(component, function, tensors, shapes):
    """Computes a list of float32 tensors of these shapes with ``function``, which takes and returns NumPy arrays."""
    found = _checked(component, function, tensors, [tf.float32] * len(shapes))
    return [tf.ensure_shape(one, shape) for one, shape in zip(found, shapes)]


def _checked(component, function, tensors, dtypes):
    name = component.name
    if _is_in_xla():
        raise NotImplementedError(
            f"{name} is computed by its plug-in's code, which XLA can't compile: give compile() jit_compile=False"
        )
    if _is_saved():
        raise NotImplementedError(
            f"{name} is computed by its plug-in's code, which a SavedModel can't contain (jit_compile=False doesn't help): "
            "export the model without it"
        )
    # The effects of a call are in the plug-in: TensorFlow must not leave one out.
    return tf.numpy_function(function, tensors, dtypes, stateful=True)


def _is_in_xla():
    """Returns whether TensorFlow builds a function with ``jit_compile=True``."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


def _is_saved():
    context = sys.modules.get("tensorflow.python.saved_model.save_context")
    return context is not None and context.in_save_context()


def loss(loss, y_true, y_pred, sample_weight, mask):
    """Returns the loss of a plug-in. It is differentiable with respect to ``y_pred``, once."""
    given = {"y_true": y_true, "sample_weight": sample_weight, "mask": mask}
    others = {name: tf.convert_to_tensor(array) for name, array in given.items() if array is not None}
    names = ["y_pred", *others]
    dtype = "float64" if loss._given_dtype == "float64" else "float32"

    def value(*arrays):
        return np.asarray(loss(**dict(zip(names, arrays))), dtype)

    def derivatives(cotangent, *arrays):
        given = dict(zip(names, arrays))
        if loss.reduction != "none":
            return np.asarray(loss.gradient(**given), dtype) * cotangent
        # Without reduction, the cotangent is a weight of each value.
        weight = given.get("sample_weight")
        weight = cotangent if weight is None else weighted(cotangent, plain(weight, "sample_weight"))
        return np.asarray(loss.gradient(**{**given, "sample_weight": weight}), dtype)

    @tf.custom_gradient
    def of_prediction(y_pred):
        def gradient(cotangent):
            @tf.custom_gradient
            def first(cotangent):
                def second(_):
                    raise NotImplementedError(f"{loss.name} has no second derivative: its plug-in computes only the first")

                found = call(loss, derivatives, [cotangent, y_pred, *others.values()], dtype, y_pred.shape)
                return tf.cast(found, y_pred.dtype), second

            return first(cotangent)

        shape = None if loss.reduction == "none" else ()
        return call(loss, value, [y_pred, *others.values()], dtype, shape), gradient

    return of_prediction(tf.convert_to_tensor(y_pred))
