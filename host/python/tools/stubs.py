"""Writes the classes of the standard set into the package's type stubs, from the manifest of the installed package.

``python host/python/tools/stubs.py`` replaces the section of each stub after the line that says so. ``--check`` changes nothing,
and fails if a stub would change.
"""

from __future__ import annotations

import json
import pathlib
import sys

import plugfit
from plugfit._registry import Registry

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "plugfit"
MARK = "# The classes of the standard set. The rest of this file is written by host/python/tools/stubs.py.\n"
KINDS = {"loss": "losses", "metric": "metrics", "optimizer": "optimizers", "schedule": "schedules"}

#: The types of settings in the manifest. NumPy's scalars are numbers too.
TYPES = {
    "number": "float | np.number[Any]",
    "integer": "int | np.integer[Any]",
    "boolean": "bool | np.bool_",
    "string": "str",
    "array": "Sequence[Any] | np.ndarray[Any, Any]",
}


def type_of(setting):
    """Returns the annotation of a setting. A type that isn't in the table is Any: a number or a schedule, an object."""
    name, is_optional = setting.get("type", "").removesuffix(" or null"), setting.get("type", "").endswith(" or null")
    known = TYPES.get(name)
    if known is None:
        return "Any"
    is_optional = is_optional or setting["name"] == "name" or setting.get("default", 0) is None
    return f"{known} | None" if is_optional else known


def argument(setting):
    """Returns the argument of a setting, with its default if that is short."""
    text = f"{setting['name']}: {type_of(setting)}"
    if "default" not in setting:
        return text
    default = setting["default"]
    default = json.dumps(default) if isinstance(default, str) else repr(default)
    return f"{text} = {default if len(default) <= 50 and not isinstance(setting['default'], (list, dict)) else '...'}"


def classes(kind):
    """Returns the stubs of the classes of a kind."""
    registry = Registry.of_kind(kind)
    standard = sorted((made for (package, _), made in registry.classes.items() if package == "standard"), key=lambda made: made.__name__)
    for made in standard:
        arguments = [argument(made._spec["settings"][key]) for key in made._spec["keys"]]
        lines = [f"class {made.__name__}({registry.base.__name__}):", "    def __init__(", "        self,"]
        lines += [f"        {one}," for one in arguments]
        yield "\n".join([*lines, "    ) -> None: ..."])


def stub(kind):
    """Returns the whole stub of a kind."""
    text = (FOLDER / f"{KINDS[kind]}.pyi").read_text()
    if text.count(MARK) != 1:
        raise SystemExit(f"{KINDS[kind]}.pyi has no line {MARK!r}")
    return text.partition(MARK)[0] + MARK + "\n" + "\n\n".join(classes(kind)) + "\n"


def main(check):
    """Writes the stubs, or returns the names of those that would change."""
    different = []
    for kind, module in KINDS.items():
        path, text = FOLDER / f"{module}.pyi", stub(kind)
        if path.read_text() != text:
            different.append(path.name)
            if not check:
                path.write_text(text)
    return different


if __name__ == "__main__":
    changed = main("--check" in sys.argv)
    print(f"plugfit {plugfit.__version__}: {', '.join(changed) or 'no stub'} changed")
    sys.exit(bool(changed) and "--check" in sys.argv)
