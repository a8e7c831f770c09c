"""Conversion of array-likes to NumPy arrays that the native module can borrow."""

from __future__ import annotations

import decimal
import numbers

import numpy as np

#: The dtypes that are borrowed without conversion.
_SUPPORTED = {"float32", "float64", "int32", "int64", "uint64", "uint8", "bool"}

_CONVERTED = {
    "float16": np.float32,
    "int8": np.int32,
    "int16": np.int32,
    "uint16": np.int32,
    "uint32": np.int64,
}


def plain(array, name):
    """Returns ``array`` in C order and in a supported dtype. It is copied only if necessary.

    Missing or masked values are refused, and so are numbers that are too large for the dtype.
    """
    found = _to_numpy(array, name)
    dtype = found.dtype
    if dtype.name not in _SUPPORTED:
        if dtype.name in _CONVERTED:
            found = found.astype(_CONVERTED[dtype.name])
        elif dtype.kind == "f":  # longdouble
            found = _doubles(found, np.isfinite(found), name)
        elif dtype.name == "bfloat16" or dtype.name.startswith("float8"):  # ml_dtypes'
            found = found.astype(np.float32)
        elif dtype.kind == "O":
            found = _numbers(found, name)
        else:
            raise TypeError(f"{name} contains {dtype}, not numbers")
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    # Not ascontiguousarray, which converts a scalar to a vector.
    return np.require(found, requirements=("C", "A")) if found.ndim else np.array(found)


def float32(array, name="what the function returned"):
    """Converts to float32 in C order. Raises ValueError if a finite number becomes infinite."""
    found = plain(array, name)
    with np.errstate(over="ignore"):
        floats = np.asarray(found, dtype=np.float32, order="C")
    if found.dtype == np.float64 and (np.isinf(floats) & np.isfinite(found)).any():
        raise ValueError(f"{name} contains a number that is too large for float32")
    return floats


def weighted(cotangent, weight):
    """Returns the cotangent of a loss's values multiplied by their weights, which may have an axis of length 1 less or
    more. The arrays are of NumPy or JAX."""
    weight = weight.astype(cotangent.dtype)
    if weight.ndim > cotangent.ndim:
        return cotangent * weight[..., 0]
    return cotangent * weight.reshape(weight.shape + (1,) * (cotangent.ndim - weight.ndim))


def float64(array):
    """Converts to float64 in C order, for a loss that computes in it."""
    return np.asarray(plain(array, "what the function returned"), dtype=np.float64, order="C")


def _numbers(array, name):
    """Converts an array of objects, such as the rows of a table whose columns have different types."""
    values = array.ravel().tolist()
    missing = np.array([_is_missing(value) for value in values], bool)
    if missing.any():
        raise missing_values_error(missing.reshape(array.shape), name)
    for index, value in enumerate(values):
        if not isinstance(value, (numbers.Real, np.bool_, decimal.Decimal)):
            row = np.unravel_index(index, array.shape)[0] if array.ndim else 0
            raise TypeError(f"{name} contains {value!r} in row {row}, which isn't a number")
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return array.astype(bool)
    if all(isinstance(value, numbers.Integral) for value in values):
        try:
            return array.astype(np.int64)
        except OverflowError:
            raise ValueError(f"{name} contains {max(values, key=abs)}, which doesn't fit int64") from None
    finite = np.array([_is_finite(value) for value in values], bool).reshape(array.shape)
    floats = _doubles(array, finite, name)
    for index, (value, number) in enumerate(zip(values, floats.ravel().tolist())):
        if isinstance(value, numbers.Integral) and int(value) != number:
            row = np.unravel_index(index, array.shape)[0] if array.ndim else 0
            raise ValueError(f"{name} contains {value} in row {row} among numbers that aren't integers, and float64 rounds it")
    return floats


def _is_finite(value):
    if isinstance(value, decimal.Decimal):
        return value.is_finite()
    return isinstance(value, np.bool_) or value - value == 0


def _doubles(array, finite, name):
    """Converts to float64. Raises ValueError if a finite number becomes infinite."""
    try:
        with np.errstate(over="ignore"):
            found = array.astype(np.float64)
        fits = np.isfinite(found)[finite].all()
    except OverflowError:  # an integer
        fits = False
    if not fits:
        raise ValueError(f"{name} contains a number that is too large for float64")
    return found


def _is_missing(value):
    """Returns whether the value is None, or the missing value of pandas or a masked array. NaN is a number."""
    return value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType")


