"""Calls of plug-ins from compiled JAX functions: on the CPU by XLA itself, on other devices by a callback."""

from __future__ import annotations

import functools
import warnings

import numpy as np

import jax
import jax.numpy as jnp
from jax.experimental import io_callback

import keras

from .. import _config, _native
from . import _common

#: The dtypes that the native functions read.
_DTYPES = {"bool", "uint8", "int32", "int64", "uint64", "float32", "float64"}


def attributes_of(kind, component):
    """Returns the attributes by which a native function finds a component without a state: its identifier, and the
    digest of the plug-in, so that a compiled function refuses another one."""
    identifier = component._native_identifier(component._identifier, component._given_dtype)
    return {"identifier": _config.to_json(identifier), "digest": _native.xla_digest(kind, component._full_name)}


@functools.cache
def is_available():
    """Registers the native functions. Returns whether there are any."""
    if not (hasattr(jax, "ffi") and hasattr(_native, "xla_targets")):
        return False
    for name, handler in _native.xla_targets().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    return True


def call(target, function, results, arrays, name, attributes, ordered=False):
    """Computes arrays from arrays. ``results`` describes them.

    A compiled function calls the native function ``target`` on the CPU, and otherwise ``function``, which takes and
    returns NumPy arrays. So does it without a target, for example for a Python function. ``target`` requires
    :func:`is_available`. Outside of a compiled function, ``function`` is called at once, so that its errors are those
    of the caller. ``name`` is that of the component. ``ordered``: the call has an effect, and calls have an order.

    Raises NotImplementedError if a call with an effect would be made on several devices.
    """
    if ordered:
        _check_single_device(name)

    if not _common.is_traced(*arrays):
        found = function(*map(np.asarray, arrays))
        return [jnp.asarray(_checked(one, result), result.dtype) for one, result in zip(found, results)]

    def callback(*arrays):
        if ordered:
            return io_callback(function, results, *arrays, ordered=True)
        return jax.pure_callback(function, results, *arrays, vmap_method="sequential")

    if target is None:
        return callback(*arrays)
    arrays = [_readable(array) for array in arrays]
    if not all(array.dtype.name in _DTYPES for array in arrays):
        return callback(*arrays)

    def foreign(*arrays):
        call = jax.ffi.ffi_call(target, results, has_side_effect=ordered, vmap_method="sequential")
        return call(*arrays, **attributes)

    if jax.default_backend() == "cpu":
        return foreign(*arrays)
    warn_of_callbacks(name)
    # The order of callbacks is lost in a function that is compiled for several platforms.
    return callback(*arrays) if ordered else jax.lax.platform_dependent(*arrays, cpu=foreign, default=callback)


def _checked(found, result):
    """Returns an array. Raises ValueError if its shape isn't that of the result."""
    if np.shape(found) != result.shape:
        raise ValueError(f"a result has the shape {np.shape(found)}, and not {result.shape}")
    return found


def _check_single_device(name):
    distribution = keras.distribution.distribution()
    if distribution is not None and distribution.device_mesh.devices.size > 1:
        raise NotImplementedError(
            f"{name} has no formula: its state is in its plug-in, and each device would change it; train without keras.distribution"
        )


def _readable(array):
    """Converts an array to a dtype that the native functions read, if one has all of its numbers."""
    if array.dtype.name in ("float16", "bfloat16") or array.dtype.name.startswith("float8"):
        return array.astype(np.float32)
    return array.astype(np.int32) if array.dtype.name in ("int8", "int16", "uint16") else array


@functools.cache
def warn_of_callbacks(name):
    """Warns, once for each component, that a compiled function waits for the CPU."""
    warnings.warn(
        f"{name} has no formula: its plug-in computes it on the CPU, and each step copies its arrays there and waits",
        stacklevel=2,
    )
