"""The embedded network: built from a configuration, compiled, trained."""

from __future__ import annotations

import json
import operator
import time

import numpy as np

from . import _arrays, _config, _native, losses, metrics, optimizers
from ._component import Component

__all__ = ["History", "Model"]


class History:
    """What each epoch came to: ``epoch`` is their numbers from 0, ``history`` a list of values for each name, as in Keras."""

    def __init__(self, epochs, ended=None):
        #: The epochs as they are, each with its logs, learning rate and seconds.
        self.epochs = epochs
        #: Why it ended before the last epoch; None where it didn't.
        self.ended = ended
        self.epoch = [epoch["epoch"] - 1 for epoch in epochs]
        self.history = {}
        for epoch in epochs:
            for name, value in epoch["logs"]:
                self.history.setdefault(name, []).append(_number(value))

    def __repr__(self):
        return f"<History of {len(self.epochs)} epochs: {', '.join(self.history)}>"


def _number(value):
    """A logged value: a number or an array; null is what isn't defined, and a word what JSON has no number for."""
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

    ``config`` is a list of layers, or a dict with ``layers`` and ``outputs`` as in the ``[network]`` table of a run's file. The weights are
    drawn from ``seed`` when the inputs' shape is known.
    """

    def __new__(cls, config, seed=0):
        if isinstance(config, (list, tuple)):
            config = {"layers": list(config)}
        made = super().__new__(cls, _config.to_json(config))
        made._seed = int(seed)
        return made

    @classmethod
    def from_config(cls, config, seed=0):
        """A network from its configuration."""
        return cls(config, seed=seed)

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None):
        """What to train with: identifiers, instances or Python functions, one for all outputs, a list, or a dict by output name.

        A function trains as a loss if it has an attribute ``gradient``; see :class:`plugfit.losses.LossFunctionWrapper`.
        """
        self._compile(
            _identifier(optimizer, optimizers),
            _per_output(loss, losses),
            _config.to_json(loss_weights),
            _per_output(metrics, _metrics_module),
            _per_output(weighted_metrics, _metrics_module),
        )

    def build(self, input_shape):
        """Draws the weights for samples of this shape (without the batch's axis); ``fit`` does it where it wasn't done."""
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
    ):
        """Trains, and gives the :class:`History`.

        ``x`` is ``[N, ...]``, ``y`` ``[N]`` or ``[N, ...]``, or a dict of such arrays by output name. ``callbacks`` are identifiers as in a
        run's file (``"EarlyStopping(patience=5)"``), ``on_epoch_end`` a function of the epoch's number from 0 and its logs. Ctrl-C ends it
        after the batch with a KeyboardInterrupt; the weights are those trained until then.
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
            if not isinstance(validation_data, (list, tuple)) or len(validation_data) not in (2, 3):
                raise ValueError("validation_data is (x, y) or (x, y, sample_weight)")
            validation_data = (*validation_data, None)[:3]

        def tell(text, epochs):
            epoch = json.loads(text)
            logs = {name: _number(value) for name, value in epoch["logs"]}
            if verbose:
                values = "  ".join(f"{name} {value:.4g}" if np.ndim(value) == 0 else f"{name} {value}" for name, value in logs.items())
                print(f"Epoch {epoch['epoch']}/{epochs}  {epoch['seconds']:.2f} s  {values}")
            if on_epoch_end is not None:
                on_epoch_end(epoch["epoch"] - 1, logs)

        looks_on = tell if verbose or on_epoch_end is not None else None
        epochs, ended = self._fit(
            x, y, sample_weight, validation_data, float(validation_split), _config.to_json(config), looks_on
        )
        return History(json.loads(epochs), ended)

    def evaluate(self, x, y, batch_size=None, sample_weight=None, verbose=0):
        """The losses and metrics, a dict by name. Nothing is printed, whatever ``verbose`` is."""
        x = _arrays.plain(x, "x")
        self.build(x.shape[1:])
        return {name: _number(value) for name, value in json.loads(self._evaluate(x, y, sample_weight, batch_size or 32))}

    def predict(self, x, batch_size=None, verbose=0):
        """The predictions, float32 ``[N, ...]``; a dict of them by name where there are several outputs. Nothing is printed, whatever
        ``verbose`` is."""
        x = _arrays.plain(x, "x")
        self.build(x.shape[1:])
        outputs = self._predict(x, batch_size or 32)
        return outputs[0][1] if len(outputs) == 1 else dict(outputs)

    def get_weights(self):
        """Every parameter by its path, copied."""
        return dict(self._weights())

    def set_weights(self, weights):
        """Writes the parameters of a dict by path."""
        for path, values in weights.items():
            self._set_weight(path, values)

    def summary(self):
        """The network in a line."""
        return self._summary or "not built: its inputs aren't known yet"


_metrics_module = metrics


def _per_output(tree, module):
    if isinstance(tree, (list, tuple)):
        return [_per_output(entry, module) for entry in tree]
    if isinstance(tree, dict) and "class_name" not in tree:
        return {name: _per_output(entry, module) for name, entry in tree.items()}
    return _identifier(tree, module)


def _identifier(identifier, module):
    """JSON text for what is written, which the model reads by its own rules ("accuracy"); else a component."""
    if identifier is None or isinstance(identifier, (_native.Loss, _native.Metric)):
        return identifier
    if isinstance(identifier, (str, dict)):
        return _config.to_json(identifier)
    made = module.get(identifier)
    if not isinstance(made, Component):
        raise TypeError(f"the embedded network takes this package's optimizers, not {type(identifier).__name__}'s")
    if isinstance(made, optimizers.Optimizer) and not isinstance(made._rate(), dict):
        # The rate that it has now is meant, should it have been set.
        made = type(made)._made(made._full_name, {**Component.get_config(made), "learning_rate": made.learning_rate})
    return made


def _count(name, value, least):
    """An argument that counts something."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` is a whole number, not {value!r}") from None
    if count < least:
        raise ValueError(f"`{name}` is at least {least}, not {count}")
    return count
