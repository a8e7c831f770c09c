"""Optimizers of PyTorch and Keras with this package's interface, for arrays."""

from __future__ import annotations

import inspect
import pickle

import numpy as np

from . import _arrays, _config


class ForeignOptimizer:
    """A torch.optim or Keras optimizer with this package's interface. It uses the same class and settings, for
    arrays."""

    def __init__(self, optimizer):
        self._given = optimizer
        self._is_torch = hasattr(optimizer, "param_groups")
        self._steps = 0
        self._made = None
        self._variables = None

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

    def _settings(self):
        # Some defaults aren't arguments of the class. Changes by a scheduler or the user are in the group.
        taken = inspect.signature(type(self._given)).parameters
        settings = {**self._given.defaults, **self._given.param_groups[0]}
        return {key: value for key, value in settings.items() if key in taken and key not in ("params", "differentiable")}

    def apply(self, grads, params, names=None):
        """Does the same as :meth:`Optimizer.apply`."""
        grads, params = list(grads), list(params)
        if len(grads) != len(params):
            raise ValueError(f"there are {len(grads)} gradients for {len(params)} parameters")
        grads = [None if grad is None else _arrays.float32(grad, f"grads[{index}]") for index, grad in enumerate(grads)]
        arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
        (self._apply_torch if self._is_torch else self._apply_keras)(grads, arrays, names)
        _arrays.write_back(arrays, params)
        self._steps += 1

    def _apply_torch(self, grads, arrays, names):
        import torch

        if self._made is None:
            self._variables = [torch.nn.Parameter(torch.from_numpy(array)) for array in arrays]
            self._made = type(self._given)(self._variables, **self._settings())
        for variable, array, grad in zip(self._variables, arrays, grads):
            variable.data = torch.from_numpy(array)
            variable.grad = None if grad is None else torch.from_numpy(np.array(grad).reshape(array.shape))
        self._made.step()

    def _apply_keras(self, grads, arrays, names):
        import keras

        if self._made is None:
            names = names or [f"param_{index}" for index in range(len(arrays))]
            self._variables = [keras.Variable(array, name=str(name).replace("/", "_")) for array, name in zip(arrays, names)]
            self._made = type(self._given).from_config(self._given.get_config())
            self._made.build(self._variables)
        pairs = []
        for variable, array, grad in zip(self._variables, arrays, grads):
            variable.assign(array)
            pairs.append((None if grad is None else keras.ops.convert_to_tensor(grad), variable))
        self._made.apply_gradients(pairs)
        for variable, array in zip(self._variables, arrays):
            array[...] = keras.ops.convert_to_numpy(variable)

    @property
    def learning_rate(self):
        """The learning rate of the next step. It can be set."""
        given = self._made or self._given
        return _config.float32(given.param_groups[0]["lr"] if self._is_torch else np.asarray(given.learning_rate))

    @learning_rate.setter
    def learning_rate(self, rate):
        for given in filter(None, (self._given, self._made)):
            if self._is_torch:
                given.defaults["lr"] = float(rate)
                for group in given.param_groups:
                    group["lr"] = float(rate)
            else:
                given.learning_rate = float(rate)

    def finalize(self, params):
        """Does the same as :meth:`Optimizer.finalize`."""
        if not self._is_torch and self._made is not None:
            params = list(params)
            arrays = [_arrays.writeable(param, index) for index, param in enumerate(params)]
            self._made.finalize_variable_values(self._variables)
            for variable, array in zip(self._variables, arrays):
                array[...] = np.asarray(variable)
            _arrays.write_back(arrays, params)

    def get_config(self):
        """Returns the settings under the names of the optimizer's framework."""
        return self._settings() if self._is_torch else self._given.get_config()

    def get_state(self):
        """Returns everything on which later steps depend, as bytes."""
        if self._made is None:
            return pickle.dumps((self._steps, None))
        state = self._made.state_dict() if self._is_torch else [np.asarray(variable) for variable in self._made.variables]
        return pickle.dumps((self._steps, state))

    def set_state(self, state):
        """Restores what :meth:`get_state` returned. It requires a first step, unless the state is from before one.

        The bytes are unpickled: load only those that you trust.
        """
        steps, state = pickle.loads(state)
        if state is not None:
            if self._made is None:
                raise ValueError("an optimizer of another framework can load a state only after its first step")
            if self._is_torch:
                self._made.load_state_dict(state)
            else:
                for variable, value in zip(self._made.variables, state):
                    variable.assign(value)
        self._steps = steps
