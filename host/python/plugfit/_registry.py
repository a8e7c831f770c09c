"""The registries of the classes of losses, metrics, optimizers and schedules.

A class is created on first access, from the declaration of the plug-in: ``plugfit.losses.Huber`` exists because a
plug-in has a loss of this name.
"""

from __future__ import annotations

import inspect
import json
import keyword
import sys

from . import _config, _native
from ._positional import order


class IdentifierError(TypeError, ValueError):
    """An object isn't an identifier, or a component has unknown or missing arguments.

    It is a TypeError, as Python raises, and a ValueError, as Keras raises in some cases.
    """


class Registry:
    """The components of a kind. It implements the functions and attributes of a module such as ``plugfit.losses``.

    ``base`` is the class of all components, ``function_class`` that of Python functions. ``bases`` are the additional
    bases of standard classes by name.
    """

    _of_kinds: dict = {}

    def __init__(self, kind, base, native, keras_module, function_class=None, bases=None):
        self.kind, self.base, self.native = kind, base, native
        self.keras_module = keras_module
        self.classes = {}
        self._function_class = function_class
        self._bases = bases or {}
        # A loss is a metric too.
        self._kinds = ("metric", "loss") if kind == "metric" else (kind,)
        self._by_full_name = {}
        base._kind, base._registry = kind, self
        Registry._of_kinds[kind] = self
        self._make_standard()

    def __reduce__(self):
        # For functions of a module, which are methods of its registry.
        return Registry.of_kind, (self.kind,)

    @staticmethod
    def of_kind(kind):
        """Returns the registry of a kind."""
        return Registry._of_kinds[kind]

    def class_of(self, made):
        """Returns the class for a native instance."""
        of_loss, name = key = getattr(made, "_is_of_loss", False), made._full_name
        if key not in self._by_full_name:
            try:
                found = json.loads(_native.find("loss" if of_loss else self.kind, name))
            except ValueError:  # a function
                return self._function_class or self.base
            self._by_full_name[key] = self._class(found, of_loss)
        return self._by_full_name[key]

    def _class(self, found, of_loss=False):
        name, package = found["name"], found["package"]
        key = (package, name)
        if key not in self.classes:
            own = {field["name"]: field for field in found["fields"]}
            base = {field["name"]: field for field in found["base"] if field["name"] not in own}
            settings = {**own, **base, **{key: {"name": key, "default": None} for key in self.base._extra_arguments}}
            # A component of a plug-in may have the name of one of Keras, and other settings.
            keys = order(self.kind, name if package == "standard" else None, list(own), [*base, *self.base._extra_arguments], of_loss)
            spec = {
                "package": package,
                "class_name": name if package == "standard" else f"{package}>{name}",
                "keys": keys,
                "settings": settings,
            }
            described = "".join(f"\n    {key}: {settings[key]['doc']}" for key in keys if "doc" in settings[key])
            doc = found["doc"] + (f"\n\nArgs:{described}" if described else "")
            module = self.base.__module__
            members = {"_spec": spec, "__doc__": doc, "__module__": module, "__init__": _no_init}
            members["__signature__"] = _signature([settings[key] for key in keys])
            bases = (self._bases[name],) if package == "standard" and name in self._bases else ()
            made = self.classes[key] = type(name, (*bases, self.base), members)
            if package == "standard":
                # Pickle finds a class by its module and name.
                setattr(sys.modules[module], name, made)
        return self.classes[key]

    def named(self, name):
        """Returns the class with this name, for a module's ``__getattr__``."""
        if not name.startswith("_") and name.isidentifier() and not keyword.iskeyword(name):
            for kind in self._kinds:
                try:
                    found = json.loads(_native.find(kind, name))
                except ValueError as error:
                    if _native.has(kind, name):
                        raise self.missing(name, error) from None
                    continue
                if found["name"] == name:
                    return self._class(found, kind != self.kind)
        raise self.missing(name)

    def missing(self, name, error=None):
        """Returns the AttributeError for this name. ``error`` is the reason why an existing component can't be used."""
        why = "" if error is None else f": {error}"
        return AttributeError(f"module '{self.base.__module__}' has no attribute {name!r}{why}")

    def _make_standard(self):
        """Creates the classes of the standard set."""
        for kind in self._kinds:
            for text in _native.standard(kind):
                found = json.loads(text)
                # A metric precedes the loss with its name.
                if (found["package"], found["name"]) not in self.classes:
                    self._class(found, kind != self.kind)

    def dir(self):
        """Returns the names of the module's functions and of all classes, for its ``__dir__``."""
        found = {json.loads(text)["name"] for kind in self._kinds for text in _native.components(kind)}
        return sorted(found.union(sys.modules[self.base.__module__].__all__))

    def get(self, identifier):
        """Returns the component for an identifier: a name, a dict as Keras serializes it, a component, or a function if
        it is of losses or metrics. A metric may have the name of a loss. None returns None.

        Raises ValueError for an unknown name or an invalid setting, and TypeError if the object isn't an identifier.
        """
        if identifier is None:
            return None
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        if isinstance(identifier, str):
            return self.base._from_identifier(identifier)
        if isinstance(identifier, dict):
            return self._from_dict(identifier)
        if _config.is_keras(identifier) and hasattr(identifier, "get_config"):
            return self._from_dict(_config.of_keras(identifier))
        if callable(identifier) and self._function_class is not None and not isinstance(identifier, type):
            return self._function_class._from_function(identifier)
        raise IdentifierError(f"could not interpret {self.kind} identifier: {identifier!r}")

    def deserialize(self, config):
        """Returns the component that ``serialize`` wrote."""
        return self.get(config)

    def _from_dict(self, identifier):
        config = identifier.get("config")
        module = self.base.__module__
        if identifier.get("module") == module:
            # Keras serialized a class that Component._register_with_keras registered.
            package = str(identifier.get("registered_name")).rpartition(">")[0].removeprefix(module).lstrip(".")
            name = identifier.get("class_name")
            identifier = {"class_name": f"{package}>{name}" if package else name, "config": config}
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return self.base._from_identifier(identifier, dtype=dtype)


def _signature(settings):
    """Returns the signature of a class with these settings, for help() and editors."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    nothing = inspect.Parameter.empty
    parameters = [inspect.Parameter(setting["name"], kind, default=setting.get("default", nothing)) for setting in settings]
    return inspect.Signature(parameters)


def _no_init(self, *args, **kwargs):
    """Does nothing: ``__new__`` initialises the instance."""
