"""What losses, metrics, optimizers and schedules have in common: a class for each component, found by name.

The classes are made when they are first asked for, from what the plug-ins declare: ``plugfit.losses.Huber`` is there because a
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
    """What was given is no identifier, or arguments that its component doesn't have or that it lacks.

    A TypeError, as Python raises, and a ValueError, as Keras raises for some.
    """


class Component:
    """A component of any kind. ``_kind`` and ``_native`` are the kind's, ``_spec`` is the class's."""

    _kind: str
    _registry: "Registry"
    _spec: dict | None = None
    #: Keras's arguments that are no settings here.
    _beside: tuple = ()
    #: Keys that are understood and aren't listed.
    _silent_keys: tuple = ("dtype",)

    def __new__(cls, *args, **kwargs):
        if cls._spec is None:
            raise TypeError(f"{cls.__name__} has no formula: write a plug-in, or give a function to get()")
        return cls._made(cls._spec["class_name"], cls._arguments(args, kwargs))

    @classmethod
    def _arguments(cls, args, kwargs):
        """The configuration that a call of the class stands for."""
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
        """An instance of the class that this configuration is of."""
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return cls._of({"class_name": class_name, "config": config}, dtype=dtype)

    @classmethod
    def _of(cls, identifier, function=None, dtype=None):
        _classes.check(identifier)
        dtype = _dtype_name(dtype)
        told = cls._told(identifier, dtype)
        # Of a function the native side takes the settings alone.
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
        """The identifier as the native side is given it."""
        return identifier

    @classmethod
    def from_config(cls, config):
        """The component that :meth:`get_config` is of."""
        return cls(**config)

    def get_config(self):
        """Every setting, under Keras's keys; those that Keras leaves out where they aren't the default alone."""
        config = json.loads(self._config())
        if self._spec is None:
            return config
        self._let_keras_know()
        return _classes.without_defaults(self._kind, self._spec["class_name"], config)

    @classmethod
    def _let_keras_know(cls):
        """Registers the class with Keras, where that is there, to be found again by what Keras serializes."""
        saving = getattr(sys.modules.get("keras"), "saving", None)
        if saving is not None and saving.get_registered_name(cls) == cls.__name__:
            package = cls._spec["class_name"].rpartition(">")[0]
            saving.register_keras_serializable(f"{cls.__module__}.{package}".rstrip("."))(cls)

    @classmethod
    def _is_standard(cls):
        return cls._spec is not None and cls._spec["package"] == "standard"

    def _serialize(self):
        """As Keras serializes its own."""
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
        # A setting, under its name.
        if not name.startswith("_") and self._spec is not None:
            if self._settings is None:
                self._settings = {**json.loads(self._config()), **self.get_config()}
            if name in self._settings:
                return self._settings[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _again(self):
        """Another of the same settings, which has seen nothing."""
        return type(self)._of(self._identifier, self._function, self._given_dtype)

    def _saved(self):
        """What it has beside its configuration, to go with it through pickle."""
        return None

    def _go_on(self, saved):
        """Goes on from what :meth:`_saved` gave."""

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _signature(settings):
    """That of a class with these settings, for help() and editors."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    nothing = inspect.Parameter.empty
    parameters = [inspect.Parameter(setting["name"], kind, default=setting.get("default", nothing)) for setting in settings]
    return inspect.Signature(parameters)


def _made_by_new(self, *args, **kwargs):
    """Nothing is left to do."""


def _restored(kind, identifier, function, dtype, saved, plugins=()):
    _plugins.load_absent(plugins)
    registry = Registry.of_kind(kind)
    made = registry.base._of(identifier, function, dtype)
    if saved is not None:
        made._go_on(saved)
    return made


_DTYPES = {"bfloat16", "bool", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"}
_DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def _dtype_name(dtype):
    """A dtype, a policy or its configuration, as a name; None where none was given."""
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
    """The components of a kind: what a module's ``get`` and its attributes are."""

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
        """That of a kind."""
        return Registry._kinds[kind]

    def class_of(self, made):
        """The class of an instance of the native side."""
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
            members = {"_spec": spec, "__doc__": doc, "__module__": module, "__init__": _made_by_new}
            members["__signature__"] = _signature([settings[key] for key in keys])
            bases = _classes.of(self.kind, name) if package == "standard" else ()
            made = self.classes[key] = type(name, (*bases, self.base), members)
            if package == "standard":
                # Where pickle looks for it.
                setattr(sys.modules[module], name, made)
        return self.classes[key]

    def named(self, name):
        """The class of this name, for a module's ``__getattr__``."""
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
        """The AttributeError for this name; `error` says why a component that there is can't be used."""
        module = self.base.__module__.rpartition(".")[2]
        why = "" if error is None else f": {error}"
        return AttributeError(f"module 'plugfit.{module}' has no attribute {name!r}{why}")

    def make_standard(self):
        """Makes the classes of the standard set."""
        for text in _native.standard(self.kind):
            self._class(json.loads(text))
        if self.kind == "metric":
            own = {name for _, name in self.classes}
            for text in _native.standard("loss"):
                found = json.loads(text)
                if found["name"] not in own:
                    self._class(found, True)

    def names(self):
        """The names of all classes."""
        kinds = (self.kind, "loss") if self.kind == "metric" else (self.kind,)
        return sorted({json.loads(text)["name"] for kind in kinds for text in _native.components(kind)})

    def get(self, identifier):
        """The component that an identifier stands for."""
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
            # What Keras serialized: Component._let_keras_know.
            package = str(identifier.get("registered_name")).rpartition(">")[0].removeprefix(module).lstrip(".")
            name = identifier.get("class_name")
            identifier = {"class_name": f"{package}>{name}" if package else name, "config": config}
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return self.base._of(identifier, dtype=dtype)
