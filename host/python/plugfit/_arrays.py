"""Anything array-like as a NumPy array that can be lent to the native side."""

from __future__ import annotations

import numpy as np

#: What goes as it is.
_LENT = {"float32", "float64", "int32", "int64", "uint8", "bool"}

_CONVERTED = {
    "float16": np.float32,
    "longdouble": np.float64,
    "int8": np.int32,
    "int16": np.int32,
    "uint16": np.int32,
    "uint32": np.int64,
}


def plain(array, name):
    """``array`` in C order and in a dtype that is lent; copied only where it has to be."""
    found = _to_numpy(array, name)
    dtype = found.dtype
    if dtype.name not in _LENT:
        if dtype.name in _CONVERTED:
            found = found.astype(_CONVERTED[dtype.name])
        elif dtype.kind == "u":  # uint64
            found = found.astype(np.int64 if not found.size or found.max() < 2**63 else np.float64)
        elif dtype.kind == "f":
            found = found.astype(np.float64)
        elif dtype.name == "bfloat16" or dtype.name.startswith("float8"):  # ml_dtypes'
            found = found.astype(np.float32)
        elif dtype.kind == "O":
            found = _numbers(found, name)
        else:
            raise TypeError(f"{name} holds {dtype}, not numbers")
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    # Not ascontiguousarray, which makes a vector of a number.
    return np.require(found, requirements=("C", "A")) if found.ndim else np.array(found)


def float32(array):
    """As float32 in C order, for what a Python function returned."""
    return np.asarray(plain(array, "what the function returned"), dtype=np.float32, order="C")


def _numbers(array, name):
    """Of an array of objects, such as a column with None in it."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} holds objects that are no numbers") from None


def _to_numpy(array, name):
    if isinstance(array, np.ndarray):
        return array
    detach = getattr(array, "detach", None)
    if callable(detach):  # PyTorch
        array = detach()
        if str(getattr(array, "dtype", "")) == "torch.bfloat16":
            array = array.float()
        device = getattr(getattr(array, "device", None), "type", "cpu")
        if device != "cpu":
            raise TypeError(f"{name} is on the device {device!r}: bring it over with .cpu()")
    if hasattr(array, "__dlpack__") and not hasattr(array, "__array__"):
        return np.from_dlpack(array)
    try:
        return np.asarray(array)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} can't be made an array: {error}") from None
    except TypeError as error:
        if type(error).__name__ == "TracerArrayConversionError":  # JAX's
            raise TypeError(
                f"JAX is tracing {name}, there are no numbers yet: plugfit.keras has losses, metrics and optimizers that are called back"
            ) from None
        raise TypeError(f"{name} can't be made an array: {error}") from None


def writeable(param, index):
    """The array to write to: the parameter itself, or one in C order that is copied back."""
    name = f"params[{index}]"
    if not isinstance(param, np.ndarray):
        detach = getattr(param, "detach", None)
        if not callable(detach):
            raise TypeError(f"{name} is written in place: it must be a NumPy array or a PyTorch tensor, not {type(param).__name__}")
        if str(param.dtype) != "torch.float32":
            raise TypeError(f"{name} is {param.dtype}; parameters are float32")
        param = detach().numpy()
    if param.dtype != np.float32:
        raise TypeError(f"{name} is {param.dtype}; parameters are float32")
    if not param.flags.writeable:
        raise TypeError(f"{name} is read-only, and is written in place")
    return param if param.flags.c_contiguous and param.dtype.isnative and param.flags.aligned else np.array(param, np.float32, order="C")


def write_back(arrays, params):
    """Copies to the parameters what :func:`writeable` had to copy."""
    for array, param in zip(arrays, params):
        if not isinstance(param, np.ndarray):
            param = param.detach().numpy()
        if not np.shares_memory(array, param) and param.size:
            param[...] = array
