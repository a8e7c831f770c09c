"""The embedded network: a model that is built from a configuration, compiled and trained."""

from __future__ import annotations

import json
import operator
import os

from collections.abc import Mapping

import numpy as np

from . import _arrays, _config, _native, _plugins, losses, metrics, optimizers
from ._component import Component

__all__ = ["History", "Model"]


class History:
    """The logs of a training. As in Keras, ``epoch`` lists the epochs from 0, and ``history`` the values for each
    name."""

    def __init__(self, epochs, ended=None):
        #: The epochs, each with its logs, learning rate and seconds.
        self.epochs = epochs
        #: The reason why training ended before the last epoch, or None.
        self.ended = ended
        self.epoch = [epoch["epoch"] - 1 for epoch in epochs]
        self.history = {}
        for epoch in epochs:
            for name, value in epoch["logs"]:
                self.history.setdefault(name, []).append(_number(value))

    def __repr__(self):
        return f"<History of {len(self.epochs)} epochs: {', '.join(self.history)}>"


def _number(value):
    """Converts a logged value to a number or an array. None is undefined; a string is a number that JSON can't
    represent."""
    if value is None:
        return float("nan")
    if isinstance(value, (str, int, float)):
        return float(value)
    return np.asarray(value)


class Model(_native.Model):
    """The embedded network with Keras's ``compile``, ``fit``, ``evaluate`` and ``predict``.

    >>> model = Model(["Dense(32, activation=relu)", "Dense(1)"], seed=7)  # doctest: +SKIP
    >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])  # doctest: +SKIP
    >>> history = model.fit(x, y, epochs=10)  # doctest: +SKIP

    ``config`` is a list of layers, or a dict with ``layers`` and ``outputs`` as in the ``[network]`` table of a run
    file. The weights are initialised from ``seed`` when the shape of the inputs is known.
    """

    def __new__(cls, config, seed=0):
        if isinstance(config, (list, tuple)):
            config = {"layers": list(config)}
        made = super().__new__(cls, _config.to_json(config))
        made._seed = int(seed)
        return made

    @classmethod
    def from_config(cls, config, seed=0):
        """Creates a model from a network's configuration."""
        return cls(config, seed=seed)

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None):
        """Sets optimizer, losses and metrics: identifiers, instances or Python functions. Losses and metrics are one
        for all outputs, a list, or a dict by output name.

        A function trains as a loss if it has an attribute ``gradient``; see
        :class:`plugfit.losses.LossFunctionWrapper`.
        """
        self._compile(
            _identifier(optimizer, optimizers),
            _per_output(loss, losses),
            _config.to_json(loss_weights),
            _per_output(metrics, _metrics_module),
            _per_output(weighted_metrics, _metrics_module),
        )

    def build(self, input_shape):
        """Initialises the weights for samples of this shape, without the batch axis. ``fit`` does it if necessary."""
        self._build([int(length) for length in input_shape], self._seed)

    def fit(
        self,
        x,
        y,
        batch_size=None,
        epochs=1,
        verbose=False,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_freq=1,
        on_epoch_end=None,
        inputs=None,
    ):
        """Trains the model and returns the :class:`History`.

        ``x`` has the shape ``[N, ...]``. ``y`` has the shape ``[N]`` or ``[N, ...]``, or is a dict of such arrays by
        output name. ``inputs`` is a dict of arrays with a row for each sample: the further inputs of losses and metrics by
        name. ``validation_data`` is ``(x, y)``, ``(x, y, sample_weight)`` or ``(x, y, sample_weight, inputs)``.
        ``callbacks`` are identifiers as in a run file (``"EarlyStopping(patience=5)"``). ``on_epoch_end``
        is a function of the epoch's number from 0 and its logs. Ctrl-C ends training after the batch with a
        KeyboardInterrupt, and the model has the weights trained until then.
        """
        x = _arrays.plain(x, "x")
        self.build(x.shape[1:])
        config = {
            "epochs": _count("epochs", epochs, 0),
            "initial_epoch": _count("initial_epoch", initial_epoch, 0),
            "batch_size": 32 if batch_size is None else _count("batch_size", batch_size, 1),
            "seed": self._seed,
            "shuffle": bool(shuffle),
            "validation_freq": _count("validation_freq", validation_freq, 1),
            "class_weight": {str(name): float(weight) for name, weight in (class_weight or {}).items()},
            "callbacks": list(callbacks or ()),
        }
        if steps_per_epoch is not None:
            config["steps_per_epoch"] = _count("steps_per_epoch", steps_per_epoch, 1)
        if validation_data is not None:
            if not isinstance(validation_data, (list, tuple)) or len(validation_data) not in (2, 3, 4):
                raise ValueError("validation_data is (x, y), (x, y, sample_weight) or (x, y, sample_weight, inputs)")
            x_y_weight, further = (*validation_data, None)[:3], validation_data[3:]
            validation_data = (*x_y_weight, _further(*further))

        def report(text, epochs):
            epoch = json.loads(text)
            logs = {name: _number(value) for name, value in epoch["logs"]}
            if verbose:
                values = "  ".join(f"{name} {value:.4g}" if np.ndim(value) == 0 else f"{name} {value}" for name, value in logs.items())
                print(f"Epoch {epoch['epoch']}/{epochs}  {epoch['seconds']:.2f} s  {values}")
            if on_epoch_end is not None:
                on_epoch_end(epoch["epoch"] - 1, logs)

        on_epoch = report if verbose or on_epoch_end is not None else None
        epochs, ended = self._fit(
            x, y, sample_weight, _further(inputs), validation_data, float(validation_split), _config.to_json(config), on_epoch
        )
        return History(json.loads(epochs), ended)

    def evaluate(self, x, y, batch_size=None, sample_weight=None, verbose=0, inputs=None):
        """Returns the losses and metrics as a dict by name. ``inputs`` are as in :meth:`fit`. ``verbose`` is ignored."""
        x = _arrays.plain(x, "x")
        self.build(x.shape[1:])
        logs = json.loads(self._evaluate(x, y, sample_weight, _further(inputs), batch_size or 32))
        return {name: _number(value) for name, value in logs}

    def predict(self, x, batch_size=None, verbose=0):
        """Returns the predictions, float32 of shape ``[N, ...]``, or a dict of them by name if there are several
        outputs. ``verbose`` is ignored."""
        x = _arrays.plain(x, "x")
        self.build(x.shape[1:])
        outputs = self._predict(x, batch_size or 32)
        return outputs[0][1] if len(outputs) == 1 else dict(outputs)

    def get_weights(self):
        """Returns a copy of every parameter by its path."""
        return dict(self._weights())

    def set_weights(self, weights):
        """Sets parameters from a dict by path."""
        for path, values in weights.items():
            self._set_weight(path, values)

    def save(self, path, overwrite=False):
        """Writes the model to one file: the network with its weights, the seed, the compile configuration by identifiers,
        and the state of the optimizer. :meth:`load` reads it, and ``fit`` then continues as if the model hadn't been saved.

        The file is a safetensors file; ``model.safetensors`` is a good name. It is written beside its place and renamed.
        Raises FileExistsError if there is one and ``overwrite`` is False, and ValueError if a loss, a metric or the
        optimizer is a Python function or a C function, which a file can't contain.
        """
        path = os.fspath(path)
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"{path} exists: pass overwrite=True to replace it")
        _native.write_model(self._to_bytes(self._seed), path, bool(overwrite))

    @classmethod
    def load(cls, path, plugins=None):
        """Returns the model that :meth:`save` wrote. ``plugins`` is the path of a plug-in or of a folder, or a list of
        them, to load first.

        A file contains no code, but names components of plug-ins. Raises ValueError if the file is damaged or isn't a
        model, or if a plug-in that it needs isn't loaded.
        """
        _plugins.load_all(plugins)
        with open(path, "rb") as file:
            data = file.read()
        try:
            return cls._from_bytes(data)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def _from_bytes(cls, data):
        config, seed = _native.read_model(data)
        made = super().__new__(cls, config)
        made._seed = seed
        made._restore(data)
        return made

    def __reduce__(self):
        attributes = {name: value for name, value in self.__dict__.items() if name != "_seed"}
        return _restored, (type(self), self._to_bytes(self._seed), tuple(_plugins.loaded)), attributes or None

    def summary(self):
        """Returns the network in one line."""
        return self._summary or "not built: its inputs aren't known yet"


