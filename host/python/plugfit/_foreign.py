"""Optimizers of PyTorch, Keras and TensorFlow with this package's interface, for arrays."""

from __future__ import annotations

import pickle

from . import _arrays, _config
from ._frameworks import framework_of


class ForeignOptimizer:
    """An optimizer of torch.optim, Keras or tf.compat.v1.train with this package's interface. It uses the same class and
    settings, for arrays."""

    def __init__(self, optimizer):
        self._given = optimizer
        self._framework = framework_of(optimizer)
        if self._framework is None:
            raise TypeError(f"{optimizer!r} is no optimizer of PyTorch, Keras or TensorFlow")
        self._steps = 0

    def __repr__(self):
        return f"<ForeignOptimizer of {type(self._given).__module__}.{type(self._given).__name__}>"

    @property
    def name(self):
        """The optimizer's name, or that of its class."""
        return getattr(self._given, "name", type(self._given).__name__.lower())

    @property
    def iterations(self):
        """The number of updates. An update takes several steps if gradients are accumulated."""
        return self._steps // (getattr(self._given, "gradient_accumulation_steps", None) or 1)

    def apply(self, grads, params, names=None):
        """Does the same as :meth:`Optimizer.apply`."""
        grads, params = list(grads), list(params)
        if len(grads) != len(params):
            raise ValueError(f"there are {len(grads)} gradients for {len(params)} parameters")
        grads = [None if grad is None else _arrays.float32(grad, f"grads[{index}]") for index, grad in enumerate(grads)]
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        names = [f"param_{index}" for index in range(len(arrays))] if names is None else list(names)
        if len(names) != len(arrays):
            raise ValueError(f"there are {len(names)} names for {len(arrays)} parameters")
        self._framework.step(grads, arrays, names)
        _arrays.write_back(arrays, params)
        self._steps += 1

    @property
    def learning_rate(self):
        """The learning rate of the next step. It can be set."""
        return _config.float32(self._framework.learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        self._framework.learning_rate = float(rate)

    def finalize(self, params):
        """Does the same as :meth:`Optimizer.finalize`."""
        params = list(params)
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        self._framework.finalize(arrays)
        _arrays.write_back(arrays, params)

    def get_config(self):
        """Returns the settings under the names of the optimizer's framework."""
        return self._framework.settings()

    def get_state(self):
        """Returns everything on which later steps depend, as bytes."""
        return pickle.dumps((self._steps, self._framework.state()))

    def set_state(self, state):
        """Restores what :meth:`get_state` returned. It requires a first step, unless the state is from before one.

        Raises ValueError, without a change, if the state doesn't fit the parameters, or if it is from before a first
        step and the optimizer is of tf.compat.v1.train, which can't forget its steps.

        The bytes are unpickled: load only those that you trust.
        """
        steps, state = pickle.loads(state)
        self._framework.restore(state)
        self._steps = steps
