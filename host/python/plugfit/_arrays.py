"""Anything array-like as a NumPy array that can be lent to the native side."""

from __future__ import annotations

import decimal
import numbers

import numpy as np

#: What goes as it is.
_LENT = {"float32", "float64", "int32", "int64", "uint64", "uint8", "bool"}

_CONVERTED = {
    "float16": np.float32,
    "int8": np.int32,
    "int16": np.int32,
    "uint16": np.int32,
    "uint32": np.int64,
}


def plain(array, name):
    """``array`` in C order and in a dtype that is lent; copied only where it has to be.

    Values that are missing or masked are refused, as are numbers that the dtype it is converted to doesn't hold.
    """
    found = _to_numpy(array, name)
    dtype = found.dtype
    if dtype.name not in _LENT:
        if dtype.name in _CONVERTED:
            found = found.astype(_CONVERTED[dtype.name])
        elif dtype.kind == "f":  # longdouble
            found = _doubles(found, np.isfinite(found), name)
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


def float32(array, name="what the function returned"):
    """As float32 in C order, which must hold what is finite."""
    found = plain(array, name)
    with np.errstate(over="ignore"):
        floats = np.asarray(found, dtype=np.float32, order="C")
    if found.dtype == np.float64 and (np.isinf(floats) & np.isfinite(found)).any():
        raise ValueError(f"{name} holds a number that is too large for float32")
    return floats


def float64(array):
    """The same in float64, for a loss that computes in it."""
    return np.asarray(plain(array, "what the function returned"), dtype=np.float64, order="C")


def _numbers(array, name):
    """Of an array of objects, such as the rows of a table whose columns differ in type."""
    values = array.ravel().tolist()
    missing = np.array([_is_missing(value) for value in values], bool)
    if missing.any():
        raise lacking(missing.reshape(array.shape), name)
    for index, value in enumerate(values):
        if not isinstance(value, (numbers.Real, np.bool_, decimal.Decimal)):
            row = np.unravel_index(index, array.shape)[0] if array.ndim else 0
            raise TypeError(f"{name} holds {value!r} in row {row}, which is no number")
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return array.astype(bool)
    if all(isinstance(value, numbers.Integral) for value in values):
        try:
            return array.astype(np.int64)
        except OverflowError:
            raise ValueError(f"{name} holds {max(values, key=abs)}, which int64 doesn't hold") from None
    finite = np.array([_is_finite(value) for value in values], bool).reshape(array.shape)
    floats = _doubles(array, finite, name)
    for index, (value, number) in enumerate(zip(values, floats.ravel().tolist())):
        if isinstance(value, numbers.Integral) and int(value) != number:
            row = np.unravel_index(index, array.shape)[0] if array.ndim else 0
            raise ValueError(f"{name} holds {value} in row {row} among numbers that aren't integers, and float64 rounds it")
    return floats


def _is_finite(value):
    if isinstance(value, decimal.Decimal):
        return value.is_finite()
    return isinstance(value, np.bool_) or value - value == 0


def _doubles(array, finite, name):
    """As float64, which must hold what is finite."""
    try:
        with np.errstate(over="ignore"):
            found = array.astype(np.float64)
        fits = np.isfinite(found)[finite].all()
    except OverflowError:  # an integer
        fits = False
    if not fits:
        raise ValueError(f"{name} holds a number that is too large for float64")
    return found


def _is_missing(value):
    """Whether it is Python's, pandas' or a masked array's word for nothing. A NaN is a number."""
    return value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType")


def lacking(missing, name):
    """The error of values that aren't there."""
    first = int(np.flatnonzero(missing.reshape(len(missing), -1).any(1))[0]) if missing.ndim else 0
    return ValueError(
        f"{name} lacks {int(missing.sum())} of its {missing.size} values, the first in row {first}: leave such rows out, or fill them in"
    )


def _may_lack(kind):
    """Whether arrays of a type may lack values of which NumPy makes plain numbers: masked arrays, and columns of tables."""
    return issubclass(kind, np.ma.MaskedArray) or hasattr(kind, "isna") or hasattr(kind, "is_null")


def _has_lacking(rows):
    """Whether there are such arrays in a list."""
    kinds = set(map(type, rows))
    if any(map(_may_lack, kinds)):
        return True
    return any(issubclass(kind, (list, tuple)) for kind in kinds) and any(
        _has_lacking(row) for row in rows if isinstance(row, (list, tuple))
    )


def _stacked(rows):
    """A list of such arrays, or of lists of them, as one masked array."""
    return np.ma.stack([_stacked(row) if isinstance(row, (list, tuple)) else _masked(row) for row in rows])


def _masked(row):
    if not _may_lack(type(row)):
        return np.ma.asanyarray(row)
    missing = _missing(row)
    return np.ma.asanyarray(row) if missing is None else np.ma.masked_array(np.asarray(row), missing)


def _missing(array):
    """Which values a column or a table of pandas, pyarrow or polars lacks; None where it isn't one, or can lack none."""
    if hasattr(array, "isna"):  # pandas
        own = [hasattr(dtype, "na_value") for dtype in (array.dtypes if array.ndim == 2 else [array.dtype])]
        # What is missing in a column of a dtype of NumPy's is NaN, which is a number.
        return np.asarray(array.isna()) & (own if array.ndim == 2 else own[0]) if any(own) else None
    columns = array.get_columns() if hasattr(array, "get_columns") else getattr(array, "columns", None)
    if isinstance(columns, list) and columns:
        missing = [_missing(column) for column in columns]
        if all(column is None for column in missing):
            return None
        return np.stack([column.reshape(len(column), -1).any(1) for column in missing], 1)
    if not hasattr(array, "is_null"):
        return None
    if hasattr(getattr(array, "type", None), "index_type"):  # a dictionary of pyarrow's, which may have a null among its values
        array = array.cast(array.type.value_type)
    missing = np.asarray(array.is_null())
    while type(getattr(array, "dtype", None)).__name__ == "Array" and not missing.any():  # several values a row, of polars
        shape = missing.shape + array.dtype.shape[:1]
        array = array.explode()
        missing = np.reshape(np.asarray(array.is_null()), shape)
    return missing


def _to_numpy(array, name):
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise lacking(np.ma.getmaskarray(array), name)
        return np.ma.getdata(array)
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, (list, tuple)):
        if _has_lacking(array):
            return _to_numpy(_stacked(array), name)
    else:
        missing = _missing(array)
        if missing is not None and missing.any():
            raise lacking(missing, name)
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
    if isinstance(param, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and is written in place: give its data, {name}.data")
    return param if param.flags.c_contiguous and param.dtype.isnative and param.flags.aligned else np.array(param, np.float32, order="C")


def write_back(arrays, params):
    """Copies to the parameters what :func:`writeable` had to copy."""
    for array, param in zip(arrays, params):
        if not isinstance(param, np.ndarray):
            param = param.detach().numpy()
        if not np.shares_memory(array, param) and param.size:
            param[...] = array
