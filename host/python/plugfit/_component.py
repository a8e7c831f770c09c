"""The common base of losses, metrics, optimizers and schedules, and the registries of their classes.

A class is created on first access, from the declaration of the plug-in: ``plugfit.losses.Huber`` exists because a
plug-in has a loss of this name.
"""

from __future__ import annotations

import inspect
import json
import keyword
import sys

from . import _classes, _config, _native, _plugins, _wording
from ._positional import order


class IdentifierError(TypeError, ValueError):
    """An object isn't an identifier, or a component has unknown or missing arguments.

    It is a TypeError, as Python raises, and a ValueError, as Keras raises in some cases.
    """


class Component:
    """A component of any kind. ``_kind`` and ``_registry`` belong to the kind, ``_spec`` to the class."""

    _kind: str
    _registry: "Registry"
    _spec: dict | None = None
    #: Arguments of Keras that aren't settings of the plug-in.
    _beside: tuple = ()
    #: Accepted keys that aren't in the signature.
    _silent_keys: tuple = ("dtype",)

    def __new__(cls, *args, **kwargs):
        if cls._spec is None:
            raise TypeError(f"{cls.__name__} has no formula: write a plug-in, or give a function to get()")
        return cls._made(cls._spec["class_name"], cls._arguments(args, kwargs))

    @classmethod
    def _arguments(cls, args, kwargs):
        """Returns the configuration for the arguments of a call of the class."""
        keys = cls._spec["keys"]
        if len(args) > len(keys):
            raise TypeError(f"{cls.__name__}() takes {len(keys)} positional arguments but {len(args)} were given")
        config = dict(zip(keys, args))
        for key, value in kwargs.items():
            if key in config:
                raise TypeError(f"{cls.__name__}() got multiple values for argument '{key}'")
            config[key] = value
        for key in config:
            if key not in keys and key not in cls._silent_keys:
                raise IdentifierError(
                    f"{cls.__name__}() got an unexpected keyword argument '{key}'; it has {', '.join(keys)}"
                )
        return config

    @classmethod
    def _made(cls, class_name, config):
        """Creates an instance of the class with this name from a configuration."""
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return cls._of({"class_name": class_name, "config": config}, dtype=dtype)

    @classmethod
    def _of(cls, identifier, function=None, dtype=None):
        _classes.check(identifier)
        dtype = _dtype_name(dtype)
        told = cls._told(identifier, dtype)
        # For a function the native class takes only the settings.
        arguments = (_config.to_json(told),) if function is None else (_config.to_json(told["config"]), function)
        try:
            made = cls._registry.native.__new__(cls._registry.base, *arguments)
        except ValueError as error:
            if _wording.is_missing(error):
                raise IdentifierError(str(error)) from None
            raise _wording.refusal(error, identifier) or error from None
        made.__class__ = cls._registry.class_of(made)
        made._identifier, made._function = identifier, function
        made._given_dtype = dtype
        made._settings = None
        return made

    @classmethod
    def _told(cls, identifier, dtype):
        """Returns the identifier that is passed to the native class."""
        return identifier

    @classmethod
    def from_config(cls, config):
        """Creates a component from the result of :meth:`get_config`."""
        return cls(**config)

    def get_config(self):
        """Returns every setting under Keras's keys. Settings that Keras omits are included only if they aren't the
        default."""
        config = json.loads(self._config())
        if self._spec is None:
            return config
        self._let_keras_know()
        return _classes.without_defaults(self._kind, self._spec["class_name"], config)

    @classmethod
    def _let_keras_know(cls):
        """Registers the class with Keras, if it is imported, so that Keras can deserialize it."""
        saving = getattr(sys.modules.get("keras"), "saving", None)
        if saving is not None and saving.get_registered_name(cls) == cls.__name__:
            package = cls._spec["class_name"].rpartition(">")[0]
            saving.register_keras_serializable(f"{cls.__module__}.{package}".rstrip("."))(cls)

    @classmethod
    def _is_standard(cls):
        return cls._spec is not None and cls._spec["package"] == "standard"

    def _serialize(self):
        """Returns the component as a dict, as Keras serializes its own."""
        spec = self._spec or {}
        module = self._registry.keras_module if self._is_standard() else None
        return {
            "module": module,
            "class_name": self._full_name if module is None else spec["class_name"],
            "config": self.get_config(),
            "registered_name": None if module is not None else self._full_name,
        }

    def __reduce__(self):
        plugins = () if self._spec is None or self._is_standard() else tuple(_plugins.loaded)
        return _restored, (self._kind, self._identifier, self._function, self._given_dtype, self._saved(), plugins)

    def __getattr__(self, name):
        # Settings are attributes.
        if not name.startswith("_") and self._spec is not None:
            if self._settings is None:
                self._settings = {**json.loads(self._config()), **self.get_config()}
            if name in self._settings:
                return self._settings[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _again(self):
        """Creates another component with the same settings and a new state."""
        return type(self)._of(self._identifier, self._function, self._given_dtype)

    def _saved(self):
        """Returns the state that is pickled in addition to the configuration."""
        return None

    def _go_on(self, saved):
        """Restores the state that :meth:`_saved` returned."""

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _signature(settings):
    """Returns the signature of a class with these settings, for help() and editors."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    nothing = inspect.Parameter.empty
    parameters = [inspect.Parameter(setting["name"], kind, default=setting.get("default", nothing)) for setting in settings]
    return inspect.Signature(parameters)


def _no_init(self, *args, **kwargs):
    """Does nothing: ``__new__`` initialises the instance."""


def _restored(kind, identifier, function, dtype, saved, plugins=()):
    """Creates a component from its pickled parts."""
    _plugins.load_absent(plugins)
    registry = Registry.of_kind(kind)
    made = registry.base._of(identifier, function, dtype)
    if saved is not None:
        made._go_on(saved)
    return made


_DTYPES = {"bfloat16", "bool", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"}
_DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def _dtype_name(dtype):
    """Returns the name of a dtype, a dtype policy or a policy's configuration, or None for None."""
    if dtype is None:
        return None
    name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    if not isinstance(name, str):
        name = getattr(dtype, "compute_dtype", None) or getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = str(name).removeprefix("torch.").removeprefix("mixed_")
    name = {"float": "float32", "int": "int32"}.get(name, name)
    if name not in _DTYPES:
        raise ValueError(f"`dtype` is none of {', '.join(sorted(_DTYPES))}: {dtype!r}")
    return name


class Registry:
    """The components of a kind. It implements ``get`` and the attributes of a module such as ``plugfit.losses``."""

    _kinds: dict = {}

    def __init__(self, kind, base, native, keras_module, function_class):
        self.kind, self.base, self.native = kind, base, native
        self.keras_module = keras_module
        self.function_class = function_class
        self.classes = {}
        self._by_full_name = {}
        base._kind, base._registry = kind, self
        Registry._kinds[kind] = self

    @staticmethod
    def of_kind(kind):
        """Returns the registry of a kind."""
        return Registry._kinds[kind]

    def class_of(self, made):
        """Returns the class for a native instance."""
        of_loss, name = key = getattr(made, "_is_of_loss", False), made._full_name
        if key not in self._by_full_name:
            try:
                found = json.loads(_native.find("loss" if of_loss else self.kind, name))
            except ValueError:  # a function
                return self.function_class or self.base
            self._by_full_name[key] = self._class(found, of_loss)
        return self._by_full_name[key]

    def _class(self, found, of_loss=False):
        name, package = found["name"], found["package"]
        key = (package, name)
        if key not in self.classes:
            own = {field["name"]: field for field in found["fields"]}
            base = {field["name"]: field for field in found["base"] if field["name"] not in own}
            settings = {**own, **base, **{key: {"name": key, "default": None} for key in self.base._beside}}
            keys = order(self.kind, name, list(own), [*base, *self.base._beside], of_loss)
            spec = {
                "package": package,
                "class_name": name if package == "standard" else f"{package}>{name}",
                "keys": keys,
            }
            described = "".join(f"\n    {key}: {settings[key]['doc']}" for key in keys if "doc" in settings[key])
            doc = found["doc"] + (f"\n\nArgs:{described}" if described else "")
            module = f"plugfit.{self.kind}{'es' if self.kind == 'loss' else 's'}"
            members = {"_spec": spec, "__doc__": doc, "__module__": module, "__init__": _no_init}
            members["__signature__"] = _signature([settings[key] for key in keys])
            bases = _classes.of(self.kind, name) if package == "standard" else ()
            made = self.classes[key] = type(name, (*bases, self.base), members)
            if package == "standard":
                # Pickle finds a class by its module and name.
                setattr(sys.modules[module], name, made)
        return self.classes[key]

    def named(self, name):
        """Returns the class with this name, for a module's ``__getattr__``."""
        if not name.startswith("_") and name.isidentifier() and not keyword.iskeyword(name):
            # A loss is a metric too.
            for kind in (self.kind, "loss") if self.kind == "metric" else (self.kind,):
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
        module = self.base.__module__.rpartition(".")[2]
        why = "" if error is None else f": {error}"
        return AttributeError(f"module 'plugfit.{module}' has no attribute {name!r}{why}")

    def make_standard(self):
        """Creates the classes of the standard set."""
        for text in _native.standard(self.kind):
            self._class(json.loads(text))
        if self.kind == "metric":
            own = {name for _, name in self.classes}
            for text in _native.standard("loss"):
                found = json.loads(text)
                if found["name"] not in own:
                    self._class(found, True)

    def names(self):
        """Returns the names of all classes."""
        kinds = (self.kind, "loss") if self.kind == "metric" else (self.kind,)
        return sorted({json.loads(text)["name"] for kind in kinds for text in _native.components(kind)})

    def get(self, identifier):
        """Returns the component for an identifier."""
        if identifier is None:
            return None
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        if isinstance(identifier, str):
            return self.base._of(identifier)
        if isinstance(identifier, dict):
            return self._of_dict(identifier)
        if _config.is_keras(identifier) and hasattr(identifier, "get_config"):
            return self._of_dict(_config.of_keras(identifier))
        if callable(identifier) and self.function_class is not None and not isinstance(identifier, type):
            return self.function_class._of_function(identifier)
        raise IdentifierError(f"could not interpret {self.kind} identifier: {identifier!r}")

    def _of_dict(self, identifier):
        config = identifier.get("config")
        module = self.base.__module__
        if identifier.get("module") == module:
            # Keras serialized a class that Component._let_keras_know registered.
            package = str(identifier.get("registered_name")).rpartition(">")[0].removeprefix(module).lstrip(".")
            name = identifier.get("class_name")
            identifier = {"class_name": f"{package}>{name}" if package else name, "config": config}
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return self.base._of(identifier, dtype=dtype)
