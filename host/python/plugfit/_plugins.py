"""Plug-ins that are loaded in addition to those of the default folders."""

from __future__ import annotations

import os
import warnings

from . import _native

#: The paths that were passed to load_plugins. Pickled components carry them to other processes.
loaded: list = []


def load_plugins(path):
    """Loads a plug-in (a shared library), or every plug-in of a folder.

    Raises FileNotFoundError if the path doesn't exist, and PluginError if the file can't be loaded. If a file in a
    folder can't be loaded, a warning is issued.
    """
    path = os.path.abspath(os.fspath(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no {path}")
    try:
        refused = _native.load_plugins(path)
    except ValueError as error:
        raise _native.PluginError(str(error)) from None
    if path not in loaded:
        loaded.append(path)
    for file, reason in refused:
        warnings.warn(f"{file}: {reason}", stacklevel=2)


def load_absent(paths):
    """Loads those of the paths that exist and aren't loaded yet. They were loaded where a component was pickled."""
    for path in paths:
        if path not in loaded and os.path.exists(path):
            load_plugins(path)


def load_all(paths):
    """Loads a path or a list of paths, unless they are loaded. None is nothing to load."""
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths or ():
        if os.path.abspath(os.fspath(path)) not in loaded:
            load_plugins(path)