def missing_values_error(missing, name):
    """Returns the ValueError for missing values."""
    first = int(np.flatnonzero(missing.reshape(len(missing), -1).any(1))[0]) if missing.ndim else 0
    return ValueError(
        f"{name} lacks {int(missing.sum())} of its {missing.size} values, the first in row {first}: leave such rows out, or fill them in"
    )


def _may_have_missing(kind):
    """Returns whether arrays of a type may have missing values that NumPy converts to numbers: masked arrays and
    columns."""
    return issubclass(kind, np.ma.MaskedArray) or hasattr(kind, "isna") or hasattr(kind, "is_null")


def _any_may_have_missing(rows):
    """Returns whether a list contains arrays that may have missing values."""
    kinds = set(map(type, rows))
    if any(map(_may_have_missing, kinds)):
        return True
    return any(issubclass(kind, (list, tuple)) for kind in kinds) and any(
        _any_may_have_missing(row) for row in rows if isinstance(row, (list, tuple))
    )


def _stacked(rows):
    """Stacks a list of arrays that may have missing values, or of lists of them, to one masked array."""
    return np.ma.stack([_stacked(row) if isinstance(row, (list, tuple)) else _masked(row) for row in rows])


def _masked(row):
    if not _may_have_missing(type(row)):
        return np.ma.asanyarray(row)
    missing = _missing(row)
    return np.ma.asanyarray(row) if missing is None else np.ma.masked_array(np.asarray(row), missing)


def _missing(array):
    """Returns a mask of the missing values of a column or table of pandas, pyarrow or polars, or None for other arrays
    and for types without missing values."""
    if hasattr(array, "isna"):  # pandas
        own = [hasattr(dtype, "na_value") for dtype in (array.dtypes if array.ndim == 2 else [array.dtype])]
        # In a column of a NumPy dtype a missing value is NaN, which counts as a number.
        return np.asarray(array.isna()) & (own if array.ndim == 2 else own[0]) if any(own) else None
    columns = array.get_columns() if hasattr(array, "get_columns") else getattr(array, "columns", None)
    if isinstance(columns, list) and columns:
        missing = [_missing(column) for column in columns]
        if all(column is None for column in missing):
            return None
        return np.stack([column.reshape(len(column), -1).any(1) for column in missing], 1)
    if not hasattr(array, "is_null"):
        return None
    if hasattr(getattr(array, "type", None), "index_type"):  # a dictionary of pyarrow, whose values may contain a null
        array = array.cast(array.type.value_type)
    missing = np.asarray(array.is_null())
    while type(getattr(array, "dtype", None)).__name__ == "Array" and not missing.any():  # polars: several values per row
        shape = missing.shape + array.dtype.shape[:1]
        array = array.explode()
        missing = np.reshape(np.asarray(array.is_null()), shape)
    return missing


def _to_numpy(array, name):
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise missing_values_error(np.ma.getmaskarray(array), name)
        return np.ma.getdata(array)
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, (list, tuple)):
        if _any_may_have_missing(array):
            return _to_numpy(_stacked(array), name)
    else:
        missing = _missing(array)
        if missing is not None and missing.any():
            raise missing_values_error(missing, name)
    detach = getattr(array, "detach", None)
    if callable(detach):  # PyTorch
        array = detach()
        if str(getattr(array, "dtype", "")).startswith(("torch.bfloat16", "torch.float8")):
            array = array.float()
        device = getattr(getattr(array, "device", None), "type", "cpu")
        if device != "cpu":
            raise TypeError(f"{name} is on the device {device!r}: bring it over with .cpu()")
        if callable(getattr(array, "resolve_neg", None)):
            array = array.resolve_neg()
    if hasattr(array, "__dlpack__") and not hasattr(array, "__array__"):
        return np.from_dlpack(array)
    try:
        return np.asarray(array)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} can't be made an array: {error}") from None
    except TypeError as error:
        if type(error).__name__ == "TracerArrayConversionError":  # JAX's
            raise TypeError(
                f"JAX is tracing {name}, so it has no values: use the losses, metrics and optimizers of plugfit.keras, which run in callbacks"
            ) from None
        raise TypeError(f"{name} can't be made an array: {error}") from None


def writeable(param, index):
    """Returns an array in C order to write to: the parameter itself, or a copy that :func:`write_back` copies back."""
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
    if isinstance(param, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and is written in place: give its data, {name}.data")
    return param if param.flags.c_contiguous and param.dtype.isnative and param.flags.aligned else np.array(param, np.float32, order="C")


def write_back(arrays, params):
    """Copies arrays that :func:`writeable` had to copy back to the parameters."""
    for array, param in zip(arrays, params):
        if not isinstance(param, np.ndarray):
            param = param.detach().numpy()
        if not np.shares_memory(array, param) and param.size:
            param[...] = array
