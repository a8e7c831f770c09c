"""The optimizers of other frameworks, for arrays: steps, learning rates and states."""

from __future__ import annotations

import inspect

import numpy as np

from . import _config


def framework_of(optimizer):
    """Returns the framework's side of an optimizer, or None if it is of no known framework."""
    if isinstance(optimizer, type):
        return None
    if hasattr(optimizer, "param_groups") and hasattr(optimizer, "defaults"):
        return Torch(optimizer)
    if not hasattr(optimizer, "apply_gradients"):
        return None
    if _config.is_keras(optimizer):
        return Keras(optimizer)
    modules = {cls.__module__ for cls in type(optimizer).__mro__}
    return Tensorflow(optimizer) if "tensorflow.python.training.optimizer" in modules else None


class Torch:
    """An optimizer of torch.optim. Another one of its class and settings is used, for tensors that share the arrays'
    memory."""

    def __init__(self, given):
        self._given, self._made = given, None
        self.variables = None

    def settings(self):
        # Some defaults aren't arguments of the class. Changes by a scheduler or the user are in the group.
        taken = inspect.signature(type(self._given)).parameters
        settings = {**self._given.defaults, **self._given.param_groups[0]}
        return {key: value for key, value in settings.items() if key in taken and key not in ("params", "differentiable")}

    def step(self, grads, arrays, names):
        import torch

        if self._made is None:
            self.variables = [torch.nn.Parameter(torch.from_numpy(array)) for array in arrays]
            self._made = type(self._given)(self.variables, **self.settings())
        for variable, array, grad in zip(self.variables, arrays, grads):
            variable.data = torch.from_numpy(array)
            variable.grad = None if grad is None else torch.from_numpy(np.array(grad).reshape(array.shape))
        self._made.step()

    @property
    def learning_rate(self):
        return (self._made or self._given).param_groups[0]["lr"]

    @learning_rate.setter
    def learning_rate(self, rate):
        for optimizer in filter(None, (self._given, self._made)):
            optimizer.defaults["lr"] = rate
            for group in optimizer.param_groups:
                group["lr"] = rate

    def finalize(self, arrays):
        pass

    def state(self):
        return None if self._made is None else self._made.state_dict()

    def restore(self, state):
        self._made.load_state_dict(state)


class Keras:
    """An optimizer of Keras. Another one of its class and configuration is used, for variables of its own."""

    def __init__(self, given):
        self._given, self._made = given, None
        self.variables = None

    def settings(self):
        return self._given.get_config()

    def step(self, grads, arrays, names):
        import keras

        if self._made is None:
            self.variables = [keras.Variable(array, name=str(name).replace("/", "_")) for array, name in zip(arrays, names)]
            self._made = type(self._given).from_config(self._given.get_config())
            self._made.build(self.variables)
        pairs = []
        for variable, array, grad in zip(self.variables, arrays, grads):
            variable.assign(array)
            pairs.append((None if grad is None else keras.ops.convert_to_tensor(grad), variable))
        self._made.apply_gradients(pairs)
        for variable, array in zip(self.variables, arrays):
            array[...] = keras.ops.convert_to_numpy(variable)

    @property
    def learning_rate(self):
        return np.asarray((self._made or self._given).learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        for optimizer in filter(None, (self._given, self._made)):
            optimizer.learning_rate = rate

    def finalize(self, arrays):
        if self._made is None:
            return
        self._made.finalize_variable_values(self.variables)
        for variable, array in zip(self.variables, arrays):
            array[...] = np.asarray(variable)

    def state(self):
        return None if self._made is None else [np.asarray(variable) for variable in self._made.variables]

    def restore(self, state):
        for variable, value in zip(self._made.variables, state):
            variable.assign(value)


class Tensorflow:
    """An optimizer of tf.compat.v1.train. It is used itself, since it doesn't tell its settings, for variables of its
    own."""

    def __init__(self, given):
        self._given = given
        self.variables = None

    def settings(self):
        return {"learning_rate": self.learning_rate}

    def step(self, grads, arrays, names):
        import tensorflow as tf

        if self.variables is None:
            self.variables = [tf.Variable(array) for array in arrays]
        for variable, array in zip(self.variables, arrays):
            variable.assign(array)
        self._given.apply_gradients([(tf.constant(grad), one) for grad, one in zip(grads, self.variables) if grad is not None])
        for variable, array in zip(self.variables, arrays):
            array[...] = variable.numpy()

    def _rate(self):
        """Returns the name of the attribute that is the learning rate."""
        return next(name for name in ("_learning_rate", "_lr") if hasattr(self._given, name))

    @property
    def learning_rate(self):
        rate = getattr(self._given, self._rate())
        return float(rate() if callable(rate) else rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        setattr(self._given, self._rate(), rate)

    def finalize(self, arrays):
        pass

    def state(self):
        return None if self.variables is None else [variable.numpy() for variable in self._given.variables()]

    def restore(self, state):
        for variable, value in zip(self._given.variables(), state):
            variable.assign(value)
