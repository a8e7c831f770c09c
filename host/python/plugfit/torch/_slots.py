"""An optimizer's state as the plug-in's host saves it: a safetensors file of the step count and the slots."""

from __future__ import annotations

import json
import struct

import numpy as np

_DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "U64": np.dtype("<u8")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def read(data):
    """Returns the arrays of a file by name."""
    (length,) = struct.unpack_from("<Q", data)
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        dtype = _DTYPES[entry["dtype"]]
        found[name] = np.frombuffer(data, dtype, (end - start) // dtype.itemsize, 8 + length + start)
    return found


def write(arrays):
    """Returns a file of arrays, which have one axis."""
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": _NAMES[array.dtype], "shape": [array.size], "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(array.tobytes() for array in arrays.values())])


def split(name, paths):
    """Returns the parameter's path and the slot's name of an array's name, or None for an array that isn't a slot. The
    path of a slot of the whole optimizer is empty."""
    if not name.startswith("slot "):
        return None
    name = name[len("slot ") :]
    end = len(name)
    while (end := name.rfind(":", 0, end)) > 0:
        if name[:end] in paths:
            return name[:end], name[end + 1 :]
    return ("", name[1:]) if name.startswith(":") else None
