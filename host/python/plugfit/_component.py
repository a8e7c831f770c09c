"""The common base of losses, metrics, optimizers and schedules."""

from __future__ import annotations

import json
import sys

from . import _classes, _config, _native, _plugins, _wording
from ._formula import Formula
from ._registry import IdentifierError, Registry


class Component:
    """A component of any kind. ``_kind`` and ``_registry`` belong to the kind, ``_spec`` to the class."""

    _kind: str
    _registry: Registry
    _spec: dict | None = None
    #: Arguments of Keras that aren't settings of the plug-in.
    _extra_arguments: tuple = ()
    #: Accepted keys that aren't in the signature.
    _silent_keys: tuple = ("dtype",)

    def __new__(cls, *args, **kwargs):
        if cls._spec is None:
            raise TypeError(f"{cls.__name__} has no formula: write a plug-in, or give a function to get()")
        return cls._from_config(cls._spec["class_name"], cls._arguments(args, kwargs))

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
    def _from_config(cls, class_name, config):
        """Creates an instance of the class with this name from a configuration."""
        dtype = config.get("dtype") if isinstance(config, dict) else None
        return cls._from_identifier({"class_name": class_name, "config": config}, dtype=dtype)

    @classmethod
    def _from_identifier(cls, identifier, function=None, dtype=None):
        """Creates an instance for an identifier, or for the settings in its ``config`` and a Python function."""
        _classes.check(identifier)
        dtype = _dtype_name(dtype)
        native = cls._native_identifier(identifier, dtype)
        arguments = (_config.to_json(native),) if function is None else (_config.to_json(native["config"]), function)
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
    def _native_identifier(cls, identifier, dtype):
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
        self._register_with_keras()
        return _classes.without_defaults(self._kind, self._spec["class_name"], config)

    def formula(self):
        """Returns the formula, which gives functions for NumPy, JAX, PyTorch and Keras: ``formula().jax()``. ``print``
        shows it.

        Raises ValueError if there is none, such as of a Python function; its message says why.
        """
        found = self.__dict__.get("_read_formula")
        if found is None:
            found = self._read_formula = self._find_formula()
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def _find_formula(self):
        """Returns the formula, or why there is none."""
        document = getattr(self, "_formula", None)
        if document is None or self._spec is None:
            return f"{self.name} has no formula"
        try:
            return Formula.from_json(*document())
        except (_native.PluginError, ValueError) as error:
            return f"{self.name} has no formula: {error}"

    @classmethod
    def _register_with_keras(cls):
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
        return _restored, (self._kind, self._identifier, self._function, self._given_dtype, self._get_pickle_state(), plugins)

    def __getattr__(self, name):
        # Settings are attributes.
        if not name.startswith("_") and self._spec is not None:
            if self._settings is None:
                self._settings = {**json.loads(self._config()), **self.get_config()}
            if name in self._settings:
                return self._settings[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _fresh_copy(self):
        """Creates another component with the same settings and a new state."""
        return type(self)._from_identifier(self._identifier, self._function, self._given_dtype)

    def _get_pickle_state(self):
        """Returns the state that is pickled in addition to the configuration."""
        return None

    def _set_pickle_state(self, saved):
        """Restores the state that :meth:`_get_pickle_state` returned."""

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def formula_of(component, engine):
    """Returns the component's formula, or None if it is computed by the plug-in's code.

    Raises ValueError if ``engine`` is ``formula`` and the component has none.
    """
    if engine not in (None, "native", "formula"):
        raise ValueError(f"engine is None, 'native' or 'formula', not {engine!r}")
    if engine == "native":
        return None
    try:
        return component.formula()
    except ValueError:
        if engine == "formula":
            raise
        return None


def _restored(kind, identifier, function, dtype, saved, plugins=()):
    """Creates a component from its pickled parts. Pickles contain the name of this function."""
    _plugins.load_absent(plugins)
    registry = Registry.of_kind(kind)
    made = registry.base._from_identifier(identifier, function, dtype)
    if saved is not None:
        made._set_pickle_state(saved)
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
