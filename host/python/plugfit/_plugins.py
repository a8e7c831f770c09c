"""Plug-ins that are loaded beside those of the folders that are looked in always."""

from __future__ import annotations

import os
import warnings

from . import _native

#: The paths that load_plugins was called with: another process doesn't know of them.
loaded: list = []


def load_plugins(path):
    """Loads a plug-in (a shared library), or every plug-in of a folder.

    Raises FileNotFoundError where there is none, PluginError for a file that can't be loaded. Of a folder's files those that can't be
    loaded are warned of.
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
    """Loads what a process had loaded that a component comes from, where it is still there and isn't loaded here."""
    for path in paths:
        if path not in loaded and os.path.exists(path):
            load_plugins(path)