def _further(inputs=None):
    """Returns the further inputs of losses and metrics as a dict of arrays by name."""
    if inputs is None:
        return None
    if not isinstance(inputs, Mapping):
        raise TypeError(f"`inputs` is a dict of arrays by name, not {type(inputs).__name__}")
    return {name: _arrays.plain(values, name) for name, values in inputs.items()}


def _restored(cls, data, plugins):
    """Creates a model from its pickled parts. Pickles contain the name of this function."""
    _plugins.load_absent(plugins)
    return cls._from_bytes(data)


_metrics_module = metrics


def _per_output(tree, module):
    if isinstance(tree, (list, tuple)):
        return [_per_output(entry, module) for entry in tree]
    if isinstance(tree, dict) and "class_name" not in tree:
        return {name: _per_output(entry, module) for name, entry in tree.items()}
    return _identifier(tree, module)


def _identifier(identifier, module):
    """Converts an identifier: a string or a dict to JSON, which the model interprets ("accuracy"), else to a
    component."""
    if identifier is None or isinstance(identifier, (_native.Loss, _native.Metric)):
        return identifier
    if isinstance(identifier, (str, dict)):
        return _config.to_json(identifier)
    made = module.get(identifier)
    if not isinstance(made, Component):
        raise TypeError(f"the embedded network takes this package's optimizers, not {type(identifier).__name__}'s")
    if isinstance(made, optimizers.Optimizer) and not isinstance(made._rate(), dict):
        # Use the current learning rate, which may have been set after construction.
        made = type(made)._from_config(made._full_name, {**Component.get_config(made), "learning_rate": made.learning_rate})
    return made


def _count(name, value, least):
    """Converts an argument to an integer of at least ``least``."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` is a whole number, not {value!r}") from None
    if count < least:
        raise ValueError(f"`{name}` is at least {least}, not {count}")
    return count
