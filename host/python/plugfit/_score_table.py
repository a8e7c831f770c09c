"""Metrics of the columns of files and tables, computed by the program ``plugfit-score``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import warnings

from . import _plugins
from . import metrics as _metrics

_PROGRAM = "plugfit-score"


def score_table(data, metrics, options):
    """See :func:`plugfit.score`. ``options`` are those of the program by name; None isn't given."""
    program = shutil.which(_PROGRAM)
    if program is None:
        raise FileNotFoundError(
            f"score(data=...) needs the program {_PROGRAM}, which isn't on PATH: it is built apart, because it contains a "
            "query engine; in plugfit's sources, run cargo install --locked --path host/engines/sql"
        )
    metrics = [metrics] if isinstance(metrics, (str, dict)) or not isinstance(metrics, (list, tuple)) else metrics
    command = [program, "score", "--format=json", *_arguments("metric", [_text(metric) for metric in metrics])]
    for name, value in options.items():
        command += _arguments(name.replace("_", "-"), value)
    command += _arguments("plugins", _plugins.loaded)
    with tempfile.TemporaryDirectory(prefix="plugfit-") as folder:
        table = os.path.join(folder, "table.arrow")
        files = _files(data)
        if files is None:
            _write(data, table)
        command += ["--", *(files or [table])]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        messages = ended.stderr.decode(errors="replace").replace(table, "the table").strip()
    if ended.returncode != 0:
        messages = messages.removeprefix("error: ") or f"{_PROGRAM} ended with the exit status {ended.returncode}"
        raise (ValueError if ended.returncode == 2 else RuntimeError)(messages)
    if messages:
        warnings.warn(messages, stacklevel=3)
    return _with_floats(json.loads(ended.stdout))


def _arguments(name, value):
    """Returns an option as ``--name=value``, because a value may begin with a hyphen."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    if isinstance(value, dict):
        values = [f"{key}={column}" for key, column in value.items()]
    else:
        values = value if isinstance(value, (list, tuple)) else [value]
    return [f"--{name}={os.fspath(one) if isinstance(one, os.PathLike) else one}" for one in values]


def _text(metric):
    """Returns the identifier of a metric as a text."""
    if isinstance(metric, str):
        return metric
    return json.dumps(metric if isinstance(metric, dict) else _metrics.serialize(metric))


def _files(data):
    """Returns the files that ``data`` names, or None if it is a table."""
    if isinstance(data, (str, os.PathLike)):
        data = [data]
    if isinstance(data, (list, tuple)) and all(isinstance(one, (str, os.PathLike)) for one in data):
        if not data:
            raise ValueError("data names no file")
        return [os.fspath(one) for one in data]
    return None


def _write(table, path):
    """Writes a table as an Arrow file."""
    if not hasattr(table, "__arrow_c_stream__") and not hasattr(table, "iloc"):
        raise TypeError(f"data is a path, a list of paths, or a table of polars, pandas or Arrow, not {type(table).__name__}")
    if hasattr(table, "write_ipc"):
        table.write_ipc(path)
        return
    try:
        import pyarrow
    except ImportError:
        raise ImportError(f"{_PROGRAM} gets a {type(table).__name__} by pyarrow, which isn't installed") from None
    if hasattr(table, "iloc"):
        # The index of pandas is no column.
        reader = pyarrow.Table.from_pandas(table, preserve_index=False).to_reader()
    else:
        reader = pyarrow.RecordBatchReader.from_stream(table)
    with reader, pyarrow.ipc.new_file(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _with_floats(value):
    """Returns parsed JSON in which the numbers that JSON doesn't have are floats."""
    if isinstance(value, list):
        return [_with_floats(one) for one in value]
    if isinstance(value, dict):
        of_metrics = {"metrics", "intervals"}
        return {key: _numbers(one) if key in of_metrics else _with_floats(one) for key, one in value.items()}
    return value


def _numbers(value):
    """Returns the results of metrics as floats; an undefined one is None."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_numbers(one) for one in value)
    return None if value is None else float(value)
